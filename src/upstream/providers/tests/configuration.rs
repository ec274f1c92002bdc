//! What a configuration makes a provider ask, and what it may not say.

use super::*;

fn secrets() -> Secrets {
    Secrets { api_key: Some(Secret::new(KEY.to_owned())), ..Secrets::default() }
}

/// Each a provider, the rest of its feed, and what is said of it.
fn refused(cases: &[(&str, &str, &str)]) {
    for (provider, rest, expected) in cases {
        let text = format!("name = 'x'\nprovider = '{provider}'\n{rest}");
        let feed: FeedConfig = toml::from_str(&text).unwrap();
        assert_eq!(build(&feed, &secrets()).err().as_deref(), Some(*expected));
    }
}

#[test]
fn ids_and_symbols_that_an_exchange_cannot_know_are_refused() {
    refused(&[
        (
            "coinbase",
            "endpoint = 'candles'\nsymbols = ['BTC-USD']",
            "`endpoint` must be one of ticker, stats",
        ),
        (
            "coinbase",
            "symbols = ['BTC-USD']\nids = { BTC-USD = '../BTC-USD' }",
            "`ids.BTC-USD` cannot be an id",
        ),
        (
            "kraken",
            "symbols = ['AB-CD', 'A-BCD']",
            "`symbols.1` has AB-CD and A-BCD, which may both be ABCD at Kraken: put them into two feeds",
        ),
        (
            "defillama",
            "symbols = ['BTC-USD']",
            "`ids.BTC-USD` is required: write coingecko:bitcoin or ethereum:0x…",
        ),
        (
            "defillama",
            "symbols = ['BTC-EUR']",
            "`symbols.0` is BTC-EUR, but DefiLlama's prices are in USD",
        ),
        (
            "defillama",
            "symbols = ['BTC-USD']\nids = { BTC-USD = 'bitcoin' }",
            "`ids.BTC-USD` names no chain: write coingecko:bitcoin or ethereum:0x…",
        ),
        (
            "defillama",
            "endpoint = 'chains'\nchains = ['Ethereum', '??']",
            "`chains.1` is \"??\", which cannot be part of a topic",
        ),
    ]);
}

#[test]
fn a_wrong_configuration_names_its_key() {
    let market = "symbols = ['BTC-USD']";
    let cases = [
        ("binance", "", "`symbols` must not be empty"),
        (
            "binance",
            "symbols = ['FOO']",
            "`symbols.0` is `FOO`, which is not a symbol like BTC-USD",
        ),
        (
            "binance",
            "symbols = ['BTC-USD']\nendpoint = 'trades'",
            "`endpoint` must be one of ticker_24hr, ticker_price, book_ticker",
        ),
        (
            "coingecko",
            market,
            "`ids.BTC-USD` is required: CoinGecko has ids of its own, such as bitcoin for BTC (the last part of the coin's page)",
        ),
        (
            "coingecko",
            "symbols = ['BTC-USD']\nids = { BTC-USD = 'bitcoin,ethereum' }",
            "`ids.BTC-USD` cannot be an id",
        ),
        (
            "coingecko",
            "symbols = ['BTC-USD']\nids = { bitcoin = 'bitcoin' }",
            "`ids.bitcoin` is not for a symbol like BTC-USD",
        ),
        (
            "token_metrics",
            "symbols = ['BTC-EUR']",
            "`symbols.0` is BTC-EUR, but Token Metrics' prices are in USD",
        ),
        ("mempool", "endpoint = 'blocks'", "`endpoint` must be one of fees, height, mempool"),
        ("evm", "endpoint = 'blocks'", "`endpoint` must be one of gas"),
        ("fear_greed", "endpoint = 'fng'", "`endpoint` must be one of index"),
        (
            "evm",
            "chain = 'a.b'",
            "`chain` \"a.b\" becomes a part of topics: use only a-z, 0-9 and _, at most 32 of them",
        ),
        ("synthetic", "", "`provider` is synthetic, which has no upstream to poll"),
    ];
    refused(&cases);
    let dotted = "name = 'a.b'\nprovider = 'binance'\nsymbols = ['BTC-USD']";
    let error = build(&toml::from_str(dotted).unwrap(), &Secrets::default()).err().unwrap();
    assert!(error.starts_with("`name` "), "{error}");
}

#[test]
fn etherscan_is_asked_only_about_chains_that_have_an_id() {
    let devnet = "name = 'x'\nprovider = 'etherscan'\nchain = 'devnet'";
    let error = build(&toml::from_str(devnet).unwrap(), &secrets()).err().unwrap();
    assert!(error.starts_with("`chain` \"devnet\" is not one of ethereum, "), "{error}");
}

#[test]
fn the_evm_batch_is_json_with_two_calls() {
    let feed = toml::from_str("name = 'x'\nprovider = 'evm'").unwrap();
    let request = provider(&feed).requests().remove(0);
    let calls: serde_json::Value = serde_json::from_slice(&request.body.unwrap()).unwrap();
    let methods: Vec<_> = calls.as_array().unwrap().iter().map(|call| &call["method"]).collect();
    assert_eq!(methods, ["eth_blockNumber", "eth_feeHistory"]);
}

#[test]
fn a_key_in_a_query_is_not_printed() {
    let feed = toml::from_str("name = 'x'\nprovider = 'etherscan'").unwrap();
    let requests = provider(&feed).requests();
    assert_eq!(requests[0].secret_query[0].1.expose(), KEY);
    assert!(!format!("{requests:?}").contains(KEY));
}

#[test]
fn the_weight_of_binance_grows_with_the_number_of_symbols() {
    let weight = |endpoint: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|i| format!("'A{i}-USDT'")).collect();
        let feed = format!(
            "name = 'x'\nprovider = 'binance'\nendpoint = '{endpoint}'\nsymbols = [{}]",
            names.join(",")
        );
        let requests = provider(&toml::from_str(&feed).unwrap()).requests();
        assert_eq!(requests.len(), 1);
        requests[0].weight
    };
    let weights = [1, 20, 21, 100, 101].map(|count| weight("ticker_24hr", count));
    assert_eq!(weights, [2, 2, 40, 40, 80]);
    assert_eq!([1, 2].map(|count| weight("ticker_price", count)), [2, 4]);
    assert_eq!([1, 2].map(|count| weight("book_ticker", count)), [2, 4]);
}

/// A feed of `count` markets whose ids are 1, 2, 3….
fn large_feed(provider: &str, endpoint: &str, count: usize) -> FeedConfig {
    let symbols: Vec<String> = (1..=count).map(|i| format!("'A{i}-USD'")).collect();
    let ids: Vec<String> = (1..=count).map(|i| format!("A{i}-USD = '{i}'")).collect();
    let text = format!(
        "name = 'x'\nprovider = '{provider}'\nendpoint = '{endpoint}'\n\
         symbols = [{}]\nids = {{ {} }}",
        symbols.join(","),
        ids.join(",")
    );
    toml::from_str(&text).unwrap()
}

#[test]
fn more_ids_than_a_page_holds_are_asked_in_several_requests() {
    let coins = provider(&large_feed("coingecko", "coins_markets", 251)).requests();
    assert_eq!(coins.len(), 2);
    assert_eq!(coins[1].query[1], ("ids".into(), "251".to_owned()));
    let one = provider(&large_feed("coingecko", "simple_price", 251)).requests();
    assert_eq!(one.len(), 1);

    let kraken = provider(&large_feed("kraken", "ticker", 101)).requests();
    assert_eq!(kraken.len(), 2);
    assert_eq!(kraken[1].query[0], ("pair".into(), "101".to_owned()));
    assert_eq!(provider(&large_feed("coinbase", "ticker", 3)).requests().len(), 3);

    let mut grades = provider(&large_feed("token_metrics", "trader_grades", 101));
    let requests = grades.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].query[0], ("token_id".into(), "101".to_owned()));
    let empty = response(r#"{"success":true,"data":[]}"#);
    assert_eq!(grades.decode(&requests[0], &empty).unwrap().missing.len(), 100);
    assert_eq!(grades.decode(&requests[1], &empty).unwrap().missing.len(), 1);
}
