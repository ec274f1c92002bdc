//! Requests and answers: shapes, codes, aliases, pages.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Ended, Upstream, server};

#[tokio::test]
async fn a_client_is_welcomed_with_what_it_must_know() {
    let server = server().start().await;
    let mut client = Client::connect(server.address()).await;
    let welcome = client.event().await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["protocol"], "tickwire.v1");
    assert_eq!(welcome["server"], format!("tickwire/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(welcome["principal"], "anonymous");
    assert_eq!(
        welcome["limits"],
        json!({"max_topics": 1024, "max_topics_per_request": 256, "max_message_bytes": 65536,
               "requests_per_s": 20})
    );
    for name in ["connection_id", "epoch"] {
        assert!(!welcome[name].as_str().unwrap().is_empty(), "{name}");
    }
    assert!(welcome["time"].as_i64().unwrap() > 1_700_000_000_000_000);
    assert_eq!(welcome["heartbeat_ms"], 15_000);
}

/// What is sent, the id in the answer, and the code.
fn wrong_requests() -> Vec<(String, Value, &'static str)> {
    let ask = |id: Value, method: &str, params: Value| {
        json!({"id": id, "method": method, "params": params}).to_string()
    };
    vec![
        ("{not json".into(), Value::Null, "bad_json"),
        ("[1,2]".into(), Value::Null, "bad_request"),
        ("{\"id\":{},\"method\":\"ping\"}".into(), Value::Null, "bad_request"),
        (ask(json!(1), "drop_all", Value::Null), json!(1), "unknown_method"),
        (ask(json!("x"), "subscribe", Value::Null), json!("x"), "bad_request"),
        (ask(json!(2), "subscribe", json!({"topics": [1]})), json!(2), "bad_request"),
        (
            ask(json!(3), "subscribe", json!({"topics": ["a"], "mode": "every", "max_rate": 1})),
            json!(3),
            "bad_request",
        ),
        (ask(json!(4), "auth", json!({"token": "t"})), json!(4), "unauthorized"),
        (ask(json!(5), "topics", json!({"pattern": "price.\u{7}BTC"})), json!(5), "bad_topic"),
        (
            ask(json!(6), "replay", json!({"topic": "no.such", "from": 1})),
            json!(6),
            "unknown_topic",
        ),
    ]
}

#[tokio::test]
async fn a_wrong_request_gets_its_code_and_the_connection_lives() {
    let server = server().with("[limits]\nrequests_per_s = 1000").start().await;
    let mut client = server.client().await;
    for (text, id, code) in wrong_requests() {
        client.send(text.clone()).await;
        let answer = client.message().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{text}");
        assert!(answer["error"]["retryable"].is_boolean());
    }
    client.send_message(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.message().await["error"]["code"], "bad_request");
    let time = client.result("ping", Value::Null).await["time"].as_i64().unwrap();
    assert!(time > 1_700_000_000_000_000);
    assert_eq!(server.metric("tickwire_errors_total", "bad_json").await, Some(1.0));
}

#[tokio::test]
async fn one_bad_topic_does_not_spoil_the_others() {
    let server = server().start().await;
    let mut client = server.client().await;
    let asked = ["price.BTC-USD", "nope.", "price.\u{0}", "a.>.b", "signal.>"];
    let rows = client.subscribe(&asked, json!({})).await;
    let ok: Vec<_> = rows.iter().map(|row| row["ok"].as_bool().unwrap()).collect();
    assert_eq!(ok, [true, false, false, false, true]);
    assert_eq!(rows[1]["error"]["code"], "bad_topic");
    assert_eq!(rows[4]["matched"], 0);
    let result = client.result("subscriptions", Value::Null).await;
    assert_eq!(result["subscriptions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn spellings_of_a_symbol_are_accepted_and_answered_as_asked() {
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "7.10");
    let server = server().polling("x", &upstream, &["BTC-USDT"]).start().await;
    server.metric_reaches("tickwire_published_total", "price", 1.0).await;
    let mut client = server.client().await;
    let rows = client.subscribe(&["price.btc/usdt.x"], json!({})).await;
    assert_eq!(rows[0]["topic"], "price.btc/usdt.x");
    assert_eq!(rows[0]["canonical"], "price.BTC-USDT.x");
    assert_eq!(client.event_of("snapshot").await["topic"], "price.BTC-USDT.x");
    let result = client.result("unsubscribe", json!({"topics": ["price.XBTUSDT.x"]})).await;
    assert_eq!(result["topics"][0]["ok"], true);
    let result = client.result("subscriptions", Value::Null).await;
    assert_eq!(result["subscriptions"], json!([]));
}

#[tokio::test]
async fn topics_and_snapshots_come_in_pages() {
    let server = server().synthetic(25, 500).start().await;
    server.metric_reaches("tickwire_published_total", "other", 50.0).await;
    let mut client = server.client().await;
    let mut names = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page =
            client.result("topics", json!({"pattern": "bench.*", "limit": 10, "cursor": cursor}));
        let page = page.await;
        let rows = page["topics"].as_array().unwrap();
        names.extend(rows.iter().map(|row| row["topic"].as_str().unwrap().to_owned()));
        cursor = page["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(names.len(), 25);
    assert!(names.is_sorted());
    let asked = json!({"topics": ["bench.3", "no.such", "bench.1*", "bench.1"]});
    let page = client.result("snapshot", asked).await;
    let rows = page["snapshots"].as_array().unwrap();
    assert_eq!(rows[0]["topic"], "bench.3");
    assert_eq!(rows[0]["type"], "snapshot");
    assert_eq!(rows[1]["error"]["code"], "unknown_topic");
    assert_eq!(rows[2]["error"]["code"], "bad_topic");
    assert_eq!(rows[3]["topic"], "bench.1");
}

#[tokio::test]
async fn the_past_is_replayed_by_sequence_number() {
    let server = server().with("[hub]\nhistory = 50").synthetic(1, 1000).start().await;
    server.metric_reaches("tickwire_published_total", "other", 100.0).await;
    let mut client = server.client().await;
    let answer = client.ask("replay", json!({"topic": "bench.0", "from": 1})).await;
    assert_eq!(answer["error"]["code"], "unrecoverable");
    let oldest = answer["error"]["oldest"].as_u64().unwrap();
    assert!(oldest > 1);
    let rows = client.subscribe(&["bench.0"], json!({"max_rate": 0.001})).await;
    let head = rows[0]["seq"].as_u64().unwrap();
    let asked = json!({"topic": "bench.0", "from": head - 3, "to": head, "limit": 3});
    let page = client.result("replay", asked).await;
    let seqs: Vec<_> =
        page["updates"].as_array().unwrap().iter().map(|u| u["seq"].clone()).collect();
    assert_eq!(seqs, [head - 3, head - 2, head - 1].map(|seq| json!(seq)));
    assert_eq!((&page["next"], &page["epoch"]), (&json!(head), &rows[0]["epoch"]));
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let server = server().start().await;
    let client = server.client().await;
    assert!(matches!(client.close().await, Ended::Closed { .. } | Ended::Gone));
    server.metric_reaches("tickwire_closes_total", "1000", 1.0).await;
}
