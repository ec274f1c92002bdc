//! One client of a shard: its outbox under a lock, and the way to its socket.

mod desk;
mod write;

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};

use super::{
    account::Account,
    metrics::Metrics,
    offer::Offer,
    outbox::{Bounds, Near, Outbox},
    register::Register,
};
use crate::{
    hub::{StatusChange, TopicId},
    protocol::encoding::Format,
};

pub(super) use desk::Desk;
pub(super) use write::Served;

/// A socket that is written to without waiting.
pub trait SocketWriter: Send + Sync {
    /// Writes what the socket takes now of these slices, each of one or more whole frames, but for a
    /// first that may be the rest of one.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing now; anything else means that the connection is gone.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The same of one piece.
    ///
    /// # Errors
    /// As [`SocketWriter::try_write_vectored`].
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    /// Has the memory fetched that a write begins with. Whoever is about to write to many does this
    /// for several of them first, since what is fetched together is waited for once.
    fn approach(&self) {
        // Nothing, where there is no memory of its own.
    }
}

/// One client.
pub(super) struct Client {
    /// Its number in its shard.
    pub(super) key: OnceLock<u32>,
    owner: AtomicWaker,
    /// Whether its owner was woken and has not looked since.
    woken: AtomicBool,
    writer: Arc<dyn SocketWriter>,
    metrics: Arc<Metrics>,
    /// The first lanes of its outbox.
    near: Arc<Near>,
    state: Mutex<ClientState>,
}

/// What is behind a client's lock. What serving one begins with comes first: of a thousand clients,
/// no line of memory is at hand any more when its turn comes.
#[repr(C)]
pub(super) struct ClientState {
    /// Nothing waits, is held back, blocked, corked or uncounted: what comes next may go to the
    /// socket without a look at more than the near lanes and their filters. Whoever locks the client by [`Client::lock`] ends
    /// that.
    calm: bool,
    /// Whether a flush is due already.
    touched: bool,
    /// Whether one is due later.
    deferred: bool,
    flow: Flow,
    pub(super) outbox: Outbox,
    pub(super) register: Register,
    /// How each topic reaches it.
    pub(super) by_topic: HashMap<TopicId, Reach>,
    /// Nothing is written until the answer that is being made has its place: ahead of data, and of
    /// the notices that were queued since this many answers and control frames waited.
    corked: Option<usize>,
    reported_bytes: usize,
}

/// How a topic reaches a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// The client's view of it.
    pub(super) view: u32,
    /// The client's place among the topic's members.
    pub(super) place: u32,
}

/// How writing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The socket takes nothing: whoever waits for it to become writable calls
    /// [`super::Subscriber::writable`].
    pub blocked: bool,
    /// The connection is gone or its state cannot be relied on.
    pub broken: bool,
    /// When the kernel last took a byte, or when something began to wait after a rest.
    pub progress: Instant,
    /// When the client was last sent something other than a ping.
    pub said: Instant,
    /// Whether something waits to be written.
    pub waiting: bool,
    /// When `max_rate` next lets something through.
    pub next_held: Option<Instant>,
    /// Bytes of answers that wait.
    pub control_bytes: usize,
}

impl Client {
    pub(super) fn new(
        writer: Arc<dyn SocketWriter>,
        bounds: Bounds,
        format: Format,
        metrics: Arc<Metrics>,
        now: Instant,
    ) -> Self {
        let flow = Flow {
            blocked: false,
            broken: false,
            progress: now,
            said: now,
            waiting: false,
            next_held: None,
            control_bytes: 0,
        };
        let outbox = Outbox::new(bounds, format);
        let near = outbox.lanes.near().clone();
        let state = ClientState {
            calm: false,
            touched: false,
            deferred: false,
            flow,
            outbox,
            register: Register::default(),
            by_topic: HashMap::new(),
            corked: None,
            reported_bytes: 0,
        };
        Self {
            key: OnceLock::new(),
            owner: AtomicWaker::new(),
            woken: AtomicBool::new(false),
            writer,
            metrics,
            near,
            state: Mutex::new(state),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ClientState> {
        let mut state = self.look();
        state.calm = false;
        state
    }

    /// As [`Client::lock`], for whoever changes nothing that a calm client would have to be asked
    /// for.
    pub(super) fn look(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock()
    }

    /// Offers one update, of the topic of a view. True when a flush has become due.
    pub(super) fn offer(&self, view: u32, offer: &Offer, now: Instant) -> bool {
        let mut state = self.lock();
        state.outbox.offer(view, offer, now);
        !std::mem::replace(&mut state.touched, true)
    }

    /// Queues a change of freshness. True when a flush has become due.
    pub(super) fn status(&self, view: u32, change: &Arc<StatusChange>) -> bool {
        let mut state = self.lock();
        state.outbox.push_status(view, change);
        !std::mem::replace(&mut state.touched, true)
    }

    /// Marks it as due for a flush. True when it was not yet.
    pub(super) fn touch(&self) -> bool {
        !std::mem::replace(&mut self.lock().touched, true)
    }

    /// Queues an answer or a control frame.
    pub(super) fn control(&self, frame: Bytes) {
        self.lock().outbox.push_control(frame);
    }

    /// Sends a ping, which a heartbeat does not count as something said: a browser cannot see it.
    pub(super) fn ping(&self, frame: Bytes, now: Instant) {
        let said = {
            let mut state = self.lock();
            let alone = state.outbox.is_empty();
            state.outbox.push_control(frame);
            alone.then_some(state.flow.said)
        };
        self.flush(now);
        if let Some(said) = said {
            self.lock().flow.said = said;
        }
    }

    /// Until [`Client::uncork`] nothing is written, so that no other thread can write what a
    /// subscription brings before its answer.
    pub(super) fn cork(&self) {
        let mut state = self.lock();
        let waiting = state.outbox.control_len();
        state.corked.get_or_insert(waiting);
    }

    /// Queues the answer; what follows from it may be written.
    pub(super) fn uncork(&self, answer: Bytes) {
        let mut state = self.lock();
        match state.corked.take() {
            Some(place) => state.outbox.insert_control(place, answer),
            None => state.outbox.push_control(answer),
        }
    }

    /// As [`Client::flush`], for whoever serves other clients as well: a fault in this one ends its
    /// connection alone.
    pub(super) fn flush_apart(&self, now: Instant) {
        if catch_unwind(AssertUnwindSafe(|| self.flush(now))).is_err() {
            self.fail();
        }
    }

    /// The socket takes more again.
    pub(super) fn writable(&self, now: Instant) {
        self.lock().flow.blocked = false;
        self.flush(now);
    }

    /// How writing goes.
    pub(super) fn flow(&self) -> Flow {
        self.look().flow
    }

    /// Lets the owner of the connection look what there is to do.
    pub(super) fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.owner.wake();
    }

    /// Ready when there is something for the owner of the connection to do. Only one task may wait.
    pub(super) fn poll_woken(&self, context: &mut Context<'_>) -> Poll<()> {
        self.owner.register(context.waker());
        if self.woken.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Its state cannot be relied on any more: the connection must end.
    pub(super) fn fail(&self) {
        if !std::mem::replace(&mut self.lock().flow.broken, true) {
            tracing::error!("a fault in what is kept of a client ends its connection");
        }
        self.wake();
    }

    /// Drops all that waits; nothing more is accepted.
    pub(super) fn discard(&self, now: Instant) {
        let mut state = self.lock();
        state.outbox.close();
        let mut account = Account::default();
        self.settle(&mut state, &mut account, now);
        self.metrics.report(&mut account);
    }

    /// A subscription more or less.
    pub(super) fn count_subscriptions(&self, change: i32) {
        self.metrics.subscriptions.increment(f64::from(change));
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("key", &self.key).finish_non_exhaustive()
    }
}
