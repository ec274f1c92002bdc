//! From an upstream's answer to a client: digits, failures, failover, the sandbox.

use serde_json::{Value, json};

use crate::support::{Client, EXCHANGES, Upstream, eventually, server};

#[tokio::test]
async fn the_upstream_s_digits_reach_the_client() {
    let upstream = Upstream::start().await;
    let server = server().polling("x", &upstream, &["BTC-USDT"]).start().await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT"], json!({"mode": "every", "snapshot": false})).await;
    for (sent, expected) in [
        ("68900.50", "68900.50"),
        ("0.1000000000000000055511", "0.1000000000000000055511"),
        ("7E-7", "0.0000007"),
    ] {
        upstream.price("BTCUSDT", sent);
        let update = client.event_of("update").await;
        assert_eq!(update["data"]["price"], expected);
        assert_eq!((&update["source"], &update["data"]["sources"]), (&json!("x"), &json!(1)));
        assert!(update["ts"].is_null());
    }
}

#[tokio::test]
async fn poisoned_values_never_reach_a_client() {
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "10");
    let server = server().polling("x", &upstream, &["BTC-USDT"]).start().await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT.x"], json!({"mode": "every"})).await;
    for poison in ["NaN", "-1", "0", "inf", "1,5", "", "1e400"] {
        upstream.price("BTCUSDT", poison);
        upstream.polled(2).await;
    }
    upstream.price("BTCUSDT", "11");
    loop {
        let event = client.event().await;
        if matches!(event["type"].as_str(), Some("snapshot" | "update")) {
            let price = event["data"]["price"].as_str().unwrap();
            assert!(["10", "11"].contains(&price), "{event}");
            if price == "11" {
                break;
            }
        }
    }
    assert!(server.metric("tickwire_quarantined_total", "").await.unwrap() >= 2.0);
}

#[tokio::test]
async fn each_failure_has_its_reason_and_a_healthy_feed_does_not_notice() {
    let (bad, good) = (Upstream::start().await, Upstream::start().await);
    good.price("ETHUSDT", "5");
    let server = server()
        .polling("bad", &bad, &["BTC-USDT"])
        .polling("good", &good, &["ETH-USDT"])
        .start()
        .await;
    for (status, body, outcome) in [
        (500, "", "http_5xx"),
        (404, "{}", "http_4xx"),
        (200, "<html>busy</html>", "bad_body"),
        (200, "[{\"symbol\":", "bad_body"),
        (429, "", "rate_limited"),
    ] {
        bad.misbehave(status, &[], body);
        let label = format!("feed=\"bad\",outcome=\"{outcome}\"");
        server.metric_reaches("tickwire_upstream_requests_total", &label, 1.0).await;
    }
    let (_, text) = server.get("/metrics").await;
    let of_good = |line: &&str| {
        line.starts_with("tickwire_upstream_requests_total{") && line.contains("feed=\"good\"")
    };
    for line in text.lines().filter(of_good) {
        assert!(line.contains("outcome=\"ok\"") || line.ends_with(" 0"), "{line}");
    }
    let page = server.json("/v1/topics?pattern=price.ETH-USDT.good").await;
    assert_eq!(page["topics"][0]["state"], "live");
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let upstream = Upstream::start().await;
    upstream.misbehave(429, &[("retry-after", "2")], "");
    let server = server().polling("x", &upstream, &["BTC-USDT"]).start().await;
    upstream.polled(1).await;
    let started = std::time::Instant::now();
    upstream.polled(1).await;
    assert!(started.elapsed().as_millis() >= 1900, "{:?}", started.elapsed());
    drop(server);
}

#[tokio::test]
async fn a_price_fails_over_to_the_next_live_source() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    first.price("BTCUSDT", "100.1");
    second.price("BTCUSDT", "100.2");
    let server = server()
        .polling("first", &first, &["BTC-USDT"])
        .polling("second", &second, &["BTC-USDT"])
        .consolidate("prefer = [\"first\", \"second\"]")
        .start()
        .await;
    let source = |expected: &'static str| {
        let server = &server;
        eventually(expected, move || async move {
            let page = server.json("/v1/snapshot?topics=price.BTC-USDT").await;
            (page["snapshots"][0]["source"] == expected).then_some(())
        })
    };
    source("first").await;
    first.misbehave(500, &[], "");
    source("second").await;
    first.behave();
    source("first").await;
}

#[tokio::test]
async fn a_source_that_goes_wild_is_left_out_and_said_to_be_and_one_that_goes_stale_leaves() {
    let upstreams = [Upstream::start().await, Upstream::start().await, Upstream::start().await];
    let mut builder = server();
    for (upstream, (name, price)) in
        upstreams.iter().zip([("low", "100.0"), ("middle", "100.50"), ("high", "101")])
    {
        upstream.price("BTCUSDT", price);
        builder = builder.feed(&format!(
            "name = \"{name}\"\nprovider = \"binance\"\nendpoint = \"ticker_price\"\n\
             base_url = \"{}\"\nallow_private = true\nsymbols = [\"BTC-USDT\"]\n\
             every = \"100ms\"\nstale_after = \"2s\"\nmax_jump_pct = 1000000.0",
            upstream.url()
        ));
    }
    let server = builder.start().await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT"], json!({"mode": "every"})).await;
    let [low, middle, high] = &upstreams;
    let settled = client_sees(&mut client, 3).await;
    assert_eq!(
        (&settled["data"]["price"], &settled["source"]),
        (&json!("100.50"), &json!("middle"))
    );
    assert_eq!(settled["data"]["spread_bps"], "99.50");

    high.price("BTCUSDT", "5000");
    let without = client_sees(&mut client, 2).await;
    assert_eq!((&without["data"]["price"], &without["source"]), (&json!("100.0"), &json!("low")));
    assert_eq!(without["data"]["spread_bps"], "50.00");
    let label = "feed=\"high\",reason=\"outlier\"";
    server.metric_reaches("tickwire_quarantined_total", label, 2.0).await;
    let report = eventually("the feed says so", || async {
        let feeds = server.json("/v1/feeds").await;
        let report = feeds["feeds"].as_array()?.iter().find(|feed| feed["name"] == "high")?.clone();
        (report["last_error"]["reason"] == "quarantined").then_some(report)
    })
    .await;
    assert_eq!(report["state"], "live");
    let message = report["last_error"]["message"].as_str().unwrap();
    assert!(message.contains("5000 is more than 5 % away from 100.0"), "{message}");
    let page = server.json("/v1/snapshot?topics=price.BTC-USDT.high,status.high").await;
    assert_eq!(page["snapshots"][0]["data"]["price"], "5000", "{page}");
    assert_eq!(page["snapshots"][1]["data"]["reason"], "quarantined", "{page}");

    high.price("BTCUSDT", "101.0");
    client_sees(&mut client, 3).await;
    // No answer at all: it leaves when it is stale, and the price is of the two that are left.
    middle.misbehave(500, &[], "");
    let without = client_sees(&mut client, 2).await;
    assert_eq!(
        (&without["source"], &without["data"]["spread_bps"]),
        (&json!("low"), &json!("100.00"))
    );
    low.misbehave(500, &[], "");
    let alone = client_sees(&mut client, 1).await;
    assert_eq!((&alone["source"], &alone["data"]["price"]), (&json!("high"), &json!("101.0")));
}

/// The next price that so many sources are counted in.
async fn client_sees(client: &mut Client, sources: u64) -> Value {
    loop {
        let event = client.event().await;
        if event["data"]["sources"] == sources {
            return event;
        }
    }
}

/// Providers and the simulated APIs are written apart; here they meet.
#[tokio::test]
async fn every_endpoint_that_the_sandbox_imitates_is_understood() {
    let tokens = "symbols = [\"BTC-USD\", \"UNI-USD\"]\nids = { BTC-USD = \"coingecko:bitcoin\", \
                  UNI-USD = \"ethereum:0x1f9840a85d5aF5bf1D1762F925BDADdC4201F984\" }";
    let coins = "symbols = [\"BTC-USD\"]\nids = { BTC-USD = \"bitcoin\" }";
    let others = [
        ("coingecko", "simple_price", coins),
        ("coingecko", "coins_markets", coins),
        ("defillama", "coins", tokens),
        ("defillama", "chains", "chains = [\"OP Mainnet\", \"Polygon\"]"),
        ("defillama", "chains", ""),
        ("mempool", "fees", ""),
        ("mempool", "height", ""),
        ("mempool", "mempool", ""),
    ];
    let cases: Vec<_> = EXCHANGES.into_iter().chain(others).collect();
    let mut builder = server();
    for (number, (provider, endpoint, rest)) in cases.iter().enumerate() {
        builder = builder.feed(&format!(
            "name = \"f{number}\"\nprovider = \"{provider}\"\nendpoint = \"{endpoint}\"\n\
             base_url = \"sandbox:/{provider}\"\nevery = \"500ms\"\n{rest}"
        ));
    }
    let server = builder.start().await;
    eventually("each feed has all that it asks for", || async {
        let page = server.json("/v1/feeds").await;
        let feeds = page["feeds"].as_array().unwrap();
        let fine = |feed: &Value| feed["state"] == "live" && feed["last_error"].is_null();
        (feeds.len() == cases.len() && feeds.iter().all(fine)).then_some(())
    })
    .await;
    for topic in [
        "price.DOGE-USD.f5",
        "price.UNI-USD.f8",
        "onchain.op_mainnet.tvl",
        "onchain.avalanche.tvl",
        "onchain.bitcoin.mempool",
    ] {
        let page = server.json(&format!("/v1/snapshot?topics={topic}")).await;
        assert_eq!(page["snapshots"][0]["state"], "live", "{topic}: {page}");
    }
}

#[tokio::test]
async fn prices_signals_and_chain_metrics_flow_from_the_sandbox() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = tickwire::config::Config::embedded().unwrap();
    let app = tickwire::app::App::start(config, listener).await.unwrap();
    let mut client = crate::support::Client::connect(app.address()).await;
    client.subscribe(&[">"], json!({})).await;
    let mut kinds = std::collections::BTreeSet::new();
    let expected = ["candle", "market", "onchain", "price", "signal", "status"];
    while kinds.len() < expected.len() {
        let event = client.event().await;
        if let Some(topic) = event["topic"].as_str() {
            kinds.insert(topic.split('.').next().unwrap().to_owned());
        }
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    assert!(app.stop().await);
}

#[tokio::test]
async fn any_json_api_becomes_a_source_by_configuration_alone() {
    let (api, other) = (Upstream::start().await, Upstream::start().await);
    let say = |text: &str| api.misbehave(200, &[], text);
    say(r#"{"data":[{"coin":"btc","last":103663.10},{"coin":"eth","last":"2589.4400"}]}"#);
    let url = api.url();
    let server = server()
        .feed(&format!(
            "name = \"any\"\nprovider = \"json\"\nurl = \"{url}/v1/last/?kind=spot\"\n\
             allow_private = true\nevery = \"100ms\"\nsymbols = [\"BTC-USD\"]\n\
             [[feeds.topics]]\ntopic = \"price.{{symbol}}\"\neach = \"$.data[*]\"\n\
             symbol = {{ path = \"$.coin\", quote = \"USD\" }}\nfields = {{ price = \"$.last\" }}"
        ))
        .polling("other", &other, &["BTC-USD"])
        .start()
        .await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USD"], json!({"mode": "every"})).await;
    let first = loop {
        let event = client.event().await;
        if event["data"]["price"].is_string() {
            break event;
        }
    };
    assert_eq!((&first["data"]["price"], &first["source"]), (&json!("103663.10"), &json!("any")));
    assert!(!server.get("/v1/topics").await.1.contains("price.ETH-USD"));

    say(r#"{"error":"rate limit exceeded"}"#);
    server
        .metric_reaches(
            "tickwire_upstream_requests_total",
            "feed=\"any\",outcome=\"rate_limited\"",
            1.0,
        )
        .await;
}

#[tokio::test]
async fn a_configured_source_may_ask_the_sandbox() {
    let server = server()
        .feed(
            "name = \"own\"\nprovider = \"json\"\nevery = \"100ms\"\n\
             url = \"sandbox:/binance/api/v3/ticker/price?symbols=%5B%22BTCUSDT%22%5D\"\n\
             [[feeds.topics]]\ntopic = \"price.{symbol}\"\neach = \"$[*]\"\n\
             symbol = { path = \"$.symbol\" }\nfields = { price = \"$.price\" }",
        )
        .start()
        .await;
    let page = eventually("a price of the sandbox", || async {
        let page = server.json("/v1/snapshot?topics=price.*").await;
        page["snapshots"][0]["data"]["price"].is_string().then_some(page)
    })
    .await;
    let snapshot = &page["snapshots"][0];
    assert_eq!(
        (&snapshot["topic"], &snapshot["source"]),
        (&json!("price.BTC-USDT"), &json!("own"))
    );
}
