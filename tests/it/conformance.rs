//! What RFC 6455 says of frames, byte by byte: each case is sent on a connection of its own, and
//! while all of them are, another client misses nothing.

mod cases;
mod handshake;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{
    Client, RawEnd, Server, eventually,
    raw::{self, Raw},
    server, soon,
};
use cases::{Case, Expect};

/// A client that checks that it gets every update in order, until it is told to stop.
async fn witness(mut client: Client, mut stop: oneshot::Receiver<()>) -> u64 {
    let rows = client.subscribe(&["bench.0"], json!({"mode": "every", "snapshot": false})).await;
    let first = rows[0]["seq"].as_u64().unwrap();
    let mut seq = first;
    while stop.try_recv().is_err() {
        let event = client.event_of("update").await;
        seq += 1;
        assert_eq!(event["seq"], seq);
    }
    seq - first
}

async fn run(case: &Case, address: SocketAddr) -> RawEnd {
    let (mut client, _) = Raw::open(address, "").await;
    client.send(&case.bytes).await;
    match &case.expect {
        Expect::Close(_) => {}
        Expect::Alive => alive(&mut client, case.name).await,
        Expect::Pong(payload) => {
            assert_eq!(&client.frame_of(0x8a).await.payload, payload, "{}", case.name);
            alive(&mut client, case.name).await;
        }
    }
    client.ended().await
}

/// The connection still answers, and then closes in order.
async fn alive(client: &mut Raw, name: &str) {
    client.send(raw::frame(0x81, br#"{"id":"still there?","method":"ping"}"#)).await;
    loop {
        let frame = client.frame_of(0x81).await;
        let message: Value = serde_json::from_slice(&frame.payload).unwrap();
        if message["id"] == "still there?" {
            assert!(message["result"]["time"].is_i64(), "{name}: {message}");
            break;
        }
    }
    client.send(raw::close(1000, b"")).await;
}

#[tokio::test]
async fn every_case_ends_as_the_rfc_says_and_others_miss_nothing() {
    let server = server().synthetic(1, 200).start().await;
    let (stop, stopped) = oneshot::channel();
    let witness = tokio::spawn(witness(server.client().await, stopped));
    let mut counted: BTreeMap<u16, f64> = BTreeMap::new();
    let cases = cases::all();
    assert!(cases.len() >= 60, "{}", cases.len());
    for case in &cases {
        let expected = match case.expect {
            Expect::Close(code) => RawEnd::Close(code),
            Expect::Alive | Expect::Pong(_) => RawEnd::Close(Some(1000)),
        };
        assert_eq!(run(case, server.address()).await, expected, "{}", case.name);
        *counted.entry(case.counted()).or_default() += 1.0;
    }
    for (code, count) in counted {
        let label = format!("code=\"{code}\"");
        assert_eq!(server.metric("tickwire_closes_total", &label).await, Some(count), "{code}");
    }
    stop.send(()).unwrap();
    assert!(soon("the witness", witness).await.unwrap() > 0);
    only_the_scrape_is_left(&server).await;
}

/// Nothing is kept of connections that have ended.
async fn only_the_scrape_is_left(server: &Server) {
    eventually("every session to end", || async {
        server.metric("tickwire_connections", "ws").await.filter(|sessions| *sessions == 0.0)
    })
    .await;
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_or_behind_its_handshake_is_answered() {
    let server = server().start().await;
    let address = server.address();
    let ask = raw::frame(0x81, br#"{"id":1,"method":"ping"}"#);
    let (mut slow, _) = Raw::open(address, "").await;
    for byte in &ask {
        slow.send([*byte]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    alive(&mut slow, "slow").await;
    let mut eager = Raw::connect(address).await;
    let handshake =
        format!("GET /v1/ws HTTP/1.1\r\nHost: {address}\r\n{}\r\n", raw::UPGRADE).into_bytes();
    eager.send([handshake, ask].concat()).await;
    assert!(eager.head().await.starts_with("HTTP/1.1 101"));
    alive(&mut eager, "eager").await;
}

#[tokio::test]
async fn a_client_that_only_vanishes_is_let_go() {
    let server = server().with("ping_interval = \"300ms\"").start().await;
    let (mut silent, _) = Raw::open(server.address(), "").await;
    assert_eq!(silent.ended().await, RawEnd::Close(Some(3012)), "half open");
    for bytes in [&b""[..], &[0x81], &raw::head(0x81, 5, true), &raw::frame(0x01, b"half")] {
        let (mut client, _) = Raw::open(server.address(), "").await;
        client.send(bytes).await;
        socket2::SockRef::from(&client.stream).shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.ended().await, RawEnd::Gone, "FIN without a close");
    }
    for request in ["", "GET /v1/ws HTTP/1.1\r\nHost: x", "GET /v1/ws HTTP/1.1\r\n\r\n"] {
        let mut client = Raw::connect(server.address()).await;
        client.send(request).await;
        reset(client);
    }
    let (client, _) = Raw::open(server.address(), "").await;
    reset(client);
    only_the_scrape_is_left(&server).await;
}

/// Ends the connection with a RST.
fn reset(client: Raw) {
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// What the process has in memory.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_length_that_is_only_announced_takes_no_memory() {
    let server = server().start().await;
    let mut clients = Vec::new();
    let before = resident_bytes();
    for len in [1 << 20, 1 << 32, (1 << 63) - 1].repeat(30) {
        let (mut client, _) = Raw::open(server.address(), "").await;
        client.send(raw::head(0x82, len, true)).await;
        assert_eq!(client.ended().await, RawEnd::Close(Some(1009)));
        clients.push(client);
    }
    // Other tests run in this process: what is looked for is gigabytes.
    let after = resident_bytes();
    assert!(after < before + (64 << 20), "{before} {after}");
}
