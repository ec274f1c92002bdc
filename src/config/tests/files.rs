//! The files in `config/` are right, and the built-in one says what the defaults are.

use std::collections::BTreeSet;

use super::*;
use crate::{access, delivery, hub, market::Symbol, sandbox, server};

#[test]
fn every_shipped_file_is_a_good_configuration() {
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(shipped("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let config = Config::load(Some(&path), variables(&[("TM_API_KEY", "tm-test")]));
            assert!(!config.unwrap().feeds.is_empty(), "{}", path.display());
            seen.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    for name in ["default.toml", "live.toml", "production.toml", "tokenmetrics.toml"] {
        assert!(seen.contains(name), "{name}");
    }
}

#[test]
fn a_shipped_file_that_needs_a_key_says_which() {
    let errors = Config::load(Some(&shipped("tokenmetrics.toml")), variables(&[])).unwrap_err();
    assert_eq!(errors.iter().count(), 3);
    assert!(errors.to_string().contains("environment variable TM_API_KEY is not set"));
}

/// Through `Debug`, which shows every field: a new one cannot be forgotten here.
#[test]
fn the_built_in_file_says_what_the_defaults_are() {
    let built_in = Config::embedded().unwrap();
    let shown = |value: &dyn std::fmt::Debug| format!("{value:#?}");
    assert_eq!(shown(&built_in.server), shown(&server::Config::default()));
    assert_eq!(shown(&built_in.limits), shown(&access::Limits::default()));
    assert_eq!(shown(&built_in.delivery), shown(&delivery::Config::default()));
    assert_eq!(shown(&built_in.hub), shown(&hub::Config::default()));
    assert_eq!(shown(&built_in.sandbox), shown(&sandbox::config::Config::default()));
}

#[test]
fn the_built_in_market_has_prices_signals_and_chain_metrics() {
    let config = Config::embedded().unwrap();
    let fetches = |provider: &str, endpoint: &str, symbol: Option<&str>| {
        config.feeds.iter().any(|feed| {
            let symbol = symbol.is_none_or(|symbol| feed.symbols.iter().any(|s| s == symbol));
            feed.provider.name() == provider && feed.endpoint.as_deref() == Some(endpoint) && symbol
        })
    };
    assert!(fetches("binance", "ticker_24hr", Some("BTC-USDT")));
    assert!(fetches("coinbase", "ticker", Some("BTC-USD")));
    assert!(fetches("kraken", "ticker", Some("BTC-USD")));
    assert!(fetches("defillama", "chains", None));
    assert!(fetches("coingecko", "simple_price", Some("BTC-USD")));
    assert!(fetches("token_metrics", "price", Some("BTC-USD")));
    assert!(fetches("token_metrics", "trading_signals", Some("BTC-USD")));
    assert!(fetches("token_metrics", "trader_grades", Some("BTC-USD")));
    assert!(fetches("mempool", "fees", None) && fetches("mempool", "height", None));
    assert!(config.feeds.iter().any(|feed| feed.required));
    assert!(config.feeds.iter().all(|feed| feed.base_url().unwrap().starts_with("sandbox:/")));
}

#[test]
fn feeds_of_one_budget_state_the_same_limit() {
    for name in ["default.toml", "live.toml", "production.toml", "tokenmetrics.toml"] {
        let env = variables(&[("TM_API_KEY", "tm-test")]);
        let config = Config::load(Some(&shipped(name)), env).unwrap();
        let budgets = config.feeds.iter().map(|feed| feed.budget.clone().unwrap());
        let budgets: BTreeSet<_> =
            budgets.map(|budget| (budget.host, budget.per_minute, budget.per_month)).collect();
        let hosts: BTreeSet<_> = budgets.iter().map(|(host, ..)| host).collect();
        assert_eq!(hosts.len(), budgets.len(), "{name}");
        let demand: f64 = config.feeds.iter().fold(0.0, |sum, feed| {
            let budget = feed.budget.as_ref().unwrap();
            let polls = 60.0 / feed.every.0.as_secs_f64();
            // The others ask for all symbols at once.
            let requests = if feed.provider.name() == "coinbase" { feed.symbols.len() } else { 1 };
            sum + polls * requests as f64 * f64::from(budget.weight) / f64::from(budget.per_minute)
        });
        assert!(demand < hosts.len() as f64, "{name} asks for more than its budgets");
    }
}

#[test]
fn symbols_with_ids_are_symbols_that_are_fetched() {
    for feed in Config::embedded().unwrap().feeds {
        for symbol in feed.ids.keys() {
            assert!(feed.symbols.contains(symbol), "{}: {symbol}", feed.name);
            assert!(Symbol::parse(symbol).is_some());
        }
    }
}

#[test]
fn a_file_supplies_all_feeds_and_leaves_the_rest_to_the_defaults() {
    let config = load(FEED).unwrap();
    assert_eq!(config.feeds.len(), 1);
    assert_eq!(config.feeds[0].base_url(), Some("https://api.binance.com"));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.consolidate.prefer, Vec::<String>::new());
    assert!(load("").unwrap().feeds.is_empty());
}
