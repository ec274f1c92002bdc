//! Reading over HTTP: history page by page, and the markets.

use serde_json::{Value, json};

use crate::support::{Upstream, eventually, server};

fn numbers(page: &Value) -> Vec<u64> {
    let updates = page["updates"].as_array().unwrap_or_else(|| panic!("{page}"));
    updates.iter().map(|update| update["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn history_is_read_page_by_page_up_to_where_it_was_asked() {
    let server = server().synthetic(1, 500).start().await;
    server.metric_reaches("tickwire_published_total", "other", 50.0).await;
    let mut next = Some(String::new());
    let mut read = Vec::new();
    let mut pages = 0;
    while let Some(cursor) = next {
        let cursor = if cursor.is_empty() { cursor } else { format!("&cursor={cursor}") };
        let page = server
            .json(&format!("/v1/history/bench.0?from_seq=11&to_seq=45&limit=10{cursor}"))
            .await;
        assert_eq!(page["updates"][0]["type"], "update");
        assert_eq!(page["oldest"], 1);
        read.extend(numbers(&page));
        next = page["next"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert_eq!((pages, read), (4, (11..=45).collect::<Vec<_>>()));
    let topics = server.json("/v1/topics?pattern=bench.0").await;
    let all = server.json("/v1/history/bench.0?limit=20").await;
    assert_eq!(all["epoch"], topics["topics"][0]["epoch"]);
    assert_eq!(numbers(&all), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn history_by_time_compares_what_was_received() {
    let server = server().synthetic(1, 500).start().await;
    server.metric_reaches("tickwire_published_total", "other", 50.0).await;
    let all = server.json("/v1/history/bench.0?limit=50").await;
    let rx = |index: usize| all["updates"][index]["rx"].as_i64().unwrap();
    let (from, to) = (rx(10), rx(30));
    let expected: Vec<_> = numbers(&all)
        .into_iter()
        .enumerate()
        .filter(|(index, _)| (from..=to).contains(&rx(*index)))
        .map(|(_, seq)| seq)
        .collect();
    let query = format!("/v1/history/bench.0?from_time={from}&to_time={to}&limit=8");
    let mut read = Vec::new();
    let mut page = server.json(&query).await;
    read.extend(numbers(&page));
    while let Some(next) = page["next"].as_str() {
        page = server.json(&format!("{query}&cursor={next}")).await;
        read.extend(numbers(&page));
    }
    assert_eq!(read, expected);
    let future = format!("/v1/history/bench.0?from_time={}", i64::MAX);
    assert_eq!(server.json(&future).await["updates"], json!([]));
}

#[tokio::test]
async fn history_that_is_no_longer_kept_is_gone_and_tells_the_oldest() {
    let server = server().with("[hub]\nhistory = 10").synthetic(1, 500).start().await;
    server.metric_reaches("tickwire_published_total", "other", 30.0).await;
    let page = server.json("/v1/history/bench.0?limit=3").await;
    let next = page["next"].as_str().unwrap().to_owned();
    server.metric_reaches("tickwire_published_total", "other", 60.0).await;
    for query in
        ["from_seq=1".into(), format!("cursor={next}"), "from_time=0&cursor=other-5".into()]
    {
        let (status, body) = server.get(&format!("/v1/history/bench.0?{query}")).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["code"]), (410, &json!("unrecoverable")), "{query}");
        assert!(body["oldest"].as_u64().unwrap() > 10, "{body}");
    }
    // By time, what there is is given; `oldest` tells that there was more.
    let page = server.json("/v1/history/bench.0?from_time=0").await;
    assert_eq!(numbers(&page).first(), page["oldest"].as_u64().as_ref());
}

#[tokio::test]
async fn what_history_cannot_answer_is_refused() {
    let server = server().synthetic(1, 500).start().await;
    server.metric_reaches("tickwire_published_total", "other", 1.0).await;
    for (path, status, code) in [
        ("price.X-Y", 404, "unknown_topic"),
        ("a..b", 400, "bad_topic"),
        ("bench.*", 400, "bad_topic"),
        ("bench.0?from_seq=0", 400, "bad_request"),
        ("bench.0?from_seq=5&to_seq=4", 400, "bad_request"),
        ("bench.0?from_time=5&to_time=4", 400, "bad_request"),
        ("bench.0?from_seq=1&to_time=4", 400, "bad_request"),
        ("bench.0?limit=0", 400, "bad_request"),
        ("bench.0?limit=1001", 400, "bad_request"),
        ("bench.0?cursor=5", 400, "bad_request"),
        ("bench.0?cursor=", 400, "bad_request"),
        ("bench.0?from=1", 400, "bad_request"),
    ] {
        let (got, body) = server.get(&format!("/v1/history/{path}")).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((got, &body["code"]), (status, &json!(code)), "{path}: {body}");
    }
    let beyond = server.json("/v1/history/bench.0?from_seq=999999").await;
    assert_eq!((&beyond["updates"], &beyond["next"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn symbols_tell_sources_aliases_and_units() {
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "5.0");
    upstream.price("ETHBTC", "0.05");
    let symbols = ["BTC-USDT", "ETH-BTC"];
    let server =
        server().polling("x", &upstream, &symbols).polling("y", &upstream, &symbols).start().await;
    let page = eventually("both markets to have values", || async {
        let page = server.json("/v1/symbols").await;
        let has_values = |index: usize| page["symbols"][index]["fields"]["sources"].is_object();
        (has_values(0) && has_values(1)).then_some(page)
    })
    .await;
    let btc = &page["symbols"][0];
    assert_eq!((&btc["symbol"], &btc["base"]), (&json!("BTC-USDT"), &json!("BTC")));
    assert_eq!((&btc["quote"], &btc["sources"]), (&json!("USDT"), &json!(["x", "y"])));
    assert_eq!(btc["fields"]["price"]["unit"], "USDT");
    assert_eq!(page["symbols"][1]["fields"]["price"]["unit"], "BTC");
    assert_eq!(btc["fields"]["sources"]["unit"], "sources");
    let aliases: Vec<_> = btc["aliases"].as_array().unwrap().iter().collect();
    for alias in ["BTC/USDT", "BTCUSDT", "btc-usdt", "XBT-USDT"] {
        assert!(aliases.contains(&&json!(alias)), "{alias}");
        let path = format!("/v1/history/price.{}", alias.replace('/', "%2F"));
        assert_eq!(server.json(&path).await["updates"][0]["topic"], "price.BTC-USDT");
    }
    let first = server.json("/v1/symbols?limit=1").await;
    assert_eq!(first["next"], "BTC-USDT");
    let second = server.json("/v1/symbols?limit=1&cursor=BTC-USDT").await;
    assert_eq!(second["symbols"][0]["symbol"], "ETH-BTC");
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn snapshots_of_many_patterns_are_read_page_by_page() {
    let server = server().synthetic(10, 1000).start().await;
    server.metric_reaches("tickwire_published_total", "other", 100.0).await;
    let query = "/v1/snapshot?topics=none.*,bench.*,none.%3E,bench.1,none.x&limit=4";
    let mut read = Vec::new();
    let mut page = server.json(query).await;
    loop {
        for row in page["snapshots"].as_array().unwrap() {
            read.push(row["topic"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str().map(str::to_owned) else { break };
        page = server.json(&format!("{query}&cursor={next}")).await;
    }
    let mut expected: Vec<_> = (0..10).map(|n| format!("bench.{n}")).collect();
    expected.extend(["bench.1".to_owned(), "none.x".to_owned()]);
    assert_eq!(read, expected);
    let (status, body) = server.get(&format!("{query}&cursor=x")).await;
    assert!(status == 400 && body.contains("cursor"), "{body}");
}
