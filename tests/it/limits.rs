//! Bounds: each excess gets its code, and costs nobody else anything.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Ended, eventually, server, soon};

#[tokio::test]
async fn two_thousand_topics_in_one_request_are_refused_as_a_whole() {
    let server = server().synthetic(1, 50).start().await;
    let mut client = server.client().await;
    let topics: Vec<_> = (0..2000).map(|n| format!("t.{n}")).collect();
    assert_eq!(client.refusal("subscribe", json!({"topics": topics})).await, "too_many_topics");
    let result = client.result("subscriptions", Value::Null).await;
    assert_eq!(result["subscriptions"], json!([]));
    client.subscribe(&["bench.0"], json!({})).await;
    client.event_of("update").await;
}

#[tokio::test]
async fn a_session_has_so_many_subscriptions_and_its_patterns_so_many_matches() {
    let server =
        server().with("[limits]\ntopics = 3\nmatched_topics = 5").synthetic(20, 1000).start().await;
    server.metric_reaches("tickwire_published_total", "other", 40.0).await;
    let mut client = server.client().await;
    let rows = client.subscribe(&["bench.*", "a.1", "a.2", "a.3", "a.4", "a.1"], json!({})).await;
    let codes: Vec<_> =
        rows.iter().map(|row| row["error"]["code"].as_str().unwrap_or("ok")).collect();
    assert_eq!(codes, ["too_many_topics", "ok", "ok", "ok", "too_many_topics", "ok"]);
}

#[tokio::test]
async fn a_message_of_a_mebibyte_closes_with_1009_and_is_counted() {
    let server = server().synthetic(1, 500).start().await;
    let mut other = server.client().await;
    let rows = other.subscribe(&["bench.0"], json!({"mode": "every", "snapshot": false})).await;
    let mut client = server.client().await;
    client.send_message(Message::text("x".repeat(1 << 20))).await;
    let expected = Ended::Closed { code: 1009, reason: "message_too_large".into() };
    assert_eq!(client.ended().await, expected);
    server.metric_reaches("tickwire_errors_total", "message_too_large", 1.0).await;
    server.metric_reaches("tickwire_closes_total", "1009", 1.0).await;
    let mut seq = rows[0]["seq"].as_u64().unwrap();
    for _ in 0..100 {
        seq += 1;
        assert_eq!(other.event_of("update").await["seq"], seq);
    }
}

#[tokio::test]
async fn too_many_requests_are_refused_and_a_flood_is_closed() {
    let server = server().with("[limits]\nrequests_per_s = 2").start().await;
    let mut client = server.client().await;
    let mut codes = Vec::new();
    for _ in 0..6 {
        let answer = client.ask("ping", Value::Null).await;
        codes.push(answer["error"]["code"].as_str().unwrap_or("ok").to_owned());
    }
    assert_eq!(codes[..4], ["ok", "ok", "ok", "ok"]);
    assert_eq!(codes[5], "rate_limited");
    for _ in 0..40 {
        client.send("{}").await;
    }
    let expected = Ended::Closed { code: 3013, reason: "rate_limited".into() };
    assert_eq!(client.ended().await, expected);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_room_is_made_when_one_leaves() {
    let server = server().with("[limits]\nconnections = 2").start().await;
    let first = server.client().await;
    let _second = server.client().await;
    let mut third = Client::connect(server.address()).await;
    assert_eq!(third.event().await["error"]["code"], "too_many_connections");
    let expected = Ended::Closed { code: 3504, reason: "too_many_connections".into() };
    assert_eq!(third.ended().await, expected);
    drop(first);
    eventually("a place", || async {
        let mut client = Client::connect(server.address()).await;
        (client.message().await["type"] == "welcome").then_some(())
    })
    .await;
}

#[tokio::test]
async fn half_a_request_head_is_cut_off_and_others_are_served_meanwhile() {
    let server = server().start().await;
    let mut half = TcpStream::connect(server.address()).await.unwrap();
    half.write_all(b"GET /v1/ws HTTP/1.1\r\nHost: x").await.unwrap();
    server.client().await;
    let mut rest = Vec::new();
    soon("the slow client to be cut off", half.read_to_end(&mut rest)).await.ok();
}

#[tokio::test]
async fn strange_origins_and_hosts_are_refused() {
    let server = server().start().await;
    let address = server.address();
    for (header, status) in [
        (String::new(), "101"),
        (format!("Origin: http://{address}\r\n"), "101"),
        (format!("Origin: http://localhost:{}\r\n", address.port()), "101"),
        ("Origin: https://evil.example\r\n".into(), "403"),
        ("Origin: null\r\n".into(), "403"),
        (format!("Origin: http://{address}.evil.example\r\n"), "403"),
    ] {
        assert_eq!(handshake(&address.to_string(), address, &header).await, status, "{header}");
    }
    assert_eq!(handshake("rebound.example", address, "").await, "421");
}

async fn handshake(host: &str, address: std::net::SocketAddr, header: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    soon("a status line", stream.read_exact(&mut line)).await.unwrap();
    String::from_utf8(line[9..].to_vec()).unwrap()
}
