//! Streams whose certificates are not to be trusted, and one whose certificate is. As in `tls`, the
//! server is a process of its own, which trusts one authority for certificates.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use rcgen::{KeyPair, date_time_ymd};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{accept_async, tungstenite::Message};

use super::tls::{Authority, acceptor, certificate_for, listen};
use crate::support::{Upstream, eventually, process::Process};

/// What came to a venue: WebSockets by TLS, and connections that did not begin with TLS.
#[derive(Default)]
struct Came {
    subscriptions: AtomicU64,
    plain: AtomicU64,
}

/// Tells a price again and again to whoever subscribes, by TLS.
async fn venue(acceptor: Option<TlsAcceptor>) -> (u16, Arc<Came>) {
    let came = Arc::new(Came::default());
    let counted = came.clone();
    let port = listen(move |mut stream, is_tls| {
        let (acceptor, came) = (acceptor.clone(), counted.clone());
        async move {
            if !is_tls {
                came.plain.fetch_add(1, Ordering::SeqCst);
            }
            let Some(acceptor) = acceptor else {
                // It knows nothing of TLS and hangs up.
                stream.read_u8().await.ok();
                return;
            };
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let Ok(mut socket) = accept_async(stream).await else { return };
            if !matches!(socket.next().await, Some(Ok(Message::Text(_)))) {
                return;
            }
            came.subscriptions.fetch_add(1, Ordering::SeqCst);
            let price = r#"{"stream":"btcusdt@miniTicker","data":{"c":"100.5"}}"#;
            while socket.send(Message::text(price)).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    })
    .await;
    (port, came)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_opened_only_to_a_venue_whose_certificate_is_to_be_trusted() {
    let (trusted, unknown) = (Authority::new(), Authority::new());
    let valid = certificate_for("127.0.0.1");
    let mut expired = valid.clone();
    expired.not_after = date_time_ymd(2024, 1, 1);
    let key = KeyPair::generate().unwrap();
    let own = acceptor(valid.self_signed(&key).unwrap().der().clone(), &key, &[]);
    let venues = [
        ("trusted", "127.0.0.1", Some(trusted.sign(&valid))),
        ("by_name", "localhost", Some(trusted.sign(&certificate_for("localhost")))),
        ("expired", "127.0.0.1", Some(trusted.sign(&expired))),
        ("other_host", "127.0.0.1", Some(trusted.sign(&certificate_for("stream.example")))),
        ("other_name", "localhost", Some(trusted.sign(&valid))),
        ("unknown", "127.0.0.1", Some(unknown.sign(&valid))),
        ("self_signed", "127.0.0.1", Some(own)),
        ("plain", "127.0.0.1", None),
    ];
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "100.25");
    let (mut config, mut started) = (String::new(), Vec::new());
    for (name, host, acceptor) in venues {
        let (port, came) = venue(acceptor).await;
        config.push_str(&format!(
            "[[feeds]]\nname = \"{name}\"\nprovider = \"binance\"\nendpoint = \"ticker_price\"\n\
             transport = \"ws\"\nbase_url = \"{}\"\nstream_url = \"wss://{host}:{port}/stream\"\n\
             allow_private = true\nsymbols = [\"BTC-USDT\"]\nevery = \"1s\"\ntimeout = \"2s\"\n",
            upstream.url()
        ));
        started.push((name, came));
    }
    let mut authorities = tempfile::NamedTempFile::new().unwrap();
    authorities.write_all(trusted.1.as_bytes()).unwrap();
    let path = authorities.path().to_str().unwrap();
    let process = Process::serve(&config, &[("SSL_CERT_FILE", path), ("SSL_CERT_DIR", "")]);
    for (name, came) in &started {
        let fine = matches!(*name, "trusted" | "by_name");
        let by = if fine { "ws" } else { "rest" };
        let row = eventually(name, || async {
            let row = process.feed(name).await;
            (row["state"] == "live" && row["transport"] == by).then_some(row)
        })
        .await;
        let error = &row["last_error"];
        if fine {
            assert_eq!(error, &json!(null), "{name}");
        } else {
            assert_eq!(error["reason"], "tls", "{name}: {row}");
            let message = error["message"].as_str().unwrap();
            assert!(message.starts_with("stream: "), "{name}: {message}");
            if *name != "plain" {
                assert!(message.contains("certificate"), "{name}: {message}");
            }
        }
        assert_eq!(came.subscriptions.load(Ordering::SeqCst) > 0, fine, "{name}");
        assert_eq!(came.plain.load(Ordering::SeqCst), 0, "{name} was asked in the clear");
    }
}
