//! Clients that do not keep up: closed with 3008 when they take nothing, kept while they take
//! something.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpSocket, time::interval};

use crate::support::{
    RawEnd, Server, eventually,
    raw::{Frame, Raw, UPGRADE, frame},
    schemas, server,
};

const TEXT: u8 = 0x81;
/// Little, so that the kernel's buffers are full after a moment.
const RECEIVE_BUFFER: u32 = 8 << 10;

async fn market() -> Server {
    server()
        .with("[delivery]\nwrite_deadline = \"500ms\"\nsend_buffer = \"8KiB\"\nqueue_updates = 64")
        .synthetic(1, 2000)
        .start()
        .await
}

/// A client that is subscribed to everything, and has read the answer.
async fn subscriber(server: &Server) -> Raw {
    let address = server.address();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
    let mut raw = Raw { stream: socket.connect(address).await.unwrap() };
    raw.send(format!("GET /v1/ws HTTP/1.1\r\nHost: {address}\r\n{UPGRADE}\r\n")).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101"));
    let params =
        json!({"topics": ["bench.0"], "mode": "every", "snapshot": false, "status": false});
    let request = json!({"id": 1, "method": "subscribe", "params": params});
    raw.send(frame(TEXT, request.to_string().as_bytes())).await;
    while message(&raw.frame_of(TEXT).await).get("id").is_none() {}
    raw
}

fn message(frame: &Frame) -> Value {
    let message: Value = serde_json::from_slice(&frame.payload).unwrap();
    if message.get("type").is_some() {
        schemas::message(&message);
    }
    message
}

/// Reads to the end: every number up to the last update is there or in a gap.
async fn rest(raw: &mut Raw) -> (u64, RawEnd) {
    let (mut next, mut updates) = (None, 0);
    while let Some(frame) = raw.frame().await {
        match frame.first {
            0x88 => {
                let code = frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                assert!(raw.frame().await.is_none(), "something follows the close frame");
                return (updates, RawEnd::Close(code));
            }
            TEXT => {
                let message = message(&frame);
                let number = |name: &str| message[name].as_u64().unwrap();
                match message["type"].as_str().unwrap() {
                    "update" => {
                        assert_eq!(number("seq"), next.unwrap_or(number("seq")));
                        next = Some(number("seq") + 1);
                        updates += 1;
                    }
                    "gap" => {
                        assert_eq!(number("from"), next.unwrap_or(number("from")));
                        next = Some(number("to") + 1);
                    }
                    other => panic!("{other}"),
                }
            }
            _ => {}
        }
    }
    (updates, RawEnd::Gone)
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed_with_3008_and_reads_so_when_it_goes_on() {
    let server = market().await;
    let mut stopped = subscriber(&server).await;
    let mut other = server.client().await;
    other.subscribe(&["bench.0"], json!({})).await;
    server.metric_reaches("tickwire_closes_total", "code=\"3008\"", 1.0).await;
    let (updates, end) = rest(&mut stopped).await;
    // What the kernel had taken, the rest of the frame that was partly written, and the reason.
    assert!(updates > 0);
    assert_eq!(end, RawEnd::Close(Some(3008)));
    other.event_of("update").await;
    assert_eq!(server.metric("tickwire_closes_total", "code=\"3008\"").await, Some(1.0));
    assert_eq!(server.metric("tickwire_errors_total", "slow_consumer").await, Some(1.0));
    assert!(server.metric("tickwire_dropped_total", "closed").await.unwrap() > 0.0);
}

#[tokio::test]
async fn a_client_that_takes_nothing_even_then_is_let_go() {
    let server = market().await;
    let mut stopped = subscriber(&server).await;
    server.metric_reaches("tickwire_closes_total", "code=\"3008\"", 1.0).await;
    eventually("its place to be free", || async {
        let queued = server.metric("tickwire_send_queue_bytes", "").await?;
        let subscribed = server.metric("tickwire_subscriptions", "").await?;
        (queued == 0.0 && subscribed == 0.0).then_some(())
    })
    .await;
    let (updates, _) = rest(&mut stopped).await;
    assert!(updates > 0);
    assert_eq!(server.metric("tickwire_closes_total", "").await, Some(1.0));
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_steadily_is_not_closed() {
    let server = market().await;
    let mut slow = subscriber(&server).await;
    // A sixth of what there is to read, for six times the deadline.
    let mut pace = interval(Duration::from_millis(50));
    let mut some = [0; 4096];
    for _ in 0..60 {
        pace.tick().await;
        assert!(slow.stream.read(&mut some).await.unwrap() > 0);
    }
    server.metric_reaches("tickwire_dropped_total", "overflow", 1.0).await;
    assert_eq!(server.metric("tickwire_closes_total", "code=\"3008\"").await, Some(0.0));
    assert_eq!(server.metric("tickwire_connections", "ws").await, Some(1.0));
}
