//! The accept loop: sockets in, HTTP with timeouts and bounds, sessions out through the upgrade.

mod config;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tower::ServiceExt;

pub use config::Config;

use crate::{
    http::{Conn, Hangup},
    shutdown::{Shutdown, Stage, Tasks},
};

/// How long a client may take to send the head of a request, on a fresh connection or between two
/// requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long what was sent may stay unacknowledged, or a client's window shut, before the connection
/// counts as gone.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// What is buffered of one connection's requests.
const HTTP_BUFFER: usize = 16 << 10;
/// HTTP connections beyond the sessions that there may be: scrapes, pages, handshakes.
const HTTP_CONNECTIONS: usize = 1024;
/// Connections that may wait to be accepted: more than any system lets, so that its own bound holds
/// (`net.core.somaxconn`, 4,096 on Linux). With the usual 128, of clients that all come back at once
/// after a restart some wait for a second, when their system tries again.
const BACKLOG: u32 = 65_535;
/// Pause after a failed accept, doubled up to the longest: without it, a process that has run out
/// of file descriptors would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Accepts connections until the shutdown has come to [`Stage::Closing`]. The kernel keeps about
/// `unsent_bytes` of what a client does not read.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    sessions_max: usize,
    unsent_bytes: usize,
    tasks: Tasks,
    mut shutdown: Shutdown,
) {
    let room = Arc::new(Semaphore::new(sessions_max + HTTP_CONNECTIONS));
    let accepting = async {
        let mut pause = ACCEPT_PAUSE;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    pause = ACCEPT_PAUSE;
                    configure(&stream, unsent_bytes);
                    // Over the bound, a connection is dropped at once: that costs least.
                    if let Ok(permit) = room.clone().try_acquire_owned() {
                        take(stream, peer, &router, permit, &tasks, &shutdown);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
    };
    let mut closing = shutdown.clone();
    tokio::select! {
        () = accepting => {}
        () = closing.reached(Stage::Closing) => {}
    }
    shutdown.reached(Stage::Closing).await;
}

fn take(
    stream: TcpStream,
    peer: SocketAddr,
    router: &Router,
    permit: OwnedSemaphorePermit,
    tasks: &Tasks,
    shutdown: &Shutdown,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let (router, shutdown) = (router.clone(), shutdown.clone());
    tasks.spawn("http", async move {
        let conn = Conn { peer, local };
        if let Err(error) = connection(stream, conn, router, shutdown).await {
            tracing::debug!(%peer, %error, "an HTTP connection ended");
        }
        drop(permit);
    });
}

async fn connection(
    stream: TcpStream,
    conn: Conn,
    router: Router,
    mut shutdown: Shutdown,
) -> Result<(), hyper::Error> {
    let hangup = Hangup::default();
    // Who holds on to a request's connection also learns when it has ended by itself.
    let _ended = hangup.0.clone().drop_guard();
    let line = hangup.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(conn);
        request.extensions_mut().insert(line.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|e| match e {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HTTP_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = hangup.0.cancelled() => return Ok(()),
        () = shutdown.reached(Stage::Closing) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection => ended,
        () = hangup.0.cancelled() => Ok(()),
    }
}

/// Sets what the kernel does by default and a server of streams does not want.
fn configure(stream: &TcpStream, unsent_bytes: usize) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    // Without it, megabytes of outdated events stand between a client that has stopped reading and
    // the newest one. Unlike a small SO_SNDBUF, it does not slow down a long answer to a client
    // far away.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        let unsent_bytes = u32::try_from(unsent_bytes).unwrap_or(u32::MAX);
        let socket = socket2::SockRef::from(stream);
        if let Err(error) = socket.set_tcp_notsent_lowat(unsent_bytes) {
            tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
        }
    }
    // A peer that vanishes without a word is found out by what it never acknowledges, also where a
    // stream is too quiet to fill the queue.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) =
        socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
    {
        tracing::debug!(%error, "TCP_USER_TIMEOUT could not be set");
    }
}

/// Binds the port.
///
/// # Errors
/// As the system says, with the address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    listen(address).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again must not wait for the last one's connections to be forgotten.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn many_may_come_at_once_before_any_is_accepted() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        // A client for which there is no room is not refused: it tries again a second later, and
        // while nobody accepts it never succeeds.
        let come = (0..500).map(|_| timeout(Duration::from_secs(10), TcpStream::connect(address)));
        let came = futures::future::join_all(come).await;
        assert_eq!(came.iter().filter(|came| matches!(came, Ok(Ok(_)))).count(), 500);
    }

    #[tokio::test]
    async fn a_peer_that_vanishes_is_given_up_after_half_a_minute() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_client, (stream, _)) = (client.unwrap(), accepted.unwrap());
        configure(&stream, 1 << 16);
        let set = socket2::SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(set, Some(UNACKNOWLEDGED_MAX));
    }
}
