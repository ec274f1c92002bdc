//! Delivery as each subscription chose it: filters, triggers, thresholds, fields, resume.

use serde_json::{Value, json};

use crate::support::{Client, Server, Upstream, server};

const TOPIC: &str = "price.BTC-USDT.x";

/// A server whose one price is what the test says.
async fn market() -> (Upstream, Server) {
    let upstream = Upstream::start().await;
    let server =
        server().with("[hub]\nhistory = 20").polling("x", &upstream, &["BTC-USDT"]).start().await;
    (upstream, server)
}

/// Sets prices one after the other, each taken before the next.
async fn move_through(upstream: &Upstream, server: &Server, prices: &[&str]) {
    for price in prices {
        let before = published(server).await;
        upstream.price("BTCUSDT", price);
        // Each change is published twice: by its source, and consolidated.
        server.metric_reaches("tickwire_published_total", "price", before + 2.0).await;
    }
}

async fn published(server: &Server) -> f64 {
    server.metric("tickwire_published_total", "kind=\"price\"").await.unwrap()
}

async fn prices_until(client: &mut Client, last: &str) -> Vec<String> {
    let mut prices = Vec::new();
    while prices.last().map(String::as_str) != Some(last) {
        let update = client.event_of("update").await;
        prices.push(update["data"]["price"].as_str().unwrap().to_owned());
    }
    prices
}

fn every(more: Value) -> Value {
    let mut options = json!({"mode": "every", "snapshot": false, "status": false});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

#[tokio::test]
async fn a_filter_lets_through_what_it_says_and_the_account_knows_the_rest() {
    let (upstream, server) = market().await;
    let mut client = server.client().await;
    client.subscribe(&[TOPIC], every(json!({"filter": "data.price > 60000"}))).await;
    move_through(&upstream, &server, &["59000", "60000.01", "60000", "61000"]).await;
    assert_eq!(prices_until(&mut client, "61000").await, ["60000.01", "61000"]);
    let ledger = client.ledger(TOPIC).await;
    assert_eq!((&ledger["delivered"], &ledger["filtered"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn an_edge_trigger_fires_once_per_crossing_and_not_for_what_was_true_before() {
    let (upstream, server) = market().await;
    move_through(&upstream, &server, &["70001"]).await;
    let mut client = server.client().await;
    let options = every(json!({"filter": "data.price > 70000", "trigger": "edge"}));
    client.subscribe(&[TOPIC], options).await;
    move_through(&upstream, &server, &["70002", "69000", "70003", "70004", "69999", "71000"]).await;
    assert_eq!(prices_until(&mut client, "71000").await, ["70003", "71000"]);
}

#[tokio::test]
async fn min_change_compares_with_the_last_value_let_through() {
    let (upstream, server) = market().await;
    let mut client = server.client().await;
    let options = every(json!({"min_change": {"field": "price", "bps": 100}}));
    client.subscribe(&[TOPIC], options).await;
    move_through(&upstream, &server, &["100", "100.5", "100.9", "101", "100.5", "99.9"]).await;
    assert_eq!(prices_until(&mut client, "99.9").await, ["100", "101", "99.9"]);
}

#[tokio::test]
async fn fields_project_updates_and_snapshots() {
    let (upstream, server) = market().await;
    move_through(&upstream, &server, &["5.50"]).await;
    let mut client = server.client().await;
    let options = json!({"fields": ["sources"], "mode": "every"});
    client.subscribe(&["price.BTC-USDT"], options).await;
    assert_eq!(client.event_of("snapshot").await["data"], json!({"sources": 1}));
    move_through(&upstream, &server, &["6"]).await;
    let update = client.event_of("update").await;
    assert_eq!((&update["seq"], &update["data"]), (&json!(2), &json!({"sources": 1})));
}

#[tokio::test]
async fn a_filter_that_fails_is_told_once_and_a_bad_one_is_refused_with_its_place() {
    let (upstream, server) = market().await;
    let mut client = server.client().await;
    let code = client.refusal("subscribe", json!({"topics": [TOPIC], "filter": "data.price >"}));
    assert_eq!(code.await, "bad_filter");
    let nested = format!("{}true{}", "(".repeat(40), ")".repeat(40));
    let code = client.refusal("subscribe", json!({"topics": [TOPIC], "filter": nested})).await;
    assert_eq!(code, "filter_too_costly");
    client.subscribe(&[TOPIC], every(json!({"filter": "data.price / 0 > 1 || 1 / 0 > 1"}))).await;
    move_through(&upstream, &server, &["1", "2", "3"]).await;
    let notice = client.event_of("notice").await;
    assert_eq!((&notice["code"], &notice["topic"]), (&json!("filter_error"), &json!(TOPIC)));
    let ledger = client.ledger(TOPIC).await;
    assert_eq!((&ledger["filtered"], &ledger["delivered"]), (&json!(3), &json!(0)));
    assert!(client.result("ping", Value::Null).await["time"].is_i64());
}

#[tokio::test]
async fn a_client_that_comes_back_gets_exactly_what_it_missed() {
    let (upstream, server) = market().await;
    move_through(&upstream, &server, &["1", "2", "3"]).await;
    let mut client = server.client().await;
    let rows = client.subscribe(&[TOPIC], every(json!({}))).await;
    let (epoch, seq) = (rows[0]["epoch"].clone(), rows[0]["seq"].as_u64().unwrap());
    drop(client);
    move_through(&upstream, &server, &["4", "5", "6"]).await;
    let mut back = server.client().await;
    let resume = json!({"resume": {"epoch": epoch, "seq": {TOPIC: seq}}});
    let rows = back.subscribe(&[TOPIC], every(resume.clone())).await;
    assert_eq!((&rows[0]["recovered"], &rows[0]["seq"]), (&json!(true), &json!(seq + 3)));
    move_through(&upstream, &server, &["7"]).await;
    for (number, price) in (seq + 1..).zip(["4", "5", "6", "7"]) {
        let update = back.event_of("update").await;
        assert_eq!((&update["seq"], &update["data"]["price"]), (&json!(number), &json!(price)));
    }
    let ledger = back.ledger(TOPIC).await;
    assert_eq!((&ledger["published"], &ledger["delivered"]), (&json!(4), &json!(4)));

    let mut latest = server.client().await;
    let rows = latest.subscribe(&[TOPIC], resume).await;
    assert_eq!(rows[0]["recovered"], true);
    assert_eq!(latest.event_of("update").await["data"]["price"], "7");
    assert_eq!(latest.ledger(TOPIC).await["conflated"], 3);
}

#[tokio::test]
async fn what_cannot_be_recovered_is_said_and_begins_with_a_snapshot() {
    let (upstream, server) = market().await;
    let many: Vec<String> = (1..=30).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    move_through(&upstream, &server, &many).await;
    let mut client = server.client().await;
    let rows = client.subscribe(&[TOPIC], every(json!({}))).await;
    let epoch = rows[0]["epoch"].as_str().unwrap().to_owned();
    let positions = [
        json!({"epoch": epoch, "seq": {TOPIC: 3}}),
        json!({"epoch": epoch, "seq": {TOPIC: 99}}),
        json!({"epoch": "another", "seq": {TOPIC: 29}}),
        json!({"epoch": epoch, "seq": {TOPIC: {"epoch": "another", "seq": 29}}}),
        json!({"seq": {TOPIC: 29}}),
        json!({"epoch": epoch, "seq": {}}),
    ];
    for resume in positions {
        let mut client = server.client().await;
        let rows = client.subscribe(&[TOPIC], every(json!({"resume": resume}))).await;
        assert_eq!(rows[0]["recovered"], false, "{resume}");
        assert_eq!(client.event_of("snapshot").await["seq"], 30, "{resume}");
    }
}

#[tokio::test]
async fn a_pattern_resumes_topic_by_topic() {
    let (upstream, server) = market().await;
    move_through(&upstream, &server, &["1", "2", "3"]).await;
    let mut client = server.client().await;
    let epoch = client.subscribe(&[TOPIC], every(json!({}))).await[0]["epoch"].clone();
    let mut back = server.client().await;
    let resume = json!({"resume": {"epoch": epoch, "seq": {TOPIC: 2}}});
    let rows = back.subscribe(&["price.>"], every(resume)).await;
    let topics = rows[0]["topics"].as_array().unwrap();
    let told: Vec<_> = topics
        .iter()
        .map(|row| (row["topic"].as_str().unwrap(), row["recovered"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, [("price.BTC-USDT", false), (TOPIC, true)]);
    let (mut snapshots, mut updates) = (Vec::new(), Vec::new());
    while snapshots.is_empty() || updates.is_empty() {
        let event = back.event().await;
        match event["type"].as_str().unwrap() {
            "snapshot" => snapshots.push(event["topic"].clone()),
            "update" => updates.push((event["topic"].clone(), event["seq"].clone())),
            _ => {}
        }
    }
    assert_eq!(snapshots, ["price.BTC-USDT"]);
    assert_eq!(updates, [(json!(TOPIC), json!(3))]);
}

#[tokio::test]
async fn a_long_replay_runs_at_the_pace_of_the_socket_and_joins_the_live_stream_exactly() {
    let server = server()
        .with("[hub]\nhistory = 5000\n[delivery]\nqueue_updates = 8")
        .synthetic(1, 2000)
        .start()
        .await;
    server.metric_reaches("tickwire_published_total", "other", 4000.0).await;
    let mut client = server.client().await;
    let head = client.subscribe(&["bench.0"], every(json!({}))).await;
    let epoch = head[0]["epoch"].clone();
    let first = head[0]["seq"].as_u64().unwrap() - 3000;
    let mut back = server.client().await;
    let resume = json!({"resume": {"epoch": epoch, "seq": {"bench.0": first}}});
    let rows = back.subscribe(&["bench.0"], every(resume)).await;
    assert_eq!(rows[0]["recovered"], true);
    let mut next = first + 1;
    let mut lost = 0;
    while next < first + 5000 {
        let event = back.event().await;
        match event["type"].as_str().unwrap() {
            "update" => {
                assert_eq!(event["seq"], next);
                next += 1;
            }
            "gap" => {
                assert_eq!(event["from"], next);
                next = event["to"].as_u64().unwrap() + 1;
                lost += event["dropped"].as_u64().unwrap();
            }
            _ => {}
        }
    }
    let ledger = back.ledger("bench.0").await;
    let part = |name: &str| ledger[name].as_u64().unwrap();
    assert!(part("dropped") >= lost);
    assert_eq!(
        part("published"),
        part("delivered") + part("dropped") + part("queued") + part("filtered"),
        "{ledger}"
    );
}
