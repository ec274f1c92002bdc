//! Upstreams that speak HTTP/2 and end a kept connection by GOAWAY.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use axum::http::Response;
use bytes::Bytes;
use h2::{Ping, server::Connection};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{
    feed_at,
    tls::{Authority, certificate_for},
};
use crate::support::{
    bad_upstream::{now_ms, row},
    eventually,
    process::Process,
};

/// Every so many requests a connection is ended.
const LIVES_FOR: u64 = 3;

#[derive(Default)]
struct Came {
    connections: AtomicU64,
    requests: AtomicU64,
}

/// Gives prices by HTTP/2. Each connection ends with its third request: after the answer, or within
/// it when it is `rude`.
async fn serve(acceptor: TlsAcceptor, rude: bool) -> (u16, Arc<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(Came::default());
    let counted = came.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(stream, acceptor.clone(), rude, counted.clone()));
        }
    });
    (port, came)
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, rude: bool, came: Arc<Came>) {
    let stream = acceptor.accept(stream).await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    came.connections.fetch_add(1, SeqCst);
    let mut served = 0;
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let number = came.requests.fetch_add(1, SeqCst);
        served += 1;
        let body = row("BTC-USD", &format!("\"100.{:03}\"", number % 1_000), now_ms());
        let mut answer = respond.send_response(Response::new(()), false).unwrap();
        if served < LIVES_FOR {
            answer.send_data(body.into(), true).unwrap();
        } else if rude {
            answer.send_data(Bytes::from(body[..9].to_owned()), false).unwrap();
            heard(&mut connection).await;
            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        } else {
            answer.send_data(body.into(), true).unwrap();
            connection.graceful_shutdown();
        }
    }
}

/// Waits until the client has taken what was sent so far.
async fn heard(connection: &mut Connection<impl AsyncRead + AsyncWrite + Unpin, Bytes>) {
    let mut pings = connection.ping_pong().unwrap();
    let answered = async {
        // A ping may overtake what waits to be sent, but not what had been sent before it: the
        // second is sent when the first has come back.
        for _ in 0..2 {
            pings.ping(Ping::opaque()).await.unwrap();
        }
    };
    tokio::select! {
        () = answered => {}
        // Nobody asks meanwhile; this is what reads and writes.
        came = connection.accept() => panic!("{came:?} instead of an answer to a ping"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_says_goaway_is_asked_by_another_connection() {
    let authority = Authority::new();
    let certificate = certificate_for("127.0.0.1");
    let acceptor = || authority.sign_for(&certificate, &[b"h2"]);
    let (polite, asked_politely) = serve(acceptor(), false).await;
    let (rude, asked_rudely) = serve(acceptor(), true).await;
    let terms = "every = \"100ms\"\ntimeout = \"2s\"";
    let feed = |name, port| feed_at(name, "BTC-USD", &format!("https://127.0.0.1:{port}"), terms);
    let config =
        format!("[[feeds]]\n{}\n[[feeds]]\n{}\n", feed("polite", polite), feed("rude", rude));
    let mut authorities = tempfile::NamedTempFile::new().unwrap();
    authorities.write_all(authority.1.as_bytes()).unwrap();
    let path = authorities.path().to_str().unwrap();
    let process = Process::serve(&config, &[("SSL_CERT_FILE", path), ("SSL_CERT_DIR", "")]);
    for came in [&asked_politely, &asked_rudely] {
        eventually("a fourth connection", || async {
            (came.connections.load(SeqCst) >= 4).then_some(())
        })
        .await;
        assert!(came.requests.load(SeqCst) >= 3 * LIVES_FOR);
    }
    let row = process.feed("polite").await;
    assert_eq!((&row["last_error"], &row["state"]), (&Value::Null, &"live".into()), "{row}");
    // An answer that was cut short is a failure, and the next poll is fine.
    let row = eventually("a failure and then a value", || async {
        let row = process.feed("rude").await;
        (row["last_error"].is_object() && row["state"] == "live").then_some(row)
    })
    .await;
    assert_eq!(row["last_error"]["reason"], "bad_body", "{row}");
}
