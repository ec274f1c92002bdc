//! The life of one session.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::{
    net::TcpStream,
    time::{Sleep, sleep_until, timeout},
};

use super::{
    HEARTBEAT, LINGER, Sessions,
    commands::{Commands, Verdict, failure},
    greeting,
    heartbeat::{Due, Timers},
    inbound::{Inbound, Received},
    socket::{Writer, configure},
};
use crate::{
    access::{Full, Permit},
    delivery::{Flow, Seat, Subscriber, TransportKind},
    protocol::{
        code::{Close, ErrorBody, ErrorCode},
        encoding::Format,
        event::RequestId,
        frame::{self, Opcode},
    },
    shutdown::{Shutdown, Stage},
};

/// Messages read before the shard's other tasks get their turn.
const MESSAGES_PER_TURN: usize = 32;
/// While more of its answers wait, a client's further requests are not read.
const ANSWERS_WAITING_MAX: usize = 64 << 10;
/// What a client may still send while it is being closed.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// Runs a session to its end.
pub(super) async fn run(
    sessions: &Sessions,
    seat: &Seat,
    stream: TcpStream,
    read: Vec<u8>,
    admitted: Result<Permit, Full>,
) -> io::Result<()> {
    configure(&stream, sessions.settings.send_buffer)?;
    let stream = Arc::new(stream);
    let now = Instant::now();
    let subscriber = seat.take(Box::new(Writer(stream.clone())), Format::default(), now);
    let end = match admitted {
        Ok(_permit) => {
            let _connected = sessions.metrics.connected(TransportKind::WebSocket);
            let mut session = Session::new(sessions, &subscriber, &stream, read, now);
            session.live().await
        }
        Err(full) => {
            let error = ErrorBody::new(ErrorCode::TooManyConnections, full.to_string());
            subscriber.say(&failure(&RequestId::Unknown, &error), now);
            End::Because(Close::TooManyConnections)
        }
    };
    finish(sessions, &subscriber, &stream, end).await
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The connection is gone.
    Gone,
    /// The client closed, and its close is answered.
    Answered,
    /// It is closed by the server.
    Because(Close),
}

struct Session<'a> {
    sessions: &'a Sessions,
    subscriber: &'a Subscriber,
    stream: &'a TcpStream,
    commands: Commands<'a>,
    inbound: Inbound,
    timers: Timers,
    shutdown: Shutdown,
    told_to_leave: bool,
    /// Whether the reader may hold messages that were not dealt with yet.
    unread: bool,
}

impl<'a> Session<'a> {
    fn new(
        sessions: &'a Sessions,
        subscriber: &'a Subscriber,
        stream: &'a TcpStream,
        read: Vec<u8>,
        now: Instant,
    ) -> Self {
        let settings = &sessions.settings;
        let timers = Timers::new(
            settings.ping_interval,
            HEARTBEAT,
            settings.write_deadline,
            rand::rng().random(),
            now,
        );
        Self {
            sessions,
            subscriber,
            stream,
            commands: Commands::new(sessions, subscriber, now),
            inbound: Inbound::new(read, settings.limits.message_bytes.0),
            timers,
            shutdown: sessions.shutdown.clone(),
            told_to_leave: false,
            // What came behind the handshake is there without the socket becoming readable.
            unread: true,
        }
    }

    /// Serves until the end.
    async fn live(&mut self) -> End {
        greeting::welcome(self.sessions, self.subscriber);
        let mut timer = Box::pin(sleep_until(Instant::now().into()));
        loop {
            let flow = self.subscriber.flow();
            if flow.broken {
                return End::Gone;
            }
            match self.on_time(&flow) {
                Due::Close(close) => return End::Because(close),
                Due::Nothing => {}
                _ => continue,
            }
            timer.as_mut().reset(self.timers.next(&flow).into());
            if let Some(end) = self.wait(&flow, timer.as_mut()).await {
                return end;
            }
        }
    }

    /// Waits for the next thing to happen and deals with it.
    async fn wait(&mut self, flow: &Flow, timer: Pin<&mut Sleep>) -> Option<End> {
        let stage = if self.told_to_leave { Stage::Closing } else { Stage::Draining };
        let may_read = flow.control_bytes <= ANSWERS_WAITING_MAX;
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            () = shutdown.reached(stage) => return self.leave(),
            ready = self.stream.writable(), if flow.waiting => {
                if ready.is_err() {
                    return Some(End::Gone);
                }
                self.subscriber.writable(Instant::now());
            }
            () = tokio::task::yield_now(), if may_read && self.unread => return self.read(),
            ready = self.stream.readable(), if may_read && !self.unread => {
                if ready.is_err() {
                    return Some(End::Gone);
                }
                return self.read();
            }
            () = self.subscriber.woken() => {}
            () = timer => self.subscriber.flush(Instant::now()),
        }
        None
    }

    fn on_time(&mut self, flow: &Flow) -> Due {
        let now = Instant::now();
        let due = self.timers.due(flow, now);
        match due {
            Due::Ping => self.subscriber.ping(frame::frame(Opcode::Ping, b""), now),
            Due::Heartbeat => {
                self.subscriber.say(&greeting::heartbeat(), now);
            }
            Due::Nothing | Due::Close(_) => {}
        }
        due
    }

    /// Reads and answers a bounded number of messages. What the reader has buffered beyond them
    /// does not make the socket readable again, so it is remembered that there may be more.
    fn read(&mut self) -> Option<End> {
        let mut answers = Vec::new();
        for _ in 0..MESSAGES_PER_TURN {
            let received = self.inbound.next(self.stream, &mut answers);
            let now = Instant::now();
            if matches!(received, Received::Closed) {
                // Nothing may follow the close frame that is the answer.
                self.subscriber.end();
            }
            for answer in answers.drain(..) {
                self.subscriber.send(answer, now);
            }
            self.unread = !matches!(received, Received::Nothing);
            let verdict = match received {
                Received::Nothing => return None,
                Received::Gone => return Some(End::Gone),
                Received::Broken(close) => return Some(End::Because(close)),
                Received::Closed => return Some(End::Answered),
                Received::Alive => self.commands.handle_control(now),
                Received::Text(text) => self.commands.handle(&text, now),
                Received::Binary => self.commands.handle_binary(now),
            };
            self.timers.heard(now);
            if verdict == Verdict::Flood {
                return Some(End::Because(Close::RateLimited));
            }
            if self.subscriber.flow().control_bytes > ANSWERS_WAITING_MAX {
                return None;
            }
        }
        None
    }

    /// The server stops: the client is told first, and closed when its time has come.
    fn leave(&mut self) -> Option<End> {
        if self.told_to_leave {
            return Some(End::Because(Close::Draining));
        }
        self.told_to_leave = true;
        self.subscriber.say(&greeting::farewell(), Instant::now());
        None
    }
}

/// Says why, and gives the client time to read it: closing a socket with unread input would reset
/// the connection and take the close frame with it.
async fn finish(
    sessions: &Sessions,
    subscriber: &Subscriber,
    stream: &TcpStream,
    end: End,
) -> io::Result<()> {
    let close = match end {
        End::Gone => return Ok(()),
        End::Answered => Close::Normal,
        End::Because(close) => close,
    };
    sessions.metrics.closed(close);
    if close == Close::Draining {
        drained(subscriber, stream, LINGER).await;
    }
    subscriber.end();
    if end != End::Answered {
        subscriber.send(frame::close(close.code(), close.reason()), Instant::now());
    }
    drained(subscriber, stream, LINGER).await;
    socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)?;
    drop(timeout(LINGER, discard_input(stream)).await);
    Ok(())
}

/// Waits until all that waits is written.
async fn drained(subscriber: &Subscriber, stream: &TcpStream, patience: Duration) {
    let writing = async {
        loop {
            let flow = subscriber.flow();
            if !flow.waiting || flow.broken || stream.writable().await.is_err() {
                return;
            }
            subscriber.writable(Instant::now());
        }
    };
    drop(timeout(patience, writing).await);
}

async fn discard_input(stream: &TcpStream) -> io::Result<()> {
    // On the heap: as a part of the task it would cost every session that never comes here.
    let mut scratch = vec![0; 4096];
    let mut total = 0;
    while total < LINGER_BYTES_MAX {
        stream.readable().await?;
        match stream.try_read(&mut scratch) {
            Ok(0) => return Ok(()),
            Ok(read) => total += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
