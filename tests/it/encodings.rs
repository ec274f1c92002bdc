//! The same messages in MessagePack.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Upstream, server};

#[tokio::test]
async fn the_same_objects_come_in_messagepack() {
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "68900.50");
    let server = server().polling("x", &upstream, &["BTC-USDT"]).start().await;
    server.metric_reaches("tickwire_published_total", "price", 1.0).await;
    let (mut plain, mut packed) = (server.client().await, server.packed_client().await);
    let mut seen = Vec::new();
    for client in [&mut plain, &mut packed] {
        let rows = client.subscribe(&["price.BTC-USDT.x"], json!({"mode": "every"})).await;
        assert_eq!(rows[0]["ok"], true);
        let snapshot = client.event_of("snapshot").await;
        assert_eq!(snapshot["data"]["price"], "68900.50");
        assert!(snapshot["rx"].is_u64() && snapshot["ts"].is_null());
        seen.push(snapshot);
    }
    assert_eq!(seen[0], seen[1]);
    upstream.price("BTCUSDT", "68901.00");
    assert_eq!(plain.event_of("update").await, packed.event_of("update").await);
    let (one, other) =
        (plain.ledger("price.BTC-USDT.x").await, packed.ledger("price.BTC-USDT.x").await);
    assert_eq!(one, other);
}

#[tokio::test]
async fn projections_gaps_and_replies_are_packed_as_well() {
    let server = server().with("[hub]\nhistory = 20").synthetic(1, 1000).start().await;
    server.metric_reaches("tickwire_published_total", "other", 100.0).await;
    let mut client = server.packed_client().await;
    let resume = json!({"epoch": client_epoch(&mut client).await, "seq": {"bench.0": 1}});
    let options = json!({"mode": "every", "fields": ["no_such"], "resume": resume});
    let rows = client.subscribe(&["bench.0"], options).await;
    assert_eq!(rows[0]["recovered"], false);
    assert_eq!(client.event_of("update").await["data"], json!({}));
    let page = client.result("topics", json!({"pattern": ">"})).await;
    assert_eq!(page["topics"].as_array().unwrap().len(), 2, "{page}");
}

async fn client_epoch(client: &mut crate::support::Client) -> Value {
    client.result("topics", json!({"pattern": "bench.0"})).await["topics"][0]["epoch"].clone()
}

#[tokio::test]
async fn what_is_no_messagepack_request_gets_its_code_and_the_connection_lives() {
    let server = server().start().await;
    let mut client = server.packed_client().await;
    for (message, code) in [
        (Message::text(r#"{"id":1,"method":"ping"}"#), "bad_request"),
        (Message::binary(vec![0xc1]), "bad_json"),
        (Message::binary(vec![0x82, 0xa2, b'i', b'd']), "bad_json"),
        (Message::binary(vec![0x91; 1000]), "bad_request"),
        (Message::binary(rmp_serde::to_vec(&json!([1])).unwrap()), "bad_request"),
    ] {
        client.send_message(message).await;
        let answer = client.message().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(code)));
    }
    assert_eq!(client.refusal("drop_all", Value::Null).await, "unknown_method");
    assert!(client.result("ping", Value::Null).await["time"].is_u64());
}
