//! `/v1/ws`: from an HTTP request to a session.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{Conn, Upgrade};
use crate::{
    protocol::code::{ErrorBody, ErrorCode},
    session::{Sessions, handshake},
    shutdown::Tasks,
};

/// How long the connection may take to change hands once the handshake is answered.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Hands upgraded connections to the sessions.
#[derive(Debug)]
pub struct WebSocketRoute {
    sessions: Arc<Sessions>,
    tasks: Tasks,
}

impl WebSocketRoute {
    /// `tasks` waits for connections that are changing hands.
    pub fn new(sessions: Arc<Sessions>, tasks: Tasks) -> Self {
        Self { sessions, tasks }
    }
}

impl Upgrade for WebSocketRoute {
    fn upgrade(&self, mut request: Request) -> Response {
        if self.sessions.is_draining() {
            let error = ErrorBody::new(ErrorCode::Draining, "the server is about to stop");
            return refuse(StatusCode::SERVICE_UNAVAILABLE, error);
        }
        let accepted = match handshake::negotiate(&request, self.sessions.compression()) {
            Ok(accepted) => accepted,
            Err(refused) => {
                let mut response = refuse(refused.status, refused.error);
                if refused.status == StatusCode::UPGRADE_REQUIRED {
                    let headers = response.headers_mut();
                    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                }
                return response;
            }
        };
        let conn = Conn::of(&request);
        let (upgrade, sessions) = (hyper::upgrade::on(&mut request), self.sessions.clone());
        self.tasks.spawn("upgrade", async move {
            if let Some((stream, read)) = socket(upgrade).await {
                sessions.run(stream, read, conn.peer.ip(), accepted.format);
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().extend(accepted.headers);
        response
    }
}

/// A refusal; the layers around make a problem document of it.
fn refuse(status: StatusCode, error: ErrorBody) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.extensions_mut().insert(error);
    response
}

/// The socket itself, and what was read from it beyond the handshake.
async fn socket(upgrade: OnUpgrade) -> Option<(TcpStream, Vec<u8>)> {
    let upgraded = match timeout(UPGRADE_TIMEOUT, upgrade).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection was lost at its upgrade");
            return None;
        }
        Err(_) => return None,
    };
    // The accept loop serves every connection as this type.
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf.to_vec()))
}
