//! The environment and the command line over the file.

use super::*;
use crate::{config::Override, sandbox::config::FaultKind, units::Span};

#[test]
fn a_variable_overrides_a_key() {
    let config = load_with(
        &format!("[server]\nlisten = \"127.0.0.1:1\"\n{FEED}every = \"2s\"\n"),
        &[
            ("TICKWIRE_SERVER__LISTEN", "127.0.0.1:2"),
            ("TICKWIRE_SERVER__DRAIN_TIMEOUT", "3s"),
            ("TICKWIRE_LIMITS__TOPICS", "7"),
            ("TICKWIRE_DELIVERY__COMPRESSION", "true"),
            ("TICKWIRE_SANDBOX__VOLATILITY", "1"),
            ("TICKWIRE_SANDBOX__SYMBOLS", "[\"BTC\"]"),
            ("TICKWIRE_FEEDS__0__EVERY", "4s"),
            ("TICKWIRE_FEEDS__0__BUDGET__PER_MINUTE", "9"),
            ("TICKWIRE_CONSOLIDATE__QUOTE_AS", "{ USDT = \"USD\" }"),
            ("TICKWIRE_LOG", "debug"),
            ("TICKWIRE_CONFIG", "elsewhere.toml"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:2");
    assert_eq!(config.server.drain_timeout, Span::secs(3));
    assert_eq!(config.limits.topics, 7);
    assert!(config.delivery.compression);
    assert_eq!(config.sandbox.volatility, 1.0);
    assert_eq!(config.sandbox.symbols, ["BTC"]);
    assert_eq!(config.feeds[0].every, Span::secs(4));
    assert_eq!(config.feeds[0].budget.as_ref().unwrap().per_minute, 9);
    assert_eq!(config.consolidate.quote_as["USDT"], "USD");
}

#[test]
fn a_variable_that_looks_like_a_number_is_a_string_where_one_is_due() {
    let text = format!("[[sandbox.faults]]\npath = \"/\"\nkind = \"hang\"\n{FEED}");
    let env = [("TICKWIRE_SANDBOX__FAULTS__0__KIND", "429"), ("TICKWIRE_FEEDS__0__NAME", "7")];
    let config = load_with(&text, &env).unwrap();
    assert_eq!(config.sandbox.faults[0].kind, FaultKind::TooManyRequests);
    assert_eq!(config.feeds[0].name, "7");
}

#[test]
fn a_variable_without_a_key_is_named() {
    for (name, value, end) in [
        ("TICKWIRE_SERVER__LISTENN", "x", "server.listenn: unknown key, did you mean listen?"),
        ("TICKWIRE_SEVER__LISTEN", "x", "sever: unknown key, did you mean server?"),
        ("TICKWIRE_FOO", "x", "foo: unknown key"),
        ("TICKWIRE_SERVER", "x", "server: invalid type: string \"x\""),
        ("TICKWIRE_", "x", "names no key"),
        ("TICKWIRE_SERVER__", "x", "names no key"),
        ("TICKWIRE_SERVER__SHARDS__X", "1", "server.shards is a single value"),
        ("TICKWIRE_FEEDS__99__NAME", "x", "elements, counted from 0"),
        ("TICKWIRE_FEEDS__BINANCE__NAME", "x", "feeds is a list: a number must follow"),
        ("TICKWIRE_FEEDS__0__NAMES", "x", "feeds[0].names: unknown key, did you mean name?"),
    ] {
        let errors = Config::load(None, variables(&[(name, value)])).unwrap_err();
        let found = errors.to_string();
        assert!(found.starts_with(&format!("environment variable {name}: ")), "{found}");
        assert!(found.contains(end), "{found}");
        assert_eq!(errors.iter().count(), 1, "{found}");
    }
    let count = Config::embedded().unwrap().feeds.len();
    let beyond = format!("TICKWIRE_FEEDS__{count}__NAME");
    let errors = Config::load(None, variables(&[(&beyond, "x")])).unwrap_err();
    assert!(errors.to_string().contains(&format!("feeds has {count} elements")), "{errors}");
}

#[test]
fn a_bad_value_of_a_variable_is_told_with_its_name() {
    for (name, value, end) in [
        ("TICKWIRE_SERVER__LISTEN", "0.0.0.0:80", "server.listen: 0.0.0.0:80 can be reached"),
        ("TICKWIRE_LIMITS__TOPICS", "-5", "limits.topics: invalid value: integer `-5`"),
        ("TICKWIRE_LIMITS__TOPICS", "many", "limits.topics: invalid type: string \"many\""),
        ("TICKWIRE_FEEDS__0__EVERY", "5", "feeds[0].every: invalid type: integer `5`"),
        ("TICKWIRE_FEEDS__0__SYMBOLS", "[\"btcusdt\"]", "feeds[0].symbols[0]: \"btcusdt\""),
    ] {
        let errors = Config::load(None, variables(&[(name, value)])).unwrap_err();
        let found = errors.to_string();
        assert!(found.starts_with(&format!("environment variable {name}: {end}")), "{found}");
    }
}

#[test]
fn the_command_line_wins_over_the_environment_and_the_file() {
    let set = Override { flag: "--listen", key: "server.listen", value: "127.0.0.1:3".to_owned() };
    let env = [("TICKWIRE_SERVER__LISTEN", "0.0.0.0:2")];
    let config = Config::load_with(None, variables(&env), &[set]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:3");
}
