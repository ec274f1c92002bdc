use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

use super::*;
use crate::shutdown::Tasks;

fn network(url: &str, allow_private: bool) -> Network {
    let base = Url::parse(url).unwrap();
    Network::new(Target { base, timeout: Duration::from_secs(5), allow_private }).unwrap()
}

fn at(address: SocketAddr) -> Network {
    network(&format!("ws://{address}/v2"), true)
}

/// A server that reads the head of a request and answers with `answer`.
async fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Tasks::default().spawn("server", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    address
}

async fn fails(network: &Network) -> FetchError {
    network.dial().await.err().unwrap()
}

#[tokio::test]
async fn a_socket_carries_messages_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Tasks::default().spawn("server", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        let message = socket.next().await.unwrap().unwrap();
        socket.send(message).await.unwrap();
    });
    let mut socket = at(address).dial().await.unwrap();
    socket.send(Message::text("there and back")).await.unwrap();
    let message = socket.next().await.unwrap().unwrap();
    assert_eq!(message.to_text().unwrap(), "there and back");
}

#[tokio::test]
async fn a_refused_handshake_has_the_reason_that_a_poll_would_have() {
    for (answer, reason, retry_after) in [
        ("HTTP/1.1 429 Slow\r\nretry-after: 7\r\n\r\n", Reason::RateLimited, Some(7)),
        ("HTTP/1.1 418 Banned\r\nretry-after: 90000\r\n\r\n", Reason::RateLimited, Some(300)),
        ("HTTP/1.1 503 Busy\r\nretry-after: 3\r\n\r\n", Reason::RateLimited, Some(3)),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", Reason::Http5xx, None),
        ("HTTP/1.1 451 Elsewhere\r\n\r\n", Reason::Http4xx, None),
        ("HTTP/1.1 302 Moved\r\nlocation: ws://169.254.169.254/\r\n\r\n", Reason::BadBody, None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", Reason::BadBody, None),
        ("HTTP/1.1 101 Fine\r\nupgrade: websocket\r\n\r\n", Reason::BadBody, None),
        ("nonsense\r\n\r\n", Reason::BadBody, None),
        ("", Reason::Connect, None),
    ] {
        let failure = fails(&at(answering(answer).await)).await;
        let expected = (reason, retry_after.map(Duration::from_secs));
        assert_eq!((failure.reason, failure.retry_after), expected, "{answer:?}: {failure}");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_by_number_and_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]"] {
        let failure = fails(&network(&format!("ws://{host}:{port}/"), false)).await;
        assert_eq!(failure.reason, Reason::Connect, "{host}");
        assert!(failure.message.contains("allow_private"), "{host}: {failure}");
    }
    tokio::select! {
        biased;
        _ = listener.accept() => panic!("it was connected to"),
        () = tokio::task::yield_now() => {}
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_who_answers_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let base = Url::parse(&format!("ws://{address}")).unwrap();
    let timeout = Duration::from_millis(50);
    let hanging = Network::new(Target { base, timeout, allow_private: true }).unwrap();
    assert_eq!(fails(&hanging).await.reason, Reason::Timeout);
    drop(listener);
    assert_eq!(fails(&at(address)).await.reason, Reason::Connect);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Tasks::default().spawn("server", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let failure = fails(&network(&format!("wss://{address}/"), true)).await;
    assert_eq!(failure.reason, Reason::Tls, "{failure}");
}

#[test]
fn an_address_that_is_no_websocket_s_is_refused_at_once() {
    for url in ["https://a.b", "ftp://a.b", "data:x"] {
        let target = Target {
            base: Url::parse(url).unwrap(),
            timeout: Duration::from_secs(1),
            allow_private: true,
        };
        assert!(Network::new(target).is_err(), "{url}");
    }
}
