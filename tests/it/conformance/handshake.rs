//! Openings that are no opening of RFC 6455, and a few odd ones that are.

use std::net::SocketAddr;

use crate::support::{
    raw::{Raw, UPGRADE},
    server,
};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const SWITCH: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// What is sent, and the status that answers it; 0 where the connection is closed without one.
type Row = (&'static str, Vec<u8>, u16);

/// A request of the usual path and host.
fn with(headers: &str, address: SocketAddr) -> Vec<u8> {
    format!("GET /v1/ws HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").into()
}

fn headers(address: SocketAddr) -> Vec<Row> {
    let bad = |key| with(&format!("{SWITCH}{VERSION}Sec-WebSocket-Key: {key}\r\n"), address);
    let version = |v| with(&format!("{SWITCH}{KEY}Sec-WebSocket-Version: {v}\r\n"), address);
    vec![
        ("as it should be", with(UPGRADE, address), 101),
        ("no key", with(&format!("{SWITCH}{VERSION}"), address), 400),
        ("an empty key", bad(""), 400),
        ("a key of 15 bytes", bad("AAAAAAAAAAAAAAAAAAAA"), 400),
        ("a key of 17 bytes", bad("AAAAAAAAAAAAAAAAAAAAAAA="), 400),
        ("a key that is not base64", bad("dGhlIHNhbXBsZSBub25j!Q=="), 400),
        ("two keys", with(&format!("{UPGRADE}{KEY}"), address), 400),
        ("version 8", version("8"), 426),
        ("version 99", version("99"), 426),
        ("version 13 and 8", version("13, 8"), 426),
        ("no version", with(&format!("{SWITCH}{KEY}"), address), 426),
        ("no Upgrade", with(&format!("Connection: Upgrade\r\n{VERSION}{KEY}"), address), 426),
        ("no Connection", with(&format!("Upgrade: websocket\r\n{VERSION}{KEY}"), address), 426),
        (
            "an upgrade to something else",
            with(&format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{VERSION}{KEY}"), address),
            426,
        ),
        (
            "names in another case, tokens in a list",
            with(
                &format!("CONNECTION: keep-alive, UPGRADE\r\nUpGrAdE: WebSocket\r\n{VERSION}{KEY}"),
                address,
            ),
            101,
        ),
        ("Upgrade twice", with(&format!("{UPGRADE}Upgrade: websocket\r\n"), address), 101),
        (
            "unknown subprotocols",
            with(&format!("{UPGRADE}Sec-WebSocket-Protocol: soap, wamp\r\n"), address),
            400,
        ),
        (
            "unreadable extensions",
            with(&format!("{UPGRADE}Sec-WebSocket-Extensions: ;;=\"\r\n"), address),
            101,
        ),
        ("a strange origin", with(&format!("{UPGRADE}Origin: null\r\n"), address), 403),
    ]
}

fn http(address: SocketAddr) -> Vec<Row> {
    let line = |line: &str| format!("{line}\r\nHost: {address}\r\n{UPGRADE}\r\n").into_bytes();
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(100 << 10));
    let hello = [&[0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3][..], &[7; 160]].concat();
    vec![
        ("HTTP/1.0", line("GET /v1/ws HTTP/1.0"), 400),
        ("POST", line("POST /v1/ws HTTP/1.1"), 405),
        ("a method in lower case", line("get /v1/ws HTTP/1.1"), 405),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 0),
        ("a TLS hello", hello, 400),
        ("nonsense", b"\0\0\0\0\r\n\r\n".into(), 400),
        ("no Host", format!("GET /v1/ws HTTP/1.1\r\n{UPGRADE}\r\n").into(), 400),
        ("Host twice", with(&format!("Host: {address}\r\n{UPGRADE}"), address), 400),
        ("another Host", format!("GET /v1/ws HTTP/1.1\r\nHost: a.b\r\n{UPGRADE}\r\n").into(), 421),
        ("200 headers", with(&format!("{UPGRADE}{many}"), address), 431),
        ("a header of 100 KiB", with(&format!("{UPGRADE}{long}"), address), 431),
        ("a folded header", with(&format!("{UPGRADE}x: a\r\n b\r\n"), address), 400),
        ("a space before a colon", with(&format!("{UPGRADE}x : a\r\n"), address), 400),
        ("NUL in a header", with(&format!("{UPGRADE}x: a\0b\r\n"), address), 400),
        ("NUL in the path", line("GET /v1/ws\0 HTTP/1.1"), 400),
        ("CR LF in the path", line("GET /v1/\r\nws HTTP/1.1"), 400),
        ("an absolute URI", line(&format!("GET http://{address}/v1/ws HTTP/1.1")), 101),
        ("an absolute URI of another host", line("GET http://a.b/v1/ws HTTP/1.1"), 421),
        ("a path that goes up", line("GET /v1/../v1/ws HTTP/1.1"), 404),
        ("%00 in the path", line("GET /v1/ws%00 HTTP/1.1"), 404),
        ("%00 in a topic", line("GET /v1/snapshot?topics=price.%00 HTTP/1.1"), 200),
        ("../ in a topic", line("GET /v1/snapshot?topics=../../etc/passwd HTTP/1.1"), 200),
        ("no UTF-8 in a topic", line("GET /v1/snapshot?topics=%ff HTTP/1.1"), 200),
    ]
}

#[tokio::test]
async fn every_opening_gets_the_status_that_it_deserves() {
    let server = server().start().await;
    let address = server.address();
    let mut wrong = Vec::new();
    for (name, bytes, expected) in headers(address).into_iter().chain(http(address)) {
        let mut client = Raw::connect(address).await;
        client.send(bytes).await;
        let head = client.head().await;
        let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
        if status != expected {
            wrong.push(format!("{name}: {status} instead of {expected}"));
        }
        if status == 426 {
            let head = head.to_ascii_lowercase();
            assert!(head.contains("sec-websocket-version: 13\r\n"), "{name}: {head}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    server.client().await;
}
