//! Opening a WebSocket: the only place of a stream that touches a network.
//!
//! The rules are those of `http`: how long it may take, which addresses may be reached, what of an
//! error is repeated; and what one message may hold is bounded here.

use std::{error::Error, io, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rustls::{ClientConfig, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self,
        client::IntoClientRequest,
        error::ProtocolError,
        handshake::client::Request,
        http::{HeaderValue, header::USER_AGENT},
        protocol::WebSocketConfig,
    },
};
use url::{Host, Url};

use crate::{
    market::Reason,
    upstream::{
        address::resolve,
        fetch::FetchError,
        http::{Target, cause, refused},
    },
};

/// The most bytes of one message.
pub const MESSAGE_MAX: usize = 1 << 20;

/// What is read at once: tungstenite clears all of it before each read.
const READ_BUFFER: usize = 16 << 10;

/// The most bytes that wait to be sent: ours are few, and answers to pings.
const WRITE_BUFFER_MAX: usize = 256 << 10;

/// Longest wait for one of a host's addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a WebSocket goes over.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A WebSocket that stands.
pub type Socket = WebSocketStream<Box<dyn Wire>>;

/// Opens WebSockets. The one implementation that reaches a network is [`Network`].
pub trait Dial: Send + Sync {
    /// Opens one.
    fn dial(&self) -> BoxFuture<'_, Result<Socket, FetchError>>;
}

/// Opens the WebSocket of one venue.
pub struct Network {
    target: Target,
    request: Request,
    host: Host<String>,
    port: u16,
    tls: Option<TlsConnector>,
}

impl Network {
    /// Opens `target`, whose address is `ws://…` or `wss://…`.
    ///
    /// # Errors
    /// When the address is none of those, or TLS cannot be set up.
    pub fn new(target: Target) -> Result<Self, String> {
        let url = &target.base;
        let tls = match url.scheme() {
            "ws" => None,
            "wss" => Some(tls().map_err(|error| format!("TLS cannot be set up: {error}"))?),
            scheme => return Err(format!("`{scheme}` is no scheme of a WebSocket")),
        };
        let (host, port) = place(url).ok_or("its address names no host")?;
        let request = url.as_str().into_client_request();
        let mut request = request.map_err(|_| "its address is no WebSocket's")?;
        let agent = concat!("tickwire/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
        Ok(Self { request, host, port, tls, target })
    }

    async fn open(&self) -> Result<Socket, FetchError> {
        let wire = self.wire().await?;
        shake_hands(self.request.clone(), wire).await
    }

    async fn wire(&self) -> Result<Box<dyn Wire>, FetchError> {
        let tcp =
            self.tcp().await.map_err(|error| FetchError::new(Reason::Connect, error.to_string()));
        let Some(tls) = &self.tls else {
            return Ok(Box::new(tcp?));
        };
        let wrong = |error: &dyn Error| FetchError::new(Reason::Tls, error.to_string());
        let name = match &self.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|e| wrong(&e))?,
            Host::Ipv4(v4) => ServerName::from(std::net::IpAddr::from(*v4)),
            Host::Ipv6(v6) => ServerName::from(std::net::IpAddr::from(*v6)),
        };
        let stream = tls.connect(name, tcp?).await.map_err(|error| wrong(&error))?;
        Ok(Box::new(stream))
    }

    /// Connects to the addresses that were checked, one after the other.
    async fn tcp(&self) -> io::Result<TcpStream> {
        let host = match &self.host {
            Host::Domain(name) => Host::Domain(name.as_str()),
            Host::Ipv4(v4) => Host::Ipv4(*v4),
            Host::Ipv6(v6) => Host::Ipv6(*v6),
        };
        let mut failed = io::Error::other("no address");
        for address in resolve(&host, self.port, self.target.allow_private).await? {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
    }
}

impl Dial for Network {
    fn dial(&self) -> BoxFuture<'_, Result<Socket, FetchError>> {
        Box::pin(async move {
            match timeout(self.target.timeout, self.open()).await {
                Ok(opened) => opened,
                Err(_) => {
                    let message = format!("no connection within {:?}", self.target.timeout);
                    Err(FetchError::new(Reason::Timeout, message))
                }
            }
        })
    }
}

/// Makes a WebSocket of a connection.
pub async fn shake_hands(request: Request, wire: Box<dyn Wire>) -> Result<Socket, FetchError> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let opened = client_async_with_config(request, wire, Some(config)).await;
    opened.map(|(socket, _)| socket).map_err(|error| failure(&error))
}

/// What an error of a WebSocket means.
pub fn failure(error: &tungstenite::Error) -> FetchError {
    let reason = match error {
        tungstenite::Error::Http(response) => {
            return refused(response.status(), response.headers());
        }
        _ if cause::<rustls::Error>(error).is_some() => Reason::Tls,
        tungstenite::Error::Io(_)
        | tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
        ) => Reason::Connect,
        tungstenite::Error::WriteBufferFull(_) => Reason::Timeout,
        _ => Reason::BadBody,
    };
    FetchError::new(reason, error.to_string())
}

fn place(url: &Url) -> Option<(Host<String>, u16)> {
    Some((url.host()?.to_owned(), url.port_or_known_default()?))
}

/// TLS as `http` has it, with the certificates of the system.
fn tls() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests;
