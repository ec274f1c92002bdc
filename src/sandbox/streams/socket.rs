//! Where sessions meet sockets: the handshake, and one task for each connection.
//!
//! Nothing piles up for a client: what a step has to tell is written before the next one is looked
//! at, and who does not take it within a few seconds is disconnected.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header::UPGRADE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::CapacityError,
        handshake::server::create_response_with_body,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

use crate::{
    shutdown::{Shutdown, Stage, Tasks},
    units::Micros,
};

use super::{
    super::{STREAMS, config::FaultKind, world::World},
    At, Close, Out, Session,
    meter::Meter,
};

/// Streams served at once; further handshakes are refused.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may take to change hands; longer than a slow answer.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client may take to read what it was sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the close of a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Between two pings.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A client that has answered no ping for so long is gone.
const PONG_TIMEOUT: Duration = Duration::from_secs(60);

/// When a stream that is to hang or to break off does so.
const MISHAP_AFTER: Duration = Duration::from_secs(2);

/// What a client may say at once: a thousand names of streams take 30 kB.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

const BUFFER_BYTES: usize = 8 << 10;

/// What upgraded connections need of the server. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Upgrades {
    tasks: Tasks,
    shutdown: Shutdown,
    slots: Arc<Semaphore>,
}

impl Upgrades {
    pub(in crate::sandbox) fn new(tasks: Tasks, shutdown: Shutdown) -> Self {
        Self { tasks, shutdown, slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

/// Whether a request asks for a WebSocket where there is one.
pub(in crate::sandbox) fn is_handshake(path: &str, headers: &HeaderMap) -> bool {
    let streams = STREAMS.iter().any(|(stream, _)| path.starts_with(stream));
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    streams && upgrade.is_some_and(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// Answers the handshake and runs the session behind it. A fault that is to befall the stream is
/// in the request's extensions.
pub(super) fn answer(
    world: Arc<World>,
    upgrades: Option<Extension<Upgrades>>,
    session: Box<dyn Session>,
    mut request: Request,
) -> Response {
    let Ok(response) = create_response_with_body(&request, Body::empty) else {
        let mut response = (StatusCode::UPGRADE_REQUIRED, "connect by WebSocket\n").into_response();
        let websocket = axum::http::HeaderValue::from_static("websocket");
        response.headers_mut().insert(UPGRADE, websocket);
        return response;
    };
    let slot = upgrades.map(|Extension(upgrades)| {
        let slot = Arc::clone(&upgrades.slots).try_acquire_owned();
        (upgrades, slot)
    });
    let Some((upgrades, Ok(slot))) = slot else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let fault = request.extensions().get::<FaultKind>().copied();
    let upgrade = hyper::upgrade::on(&mut request);
    let connection = Connection::new(world, session, fault, upgrades.shutdown.clone());
    upgrades.tasks.spawn("sandbox stream", stream(upgrade, connection, slot));
    response
}

async fn stream(upgrade: OnUpgrade, connection: Connection, _slot: OwnedSemaphorePermit) {
    let Ok(Ok(upgraded)) = timeout(UPGRADE_TIMEOUT, upgrade).await else {
        return tracing::debug!("a sandbox connection was lost at its upgrade");
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let io = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let mut shutdown = connection.shutdown.clone();
    let too_late = async {
        shutdown.reached(Stage::Closing).await;
        tokio::time::sleep(CLOSE_TIMEOUT).await;
    };
    tokio::select! {
        () = connection.run(socket) => {}
        () = too_late => {}
    }
}

/// Why a connection ends.
enum End {
    /// It is over on the other side.
    Gone,
    /// It is to be told so.
    Close(Close),
}

/// A session, and what surrounds it.
pub(super) struct Connection {
    world: Arc<World>,
    session: Box<dyn Session>,
    fault: Option<FaultKind>,
    shutdown: Shutdown,
    meter: Meter,
    opened: Instant,
    ping: Instant,
    ponged: Instant,
    warned: bool,
}

impl Connection {
    pub(super) fn new(
        world: Arc<World>,
        session: Box<dyn Session>,
        fault: Option<FaultKind>,
        shutdown: Shutdown,
    ) -> Self {
        let (meter, now) = (Meter::new(session.messages_per_second()), Instant::now());
        let ping = now + PING_EVERY;
        Self {
            world,
            session,
            fault,
            shutdown,
            meter,
            opened: now,
            ping,
            ponged: now,
            warned: false,
        }
    }

    pub(super) async fn run<S>(mut self, mut socket: WebSocketStream<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.opened = Instant::now();
        self.ponged = self.opened;
        self.ping = self.opened + PING_EVERY;
        let out = self.ask(|session, at| session.open(at));
        let mut end = self.send(&mut socket, out).await;
        while end.is_ok() {
            end = self.turn(&mut socket).await;
        }
        if let Err(End::Close(Close { code, reason })) = end {
            let frame = CloseFrame { code: code.into(), reason: reason.into() };
            let closing = async {
                // What the client still says is read, or its system would drop the close unread.
                if socket.close(Some(frame)).await.is_ok() {
                    while let Some(Ok(_)) = socket.next().await {}
                }
            };
            // Told or not: it is over.
            drop(timeout(CLOSE_TIMEOUT, closing).await);
        }
    }
}

impl Connection {
    /// Waits for whatever comes first and sees to it.
    async fn turn<S>(&mut self, socket: &mut WebSocketStream<S>) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let step = self.world.next_step();
        let stage = if self.warned { Stage::Closing } else { Stage::Draining };
        tokio::select! {
            message = socket.next() => self.heard(socket, message).await,
            () = sleep_until(self.ping) => self.ping(socket).await,
            () = self.shutdown.reached(stage) => {
                if self.warned {
                    return Err(End::Close(Close { code: 1_001, reason: "the server stops" }));
                }
                self.warned = true;
                let out = self.ask(|session, at| session.warn(at));
                self.send(socket, out).await
            }
            () = sleep_until(step) => {
                let out = self.ask(|session, at| session.tick(at));
                self.send(socket, out).await
            }
        }
    }

    async fn heard<S>(
        &mut self,
        socket: &mut WebSocketStream<S>,
        message: Option<Result<Message, Error>>,
    ) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                return Err(End::Close(Close { code: 1_009, reason: "Message too big" }));
            }
            Some(Err(_)) | None => return Err(End::Gone),
        };
        let now = self.world.see_now(|_, now| now);
        if !message.is_close() && !self.meter.take(now) {
            return Err(End::Close(Close { code: 1_008, reason: "Too many requests" }));
        }
        match message {
            Message::Text(text) => {
                let out = self.ask(|session, at| session.hear(text.as_str(), at));
                self.send(socket, out).await
            }
            Message::Pong(_) => {
                self.ponged = Instant::now();
                Ok(())
            }
            // The library answers a ping, and a close, when it is next asked for something.
            Message::Ping(_) => write(socket.flush()).await,
            Message::Close(_) => {
                write(socket.flush()).await?;
                Err(End::Gone)
            }
            Message::Binary(_) => {
                Err(End::Close(Close { code: 1_003, reason: "only text is spoken here" }))
            }
            Message::Frame(_) => Ok(()),
        }
    }

    /// Pings, unless the client has not answered for too long.
    async fn ping<S>(&mut self, socket: &mut WebSocketStream<S>) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.ponged.elapsed() >= PONG_TIMEOUT {
            return Err(End::Close(Close { code: 1_008, reason: "Pong timeout" }));
        }
        self.ping += PING_EVERY;
        let now: Micros = self.world.see_now(|_, now| now);
        write(socket.send(Message::Ping(Bytes::from((now / 1_000).to_string())))).await
    }

    fn ask(&mut self, question: impl FnOnce(&mut dyn Session, At<'_>) -> Out) -> Out {
        let session = self.session.as_mut();
        self.world.see_now(|market, now| question(session, At { market, now }))
    }

    async fn send<S>(&mut self, socket: &mut WebSocketStream<S>, out: Out) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let struck = self.fault.filter(|_| self.opened.elapsed() >= MISHAP_AFTER);
        match (struck, out.messages.first()) {
            (Some(FaultKind::Hang), _) => return Ok(()),
            (Some(FaultKind::Truncated), Some(message)) => {
                write(break_off(socket, message)).await?;
                return Err(End::Gone);
            }
            _ => {}
        }
        if !out.messages.is_empty() {
            let sending = async {
                for message in out.messages {
                    socket.feed(Message::text(message)).await?;
                }
                socket.flush().await
            };
            write(sending).await?;
        }
        out.close.map_or(Ok(()), |close| Err(End::Close(close)))
    }
}

/// The first half of a frame, past the library, which writes whole ones only.
async fn break_off<S>(socket: &mut WebSocketStream<S>, message: &str) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.flush().await?;
    let text = Bytes::copy_from_slice(message.as_bytes());
    let mut whole = Vec::new();
    Frame::message(text, OpCode::Data(Data::Text), true).format(&mut whole)?;
    let half = whole.get(..whole.len() / 2).unwrap_or_default();
    socket.get_mut().write_all(half).await?;
    socket.get_mut().flush().await?;
    Ok(())
}

/// A write with a deadline: whoever does not read is let go.
async fn write(writing: impl Future<Output = Result<(), Error>>) -> Result<(), End> {
    match timeout(WRITE_TIMEOUT, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => {
            tracing::debug!("a sandbox client does not read its stream");
            Err(End::Gone)
        }
    }
}
