//! permessage-deflate, seen from the wire.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};

use crate::support::{
    RawEnd, Server, Upstream,
    raw::{self, Raw},
    server,
};

const BROWSER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const LARGE: &str = "[delivery]\ncompression = true";

fn deflated(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1000);
    Compress::new(Compression::default(), false)
        .compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

fn inflated(payload: &[u8]) -> Value {
    let mut out = Vec::with_capacity(1 << 20);
    let payload = [payload, &[0, 0, 0xff, 0xff]].concat();
    Decompress::new(false).decompress_vec(&payload, &mut out, FlushDecompress::Sync).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// The next message that is not a ping, and whether it was compressed.
async fn message(client: &mut Raw) -> (Value, bool) {
    loop {
        let frame = client.frame().await.unwrap();
        match frame.first {
            0x81 => return (serde_json::from_slice(&frame.payload).unwrap(), false),
            0xc1 => return (inflated(&frame.payload), true),
            _ => {}
        }
    }
}

async fn open(server: &Server, offer: &str) -> (Raw, Option<String>) {
    let (mut client, head) = Raw::open(server.address(), offer).await;
    let accepted = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
    let accepted = accepted.map(str::to_owned);
    assert_eq!(message(&mut client).await.0["type"], "welcome");
    (client, accepted)
}

#[tokio::test]
async fn compression_is_off_unless_it_is_configured() {
    let server = server().start().await;
    let (mut client, accepted) = open(&server, BROWSER).await;
    assert_eq!(accepted, None);
    client.send(raw::frame(0xc1, &deflated(r#"{"id":1,"method":"ping"}"#))).await;
    assert_eq!(client.ended().await, RawEnd::Close(Some(1002)));
}

#[tokio::test]
async fn long_updates_are_compressed_and_short_messages_are_not() {
    let feed =
        "name = \"bench\"\nprovider = \"synthetic\"\ntopics = 1\nrate = 500\npayload_bytes = 600";
    let server = server().with(LARGE).feed(feed).start().await;
    let (mut client, accepted) = open(&server, BROWSER).await;
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(accepted.as_deref(), Some(both));
    let ask = json!({"id": 1, "method": "subscribe", "params": {"topics": ["bench.0"],
                     "mode": "every", "snapshot": false}});
    client.send(raw::frame(0xc1, &deflated(&ask.to_string()))).await;
    let (answer, compressed) = message(&mut client).await;
    assert_eq!((&answer["id"], compressed), (&json!(1), false));
    let mut seq = answer["result"]["topics"][0]["seq"].as_u64().unwrap();
    for _ in 0..50 {
        let (update, compressed) = message(&mut client).await;
        seq += 1;
        assert_eq!((&update["seq"], compressed), (&json!(seq), true), "{update}");
    }
}

#[tokio::test]
async fn each_variant_is_what_its_subscriber_asked_for() {
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "68900.50");
    let server = server().with(LARGE).polling("x", &upstream, &["BTC-USDT"]).start().await;
    server.metric_reaches("tickwire_published_total", "price", 1.0).await;
    let (mut small, accepted) =
        open(&server, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n")
            .await;
    assert!(accepted.unwrap().ends_with("server_max_window_bits=9"));
    let ask = json!({"id": 1, "method": "topics", "params": {"pattern": ">"}}).to_string();
    small.send(raw::frame(0x81, ask.as_bytes())).await;
    let (answer, compressed) = message(&mut small).await;
    assert_eq!((answer["result"]["topics"][0]["topic"].is_string(), compressed), (true, true));

    let packed = format!("{BROWSER}Sec-WebSocket-Protocol: tickwire.v1.msgpack\r\n");
    let (mut client, _) = Raw::open(server.address(), &packed).await;
    let request: Value = serde_json::from_str(&ask).unwrap();
    client.send(raw::frame(0x82, &rmp_serde::to_vec(&request).unwrap())).await;
    let frame = client.frame_of(0xc2).await;
    assert!(!frame.payload.is_empty());
}

#[tokio::test]
async fn compressed_requests_in_fragments_and_with_pings_between_are_answered() {
    let server = server().with(LARGE).start().await;
    let (mut client, _) = open(&server, BROWSER).await;
    let ask = deflated(r#"{"id":"split","method":"ping"}"#);
    let (first, last) = ask.split_at(ask.len() / 2);
    let mut bytes =
        [raw::frame(0x41, first), raw::frame(0x89, b"mid"), raw::frame(0x80, last)].concat();
    bytes.extend(raw::frame(0x81, br#"{"id":"plain","method":"ping"}"#));
    for piece in bytes.chunks(5) {
        client.send(piece).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.frame_of(0x8a).await.payload, b"mid");
    assert_eq!(message(&mut client).await.0["id"], "split");
    assert_eq!(message(&mut client).await.0["id"], "plain");
    client.send(raw::close(1000, b"")).await;
    assert_eq!(client.ended().await, RawEnd::Close(Some(1000)));
}

#[tokio::test]
async fn what_must_not_be_sent_ends_the_connection_with_its_code() {
    let server = server().with(LARGE).start().await;
    let bomb = deflated(&" ".repeat(8 << 20));
    let not_utf8 = [0x00, 0x02, 0x00, 0xfd, 0xff, 0xc3, 0x28, 0x00];
    for (name, bytes, code) in [
        ("a bomb", raw::frame(0xc1, &bomb), 1009),
        ("no deflate data", raw::frame(0xc1, b"\x07\x01\x02"), 1007),
        ("inflates to no UTF-8", raw::frame(0xc1, &not_utf8), 1007),
        ("RSV2", raw::frame(0xa1, b"x"), 1002),
        ("a compressed ping", raw::frame(0xc9, b"x"), 1002),
        (
            "a compressed continuation",
            [raw::frame(0x01, b"x"), raw::frame(0xc0, b"x")].concat(),
            1002,
        ),
        (
            "endless empty fragments",
            [raw::frame(0x41, &[0]), raw::frame(0, b"").repeat(9000)].concat(),
            3013,
        ),
    ] {
        let (mut client, _) = open(&server, BROWSER).await;
        client.send(bytes).await;
        assert_eq!(client.ended().await, RawEnd::Close(Some(code)), "{name}");
    }
}
