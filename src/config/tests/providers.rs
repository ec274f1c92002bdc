//! What each provider needs is asked for before anything is served, at the key that lacks it.

use super::*;
use crate::upstream::{config::Transport, providers};

/// The least of what works, a key a line, and the keys without which it cannot.
const GOOD: [(&str, &str, &[&str]); 16] = [
    ("coingecko", "symbols = [\"BTC-USD\"]\nids = { BTC-USD = \"bitcoin\" }", &["symbols", "ids"]),
    ("binance", "symbols = [\"BTC-USDT\"]", &["symbols"]),
    ("binance", "symbols = [\"BTC-USDT\"]\ntransport = \"ws\"", &["symbols"]),
    ("coinbase", "symbols = [\"BTC-USD\"]", &["symbols"]),
    ("kraken", "symbols = [\"BTC-USD\"]", &["symbols"]),
    (
        "defillama",
        "symbols = [\"BTC-USD\"]\nids = { BTC-USD = \"coingecko:bitcoin\" }",
        &["symbols", "ids"],
    ),
    ("defillama", "endpoint = \"chains\"", &["endpoint"]),
    (
        "token_metrics",
        "symbols = [\"BTC-USD\"]\napi_key = { env = \"KEY\" }",
        &["symbols", "api_key"],
    ),
    (
        "token_metrics",
        "endpoint = \"indices\"\napi_key = { env = \"KEY\" }",
        &["endpoint", "api_key"],
    ),
    ("mempool", "", &[]),
    ("etherscan", "api_key = { env = \"KEY\" }", &["api_key"]),
    ("evm", "base_url = \"https://node.example.com\"", &["base_url"]),
    ("fear_greed", "", &[]),
    (
        "json",
        "url = \"https://a.example\"\ntopics = [{ topic = \"a.b\", fields = { c = \"$\" } }]",
        &["url", "topics"],
    ),
    ("push", "", &[]),
    ("synthetic", "", &[]),
];

/// Values that no key of any provider takes, by key.
const WRONG: [(&str, &str); 11] = [
    ("symbols", "[\"nonsense\"]"),
    ("ids", "{ BTC-USD = \"a,b\" }"),
    ("endpoint", "\"nonsense\""),
    ("transport", "\"nonsense\""),
    ("api_key", "{ env = \"UNSET\" }"),
    ("base_url", "\"nonsense\""),
    ("url", "\"nonsense\""),
    ("topics", "[{ topic = \"a.b\", fields = { c = \"nonsense\" } }]"),
    ("every", "\"nonsense\""),
    ("timeout", "\"0s\""),
    ("provider", "\"nonsense\""),
];

const ENV: [(&str, &str); 1] = [("KEY", "a key of some length")];

/// The lines of a feed, a key each.
fn feed(provider: &str, rest: &str) -> Vec<String> {
    let head = ["name = \"x\"".to_owned(), format!("provider = \"{provider}\"")];
    head.into_iter().chain(rest.lines().map(str::to_owned)).collect()
}

fn found(lines_of_feed: &[String]) -> Vec<String> {
    let text = format!("[[feeds]]\n{}\n", lines_of_feed.join("\n"));
    load_with(&text, &ENV).err().map(|errors| lines(&errors)).unwrap_or_default()
}

/// Whether a key, or one below it, is what an error is about.
fn about(errors: &[String], key: &str) -> bool {
    let at = format!(": feeds[0].{key}");
    errors.iter().any(|error| {
        let rest = error.split_once(&at).map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.starts_with([':', '.', '[']))
    })
}

fn key_of(line: &str) -> &str {
    line.split_once(" = ").unwrap().0
}

#[test]
fn the_least_of_each_provider_is_good_and_can_be_built() {
    for (provider, rest, _) in GOOD {
        let text = format!("[[feeds]]\n{}\n", feed(provider, rest).join("\n"));
        let config = load_with(&text, &ENV).unwrap_or_else(|errors| panic!("{text}{errors}"));
        let feed = &config.feeds[0];
        assert_eq!(providers::mistakes(feed), [], "{text}");
        if feed.transport == Transport::Ws {
            assert!(providers::stream::build(feed).is_ok(), "{text}");
        }
    }
}

#[test]
fn what_a_provider_cannot_do_without_is_named_when_it_is_left_out() {
    for (provider, rest, needed) in GOOD {
        let feed = feed(provider, rest);
        for line in &feed {
            let key = key_of(line);
            let without: Vec<String> =
                feed.iter().filter(|other| *other != line).cloned().collect();
            let errors = found(&without);
            if ["name", "provider"].contains(&key) {
                assert!(about(&errors, key), "{provider} without {key}: {errors:?}");
            } else if key == "endpoint" {
                // Another endpoint, which wants to know about what.
                assert!(about(&errors, "symbols"), "{provider} without {key}: {errors:?}");
            } else {
                assert_eq!(
                    about(&errors, key),
                    needed.contains(&key),
                    "{provider} without {key}: {errors:?}"
                );
            }
        }
    }
}

#[test]
fn what_a_provider_cannot_use_is_named() {
    for (provider, rest, _) in GOOD {
        let feed = feed(provider, rest);
        for (place, line) in feed.iter().enumerate() {
            let key = key_of(line);
            let wrong = WRONG.iter().find(|(of, _)| *of == key).map(|(_, value)| *value);
            // No key of these takes a truth value.
            for value in wrong.into_iter().chain(["true"]) {
                let mut feed = feed.clone();
                feed[place] = format!("{key} = {value}");
                let errors = found(&feed);
                assert!(about(&errors, key), "{provider} with {key} = {value}: {errors:?}");
            }
        }
        for (key, value) in
            [("endpoint", "\"nonsense\""), ("timeout", "\"0s\""), ("every", "\"1ms\"")]
        {
            let own = ["push", "synthetic"].contains(&provider);
            if own || feed.iter().any(|line| key_of(line) == key) {
                continue;
            }
            let mut feed = feed.clone();
            feed.push(format!("{key} = {value}"));
            let errors = found(&feed);
            assert!(about(&errors, key), "{provider} with {key} = {value}: {errors:?}");
        }
    }
}

#[test]
fn each_symbol_without_an_id_is_told_at_once() {
    let text = feed(
        "coingecko",
        "symbols = [\"BTC-USD\", \"ETH-USD\", \"SOL-USD\"]\nids = { ETH-USD = \"ethereum\" }",
    );
    let errors = found(&text);
    assert_eq!(errors.len(), 2, "{errors:?}");
    for (error, symbol) in errors.iter().zip(["BTC-USD", "SOL-USD"]) {
        assert!(error.starts_with(&format!("x.toml:5:1: feeds[0].ids.{symbol}: ")), "{error}");
    }
}
