//! What the types cannot say.

use super::*;

/// Each text must be refused for one thing: at this key, with these words.
fn check(cases: &[(&str, &str, &str)]) {
    for (text, key, words) in cases {
        let found = refusals(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(&format!(": {key}: ")), "{text}: {found:?}");
        assert!(found[0].contains(words), "{text}: {found:?}");
    }
}

#[test]
fn an_address_that_strangers_reach_needs_a_decision() {
    for address in ["0.0.0.0:80", "[::]:80", "192.168.0.1:80"] {
        let text = format!("[server]\nlisten = \"{address}\"\n");
        let found = refusals(&text);
        assert!(found[0].contains("127.0.0.1:80"), "{found:?}");
        assert!(found[0].contains("allow_anonymous = true"), "{found:?}");
        assert!(load(&format!("{text}allow_anonymous = true\n")).is_ok());
    }
    for address in ["127.0.0.2:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        assert!(load(&format!("[server]\nlisten = \"{address}\"\n")).is_ok(), "{address}");
    }
}

#[test]
fn what_clients_meet_has_bounds() {
    check(&[
        ("[server]\ndrain_timeout = \"0s\"", "server.drain_timeout", "longer than 0s"),
        ("[server]\nping_interval = \"0s\"", "server.ping_interval", "longer than 0s"),
        ("[server]\nshards = 65", "server.shards", "at most 64"),
        (
            "[server]\npublic_origins = [\"https://a.example/x\"]",
            "server.public_origins[0]",
            "write \"https://a.example\"",
        ),
        ("[limits]\nconnections = 0", "limits.connections", "at least 1"),
        ("[limits]\nrequests_per_s = 0", "limits.requests_per_s", "at least 1"),
        ("[limits]\nmessage_bytes = \"512B\"", "limits.message_bytes", "1KiB and 16MiB"),
        ("[limits]\nmessage_bytes = \"17MiB\"", "limits.message_bytes", "1KiB and 16MiB"),
    ]);
}

#[test]
fn only_defillamas_chains_have_chains_and_they_can_be_topics() {
    let feed = "[[feeds]]\nname = \"a\"\nprovider = \"defillama\"\n";
    let chains = |names: &str| format!("{feed}endpoint = \"chains\"\nchains = {names}");
    assert!(load(&chains("[\"Ethereum\", \"OP Mainnet\"]")).is_ok());
    assert!(load(&chains("[]")).is_ok());
    check(&[
        (&chains("[\"base\", \"??\"]"), "feeds[0].chains[1]", "cannot become a part of a topic"),
        (&format!("{feed}endpoint = \"coins\""), "feeds[0].symbols", "a defillama feed must say"),
        (
            "[[feeds]]\nname = \"a\"\nprovider = \"mempool\"\nchains = [\"base\"]",
            "feeds[0].chains",
            "only endpoint = \"chains\"",
        ),
    ]);
}

#[test]
fn inner_sections_have_bounds() {
    check(&[
        ("[delivery]\nqueue_updates = 0", "delivery.queue_updates", "at least 1"),
        ("[delivery]\nqueue_bytes = \"8KiB\"", "delivery.queue_bytes", "16KiB"),
        ("[delivery]\ncoalesce = \"2s\"", "delivery.coalesce", "more than 1s"),
        ("[delivery]\ncoalesce_latest = \"2s\"", "delivery.coalesce_latest", "more than 1s"),
        ("[delivery]\nwrite_deadline = \"50ms\"", "delivery.write_deadline", "100ms"),
        ("[hub]\nhistory = 0", "hub.history", "at least 1"),
        ("[sandbox]\nvolatility = -0.1", "sandbox.volatility", "between 0 and 10"),
        ("[sandbox]\nvolatility = nan", "sandbox.volatility", "between 0 and 10"),
        ("[sandbox]\nvolatility = inf", "sandbox.volatility", "between 0 and 10"),
        ("[upstream]\nstate_dir = \"\"", "upstream.state_dir", "leave it out"),
        ("[consolidate]\nquote_as = { usdt = \"USD\" }", "consolidate.quote_as.usdt", "upper-case"),
        ("[consolidate]\nmax_deviation_pct = 0", "consolidate.max_deviation_pct", "more than 0"),
        ("[consolidate]\nmax_deviation_pct = inf", "consolidate.max_deviation_pct", "more than 0"),
        ("[consolidate]\nweights = { zz = 2 }", "consolidate.weights.zz", "no feed is named"),
    ]);
}

#[test]
fn a_source_weighs_something() {
    for (weight, words) in [("0", "between 1 and 1000000"), ("1.5", "invalid type")] {
        let found = refusals(&format!("{FEED}[consolidate]\nweights = {{ a = {weight} }}\n"));
        assert!(found[0].contains(": consolidate.weights.a: "), "{found:?}");
        assert!(found[0].contains(words), "{found:?}");
    }
    let config = load(&format!("{FEED}[consolidate]\nweights = {{ a = 3 }}\n")).unwrap();
    assert_eq!((config.consolidate.weights["a"], config.consolidate.bound_ppm()), (3, 50_000));
}

#[test]
fn feeds_have_bounds() {
    let cases = [
        ("every = \"50ms\"", "every", "less than 100ms"),
        ("every = \"500ms\"", "every", "less than 1s"),
        ("timeout = \"0s\"", "timeout", "longer than 0s"),
        ("stale_after = \"9s\"", "stale_after", "less than every = 10s"),
        ("max_jump_pct = 0", "max_jump_pct", "more than 0"),
        ("max_jump_pct = nan", "max_jump_pct", "more than 0"),
        ("max_jump_pct = inf", "max_jump_pct", "more than 0"),
        ("base_url = \"http://example.com\"", "base_url", "https://"),
        ("budget = { per_minute = 0 }", "budget.per_minute", "at least 1"),
        ("budget = { per_minute = 5, weight = 0 }", "budget.weight", "at least 1"),
        ("budget = { per_minute = 5, weight = 6 }", "budget.weight", "per_minute = 5"),
        ("budget = { per_minute = 5, per_month = 0 }", "budget.per_month", "leave it out"),
        ("ids = { btcusd = \"bitcoin\" }", "ids.btcusd", "write \"BTC-USD\""),
        ("api_key = { file = \"/no/such\" }", "api_key", "cannot read /no/such"),
        ("api_key = { env = \"EMPTY\" }", "api_key", "EMPTY is empty"),
        ("api_key = { env = \"UNSET\" }", "api_key", "UNSET is not set"),
    ];
    for (line, key, words) in cases {
        let errors = load_with(&format!("{FEED}{line}\n"), &[("EMPTY", "")]).unwrap_err();
        let found = lines(&errors);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].starts_with("x.toml:5:"), "{found:?}");
        assert!(found[0].contains(&format!(": feeds[0].{key}: ")), "{found:?}");
        assert!(found[0].contains(words), "{line}: {found:?}");
    }
}

#[test]
fn a_fast_pace_is_for_ones_own_servers() {
    for url in ["sandbox:/binance", "http://127.0.0.1:9", "http://localhost:9"] {
        let fast = format!("{FEED}every = \"100ms\"\nbase_url = \"{url}\"\nallow_private = true\n");
        assert!(load(&fast).is_ok(), "{url}");
    }
}

#[test]
fn symbols_are_canonical_known_once_and_there() {
    let with = |symbols: &str| FEED.replace("[\"BTC-USDT\"]", symbols);
    let cases = [
        ("[\"BTC-USDT\", \"btc/usdt\"]", "symbols[1]", "write \"BTC-USDT\""),
        ("[\"XBT-USD\"]", "symbols[0]", "write \"BTC-USD\""),
        ("[\"FOO\"]", "symbols[0]", "BASE-QUOTE"),
        ("[\"A-USD\", \"A-USD\"]", "symbols[1]", "twice"),
        ("[]", "symbols", "a binance feed must say what to fetch"),
    ];
    for (symbols, key, words) in cases {
        let found = refusals(&with(symbols));
        assert_eq!(found.len(), 1, "{symbols}: {found:?}");
        assert!(found[0].starts_with("x.toml:4:"), "{found:?}");
        assert!(found[0].contains(&format!("feeds[0].{key}: ")), "{found:?}");
        assert!(found[0].contains(words), "{found:?}");
    }
    assert!(load("[[feeds]]\nname = \"m\"\nprovider = \"mempool\"\n").is_ok());
}

#[test]
fn a_chain_is_named_where_there_is_a_choice() {
    let feed = |rest: &str| format!("[[feeds]]\nname = \"x\"\n{rest}");
    let node = "base_url = \"https://node.example.com\"";
    check(&[
        (&feed("provider = \"mempool\"\nchain = \"bitcoin\""), "feeds[0].chain", "no choice"),
        (
            &feed("provider = \"etherscan\"\nbase_url = \"sandbox:/e\"\nchain = \"dev\""),
            "feeds[0].chain",
            "ethereum, ",
        ),
        (&feed(&format!("provider = \"evm\"\n{node}\nchain = \"a.b\"")), "feeds[0].chain", "a-z"),
        (&feed("provider = \"evm\""), "feeds[0].base_url", "which node to ask"),
    ]);
    for good in [
        "provider = \"etherscan\"\nbase_url = \"sandbox:/e\"\nchain = \"base\"",
        "provider = \"fear_greed\"",
    ] {
        assert!(load(&feed(good)).is_ok(), "{good}");
    }
    assert!(load(&feed(&format!("provider = \"evm\"\n{node}\nchain = \"devnet\""))).is_ok());
}

#[test]
fn an_endpoint_about_the_market_needs_no_symbols() {
    let feed = "[[feeds]]\nname = \"x\"\nprovider = \"token_metrics\"\n\
                base_url = \"sandbox:/tm\"\n";
    for endpoint in ["market_metrics", "indices", "sentiments"] {
        assert!(load(&format!("{feed}endpoint = \"{endpoint}\"\n")).is_ok(), "{endpoint}");
    }
    check(&[(&format!("{feed}endpoint = \"tm_grade\""), "feeds[0].symbols", "what to fetch")]);
}

#[test]
fn a_topic_has_one_publisher() {
    let node =
        "[[feeds]]\nname = \"node\"\nprovider = \"evm\"\nbase_url = \"https://node.example\"\n";
    let oracle =
        "[[feeds]]\nname = \"oracle\"\nprovider = \"etherscan\"\nbase_url = \"sandbox:/e\"\n";
    let own = "[[feeds]]\nname = \"own\"\nprovider = \"json\"\nurl = \"sandbox:/x\"\n\
               topics = [{ topic = \"onchain.ethereum.gas\", fields = { fast = \"$\" } }]\n";
    for second in [oracle, own] {
        let words = "publishes onchain.ethereum.gas, as feeds[0] (\"node\") does";
        let found = refusals(&format!("{node}{second}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("x.toml:5:1: feeds[1]: "), "{found:?}");
        assert!(found[0].contains(words), "{found:?}");
    }
    assert!(load(&format!("{node}{oracle}chain = \"base\"\n")).is_ok());
    // Each has a price of its own.
    assert!(load(&format!("{FEED}{}", FEED.replace("\"a\"", "\"b\""))).is_ok());
}

#[test]
fn names_are_topic_tokens_and_differ() {
    for name in ["", "a.b", "a b", "a/b", "é", "*"] {
        let found = refusals(&FEED.replace("\"a\"", &format!("\"{name}\"")));
        assert!(found[0].starts_with("x.toml:2:1: feeds[0].name: "), "{found:?}");
    }
    let found = refusals(&format!("{FEED}{FEED}"));
    assert_eq!(found, ["x.toml:6:1: feeds[1].name: \"a\" is also the name of feeds[0]"]);
}

#[test]
fn a_synthetic_feed_has_bounds_of_its_own() {
    let feed = "[[feeds]]\nname = \"bench\"\nprovider = \"synthetic\"\n";
    assert!(load(feed).is_ok());
    for line in [
        "topics = 0",
        "topics = 100001",
        "rate = 0",
        "rate = 1000001",
        "payload_bytes = 63",
        "payload_bytes = 65537",
    ] {
        let found = refusals(&format!("{feed}{line}\n"));
        assert!(found[0].contains("is not between"), "{found:?}");
        assert!(load(&format!("{FEED}{line}\n")).is_ok(), "meant for others: {line}");
    }
}

#[test]
fn a_secret_is_read_from_its_variable_and_never_shown() {
    let text = format!("{FEED}api_key = {{ env = \"KEY\" }}\n");
    let config = load_with(&text, &[("KEY", "hunter2")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let text = format!("{FEED}base_url = \"https://u:hunter2@example.com\"\n");
    let found = refusals(&text);
    assert!(found[0].contains("credentials") && !found[0].contains("hunter2"), "{found:?}");
    for text in [
        format!("{FEED}api_key = \"hunter2\"\n"),
        format!("{FEED}api_key = {{ value = \"hunter2\" }}\n"),
    ] {
        let found = refusals(&text);
        assert!(found[0].contains("x.toml:5:1: feeds[0].api_key: say where"), "{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn what_is_not_offered_is_refused_rather_than_ignored() {
    let feed = "[[feeds]]\nname = \"x\"\nprovider = \"mempool\"\nbase_url = \"sandbox:/mempool\"\n";
    check(&[
        (&format!("{feed}transport = \"ws\""), "feeds[0].transport", "no stream"),
        (&format!("{feed}stream_url = \"wss://a.b\""), "feeds[0].stream_url", "transport"),
    ]);
    assert!(load(&format!("{feed}transport = \"rest\"\ndemand = \"always\"")).is_ok());
    assert!(load(&format!("{feed}demand = \"subscribed\"")).is_ok());
    for provider in ["synthetic", "push"] {
        let feed = format!("[[feeds]]\nname = \"x\"\nprovider = \"{provider}\"\n");
        check(&[(&format!("{feed}demand = \"subscribed\""), "feeds[0].demand", "not polled")]);
        check(&[(&format!("{feed}adaptive = true"), "feeds[0].adaptive", "not polled")]);
    }
}

#[test]
fn only_polls_that_have_room_before_they_are_stale_are_adaptive() {
    let feed = "[[feeds]]\nname = \"x\"\nprovider = \"kraken\"\nbase_url = \"sandbox:/kraken\"\n\
                symbols = [\"BTC-USD\"]\nadaptive = true\nevery = \"10s\"\n";
    assert!(load(feed).is_ok());
    assert!(load(&format!("{feed}stale_after = \"31s\"")).is_ok());
    check(&[
        (&format!("{feed}transport = \"ws\""), "feeds[0].adaptive", "not polled"),
        (&format!("{feed}stale_after = \"30s\""), "feeds[0].adaptive", "stale_after = 30s"),
    ]);
}

#[test]
fn a_stream_is_where_the_polls_are_or_is_named() {
    let feed = "[[feeds]]\nname = \"x\"\nprovider = \"kraken\"\ntransport = \"ws\"\n\
                symbols = [\"BTC-USD\"]\n";
    let private = "base_url = \"http://127.0.0.1:9\"\nallow_private = true\n";
    check(&[
        (&format!("{feed}{private}"), "feeds[0].stream_url", "must be given"),
        (&format!("{feed}stream_url = \"http://a.b\""), "feeds[0].stream_url", "wss://"),
        (&format!("{feed}stream_url = \"ws://a.b\""), "feeds[0].stream_url", "use wss://"),
        (&format!("{feed}{private}stream_url = \"\""), "feeds[0].stream_url", "wss://"),
        (&format!("{feed}stale_after = \"2s\"\nevery = \"1s\""), "feeds[0].stale_after", "3s"),
    ]);
    for (rest, expected) in [
        ("", "wss://ws.kraken.com/v2"),
        ("base_url = \"sandbox:/kraken\"", "sandbox:/kraken/v2"),
        (
            "allow_private = true\nbase_url = \"http://127.0.0.1:9\"\n\
             stream_url = \"ws://127.0.0.1:8\"",
            "ws://127.0.0.1:8",
        ),
    ] {
        let config = load(&format!("{feed}{rest}")).unwrap();
        assert_eq!(config.feeds[0].stream_url(), Some(expected), "{rest}");
    }
}
