//! Upstreams whose certificates are not to be trusted. The server runs as a process of its own,
//! which trusts one authority for certificates, as a system would.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::feed_at;
use crate::support::{
    bad_upstream::{now_ms, row},
    eventually,
    process::Process,
};

const TERMS: &str = "every = \"200ms\"\ntimeout = \"2s\"";

/// One that signs certificates.
pub(super) struct Authority(Issuer<'static, KeyPair>, pub(super) String);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// For a server that offers these protocols.
    pub(super) fn sign_for(&self, params: &CertificateParams, protocols: &[&[u8]]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        acceptor(certificate.der().clone(), &key, protocols)
    }

    pub(super) fn sign(&self, params: &CertificateParams) -> TlsAcceptor {
        self.sign_for(params, &[])
    }
}

pub(super) fn acceptor(
    certificate: rustls::pki_types::CertificateDer<'static>,
    key: &KeyPair,
    protocols: &[&[u8]],
) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

pub fn certificate_for(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

/// What came to a server: requests by TLS, and connections that did not begin with TLS.
#[derive(Default)]
struct Came {
    requests: AtomicU64,
    plain: AtomicU64,
}

/// Serves each connection that comes to a port by itself. `serve` learns whether it begins with TLS.
pub(super) async fn listen<S: Future<Output = ()> + Send>(
    serve: impl Fn(TcpStream, bool) -> S + Clone + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let serve = serve.clone();
            tokio::spawn(async move {
                // A handshake of TLS begins with 22.
                let mut first = [22];
                stream.peek(&mut first).await.ok();
                serve(stream, first == [22]).await;
            });
        }
    });
    port
}

/// Answers with a price by TLS. Without an acceptor it is a server of plain HTTP.
async fn serve(acceptor: Option<TlsAcceptor>) -> (u16, Arc<Came>) {
    let came = Arc::new(Came::default());
    let counted = came.clone();
    let port = listen(move |mut stream, is_tls| {
        let (acceptor, came) = (acceptor.clone(), counted.clone());
        async move {
            if !is_tls {
                came.plain.fetch_add(1, Ordering::SeqCst);
            }
            let body = row("BTC-USD", "\"100.5\"", now_ms());
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let Some(acceptor) = acceptor else {
                if !matches!(stream.read(&mut [0; 2048]).await, Ok(1..)) {
                    return;
                }
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
                return;
            };
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while matches!(stream.read(&mut [0; 2048]).await, Ok(1..)) {
                came.requests.fetch_add(1, Ordering::SeqCst);
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
                stream.flush().await.ok();
            }
        }
    })
    .await;
    (port, came)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_to_be_trusted_is_a_tls_failure_and_nothing_is_asked() {
    let (trusted, unknown) = (Authority::new(), Authority::new());
    let valid = certificate_for("127.0.0.1");
    let mut expired = valid.clone();
    expired.not_after = date_time_ymd(2024, 1, 1);
    let mut early = valid.clone();
    early.not_before = date_time_ymd(2090, 1, 1);
    let key = KeyPair::generate().unwrap();
    let own = acceptor(valid.self_signed(&key).unwrap().der().clone(), &key, &[]);
    let servers = [
        ("trusted", "127.0.0.1", Some(trusted.sign(&valid))),
        ("expired", "127.0.0.1", Some(trusted.sign(&expired))),
        ("early", "127.0.0.1", Some(trusted.sign(&early))),
        ("other_host", "127.0.0.1", Some(trusted.sign(&certificate_for("api.example")))),
        ("other_name", "localhost", Some(trusted.sign(&valid))),
        ("unknown", "127.0.0.1", Some(unknown.sign(&valid))),
        ("self_signed", "127.0.0.1", Some(own)),
        ("plain", "127.0.0.1", None),
    ];
    let mut config = String::new();
    let mut started = Vec::new();
    for (name, host, acceptor) in servers {
        let (port, came) = serve(acceptor).await;
        let url = format!("https://{host}:{port}");
        config.push_str(&format!("[[feeds]]\n{}\n", feed_at(name, "BTC-USD", &url, TERMS)));
        started.push((name, came));
    }
    let mut authorities = tempfile::NamedTempFile::new().unwrap();
    authorities.write_all(trusted.1.as_bytes()).unwrap();
    let path = authorities.path().to_str().unwrap();
    let process = Process::serve(&config, &[("SSL_CERT_FILE", path), ("SSL_CERT_DIR", "")]);
    for (name, came) in &started {
        let fine = *name == "trusted";
        let row = eventually(name, || async {
            let row = process.feed(name).await;
            (row["last_error"].is_object() || row["state"] == "live").then_some(row)
        })
        .await;
        let expected = if fine { json!(null) } else { json!("tls") };
        assert_eq!(row["last_error"]["reason"], expected, "{name}: {row}");
        assert_eq!(came.requests.load(Ordering::SeqCst) > 0, fine, "{name}");
        assert_eq!(came.plain.load(Ordering::SeqCst), 0, "{name} was asked in the clear");
    }
}
