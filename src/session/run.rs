//! The life of one session.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
    inbound::{Inbound, Received, Rules},
    socket::configure,
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
    shutdown::Stage,
};

/// Messages other than requests that are read before the shard's other tasks get their turn.
const MESSAGES_PER_TURN: usize = 32;
/// While more of its answers wait, a client's further requests are not read.
const ANSWERS_WAITING_MAX: usize = 64 << 10;
/// Frames a second that a client may send in addition to those that end a request: enough for 64 KiB
/// in pieces of 64 bytes, and too few to keep a shard busy.
const FRAGMENTS_PER_S: f64 = 1000.0;
/// What a client may still send while it is being closed.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// A session that has a place on its shard.
pub(super) struct Taken {
    pub(super) subscriber: Subscriber,
    pub(super) stream: Arc<TcpStream>,
    pub(super) inbound: Inbound,
}

/// Takes a place on the shard of `seat`, on whose event loop this must be called. `read` is what
/// came behind the handshake.
pub(super) fn take(
    sessions: &Sessions,
    seat: &Seat,
    stream: std::net::TcpStream,
    read: Vec<u8>,
    format: Format,
) -> io::Result<Taken> {
    let stream = TcpStream::from_std(stream)?;
    configure(&stream, sessions.settings.send_buffer)?;
    let (stream, now) = (Arc::new(stream), Instant::now());
    let subscriber = seat.take(stream.clone(), format, now);
    let limits = &sessions.settings.limits;
    let rules = Rules {
        message_bytes: limits.message_bytes.0,
        frames_per_s: FRAGMENTS_PER_S + f64::from(limits.requests_per_s),
        deflate: format.deflate.is_some(),
    };
    Ok(Taken { subscriber, stream, inbound: Inbound::new(read, rules, now) })
}

/// Runs a session to its end.
pub(super) async fn run(sessions: Arc<Sessions>, mut taken: Taken, permit: Permit) {
    let connected = sessions.metrics.connected(TransportKind::WebSocket);
    let end = Session::new(&sessions, &mut taken, Instant::now()).live().await;
    drop((connected, permit));
    // On the heap: it is needed once, and would be a third of every session until then.
    Box::pin(finish(&sessions, &taken, end)).await;
}

/// Tells a client for which there is no room.
pub(super) async fn refuse(sessions: Arc<Sessions>, taken: Taken, full: Full) {
    let error = ErrorBody::new(ErrorCode::TooManyConnections, full.to_string());
    taken.subscriber.say(&failure(&RequestId::Unknown, &error), Instant::now());
    finish(&sessions, &taken, End::Because(Close::TooManyConnections)).await;
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The connection is gone.
    Gone,
    /// The client closed, and its close is answered.
    Answered(Close),
    /// It is closed by the server.
    Because(Close),
}

/// What a session waited for.
#[derive(Debug, Default)]
struct Happened {
    /// The socket is in error.
    gone: bool,
    /// The shutdown has come to the next stage.
    leave: bool,
    writable: bool,
    readable: bool,
    /// A deadline may have passed.
    timed: bool,
}

struct Session<'a> {
    sessions: &'a Sessions,
    subscriber: &'a Subscriber,
    stream: &'a TcpStream,
    commands: Commands<'a>,
    inbound: &'a mut Inbound,
    timers: Timers,
    told_to_leave: bool,
    /// Whether the reader may hold messages that were not dealt with yet.
    unread: bool,
}

impl<'a> Session<'a> {
    fn new(sessions: &'a Sessions, taken: &'a mut Taken, now: Instant) -> Self {
        let Taken { subscriber, stream, inbound } = taken;
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
            inbound,
            timers,
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
            let (write, read) = (flow.waiting, flow.control_bytes <= ANSWERS_WAITING_MAX);
            if read && self.unread {
                tokio::task::yield_now().await;
            }
            // One poll over all that may happen: as futures of their own, the waits would be half of
            // what a session takes in memory.
            let happened = poll_fn(|context| self.poll(context, write, read, timer.as_mut())).await;
            let readable = happened.readable;
            if let Some(end) = self.deal_with(happened) {
                return end;
            }
            // On the heap: most sessions read nothing most of the time.
            if readable && let Some(end) = Box::pin(self.read()).await {
                return end;
            }
        }
    }

    /// Ready with all that has happened.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        write: bool,
        read: bool,
        timer: Pin<&mut Sleep>,
    ) -> Poll<Happened> {
        let mut happened = Happened::default();
        // The first, so that a stage that is reached from here on wakes this task.
        let woken = self.subscriber.poll_woken(context).is_ready();
        let stage = if self.told_to_leave { Stage::Closing } else { Stage::Draining };
        happened.leave = self.sessions.shutdown.stage() >= stage;
        let mut ready = |polled: Poll<io::Result<()>>| {
            happened.gone |= matches!(polled, Poll::Ready(Err(_)));
            polled.is_ready()
        };
        let writable = write && ready(self.stream.poll_write_ready(context));
        let readable = read && (self.unread || ready(self.stream.poll_read_ready(context)));
        let timed = timer.poll(context).is_ready();
        (happened.writable, happened.readable, happened.timed) = (writable, readable, timed);
        let any = woken || timed || writable || readable || happened.leave;
        if any { Poll::Ready(happened) } else { Poll::Pending }
    }

    fn deal_with(&mut self, happened: Happened) -> Option<End> {
        if happened.gone {
            return Some(End::Gone);
        }
        if happened.leave
            && let Some(end) = self.leave()
        {
            return Some(end);
        }
        if happened.writable {
            self.subscriber.writable(Instant::now());
        } else if happened.timed {
            self.subscriber.flush(Instant::now());
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

    /// Reads and answers one request, or a bounded number of other messages. What the reader has
    /// buffered beyond them does not make the socket readable again, so it is remembered that there
    /// may be more.
    async fn read(&mut self) -> Option<End> {
        let mut answers = Vec::new();
        for _ in 0..MESSAGES_PER_TURN {
            let received = self.inbound.next(self.stream, &mut answers);
            let now = Instant::now();
            if matches!(received, Received::Closed(_)) {
                // Nothing may follow the close frame that is the answer.
                self.subscriber.end();
            }
            for answer in answers.drain(..) {
                self.subscriber.send(answer, now);
            }
            self.unread = !matches!(received, Received::Nothing);
            let is_request = matches!(received, Received::Text(_) | Received::Binary(_));
            let verdict = match received {
                Received::Nothing => return None,
                Received::Gone => return Some(End::Gone),
                Received::Broken(close) => return Some(End::Because(close)),
                Received::Closed(close) => return Some(End::Answered(close)),
                Received::Alive => self.commands.handle_control(now),
                Received::Text(text) => self.commands.handle_text(&text, now).await,
                Received::Binary(bytes) => self.commands.handle_binary(&bytes, now).await,
            };
            self.timers.heard(now);
            if verdict == Verdict::Flood {
                return Some(End::Because(Close::RateLimited));
            }
            if is_request || self.subscriber.flow().control_bytes > ANSWERS_WAITING_MAX {
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
async fn finish(sessions: &Sessions, taken: &Taken, end: End) {
    let Taken { subscriber, stream, .. } = taken;
    let close = match end {
        End::Gone => return,
        End::Answered(close) | End::Because(close) => close,
    };
    sessions.metrics.closed(close);
    if close == Close::Draining {
        drained(subscriber, stream, LINGER).await;
    }
    subscriber.end();
    if !matches!(end, End::Answered(_)) {
        subscriber.send(frame::close(close.code(), close.reason()), Instant::now());
    }
    drained(subscriber, stream, LINGER).await;
    if let Err(error) = socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write) {
        return tracing::debug!(%error, "a session ended before its close was taken");
    }
    drop(timeout(LINGER, discard_input(stream)).await);
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
