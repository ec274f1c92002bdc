//! A shard: one thread that owns a part of the clients, reads one outlet of the hub and writes to
//! the sockets of its clients.
//!
//! A thread with a runtime of its own rather than a task of a shared one: a client's socket, timers
//! and deliveries then stay on one core, and nothing is woken across threads but by the outlet.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle},
    sync::{broadcast::error::TryRecvError, oneshot},
};

use super::{
    client::{Client, Desk},
    config::Config,
    index::{Index, Now, Touched},
    options::Options,
    rows::UnsubscribeRow,
    subscribe::{self, Begun, SubscriptionLimits, Terms},
    unsubscribe,
};
use crate::{
    hub::{Event, Hub, Inbox},
    protocol::params::Resume,
    shutdown::{Shutdown, Stage, Tasks},
    units::now_us,
};

/// Events taken from the channel before the clients that they touched are written to.
const BATCH: usize = 256;
/// How often events are taken from the channel while clients are being written to: the larger a
/// batch, the less it costs to pass on, and the longer it waited.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How often it is looked for what came while events were passed on.
const LOOKS: usize = 4;
/// Topics of a pattern that begin before others get their turn: they take some 0.5 ms. What comes
/// of those that have begun waits until all have, so that the turns must not be many.
const MATCHES_PER_TURN: usize = 512;
/// A fault that comes back at once must not take the whole core.
const RESTART_AFTER: Duration = Duration::from_millis(10);

/// One shard.
pub(super) struct Shard {
    index: Mutex<Index>,
    handle: Handle,
    limits: SubscriptionLimits,
    coalesce: Duration,
    /// The same for updates of mode `latest`, where that is longer.
    latest: Duration,
}

impl Now {
    fn read() -> Self {
        Self { instant: Instant::now(), wall: now_us() }
    }
}

impl Shard {
    /// Starts the thread. It ends when `shutdown` has reached its last stage and `tasks`, which
    /// count the sessions on it, are done or were given up.
    pub(super) fn start(
        outlet: usize,
        hub: Arc<Hub>,
        limits: SubscriptionLimits,
        config: &Config,
        tasks: &Tasks,
        shutdown: Shutdown,
    ) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (coalesce, latest) = (config.coalesce.0, config.coalesce_latest.0);
        let mut index = Index::new(outlet, hub.clone());
        index.defers_latest = latest > coalesce;
        let index = Mutex::new(index);
        let handle = runtime.handle().clone();
        let shard = Arc::new(Self { index, handle, limits, coalesce, latest });
        let inbox = hub.open(outlet).ok_or(io::ErrorKind::InvalidInput)?;
        let (dispatcher, waker) = (shard.clone(), shard.clone());
        let (sessions, mut stop) = (tasks.clone(), shutdown);
        let (end, ended) = oneshot::channel::<()>();
        // Sessions look at the stage when they are woken: to wait for it would take each of them some
        // 200 bytes. Not a part of what waits for events: that is polled for each of them.
        Tasks::default().spawn_on(
            "end of a shard",
            async move {
                for stage in [Stage::Draining, Stage::Closing] {
                    stop.reached(stage).await;
                    waker.wake_all();
                }
                sessions.wait().await;
                drop(end);
            },
            &shard.handle,
        );
        thread::Builder::new().name(format!("shard-{outlet}")).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = dispatcher.supervise(inbox) => {}
                    _ = ended => {}
                }
            });
        })?;
        Ok(shard)
    }

    fn wake_all(&self) {
        for (_, client) in &self.index.lock().clients {
            client.wake();
        }
    }

    /// Where tasks of this shard's clients run.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs the dispatch loop, and again when it panics: what was missed is taken from the rings.
    async fn supervise(&self, mut inbox: Inbox) {
        let (mut again, mut desk) = (false, Desk::default());
        loop {
            let run = async {
                if again {
                    self.index.lock().recover(&mut desk, Now::read());
                }
                self.run(&mut inbox, &mut desk).await;
            };
            if AssertUnwindSafe(run).catch_unwind().await.is_ok() {
                return;
            }
            tracing::error!("the dispatch loop of a shard panicked and is started again");
            again = true;
            tokio::time::sleep(RESTART_AFTER).await;
        }
    }

    async fn run(&self, inbox: &mut Inbox, desk: &mut Desk) {
        let mut batch = Vec::with_capacity(BATCH);
        // When the clients that were deferred must be flushed.
        let mut due: Option<Instant> = None;
        let mut looked = Instant::now();
        // Whether the channel has lost something that comes after the batch.
        let mut lagged = false;
        loop {
            if batch.is_empty() && self.index.lock().turns.is_empty() {
                tokio::select! {
                    biased;
                    () = passed(due) => {}
                    () = inbox.ready() => {
                        if !self.coalesce.is_zero() {
                            tokio::time::sleep(self.coalesce).await;
                        }
                    }
                }
            } else {
                tokio::task::yield_now().await;
            }
            let now = Instant::now();
            let mut index = self.index.lock();
            if due.is_some_and(|due| due <= now) {
                due = None;
                index.end_deferral();
            }
            if index.turns.is_empty() || now >= looked + LOOK_EVERY {
                looked = now;
                take_in(&mut index, inbox, &mut batch, &mut lagged);
            }
            index.take_turn(desk, now);
            if due.is_none() && !index.deferred.is_empty() {
                due = Some(now + self.latest);
            }
        }
    }

    pub(super) fn attach(&self, client: Arc<Client>) {
        let mut index = self.index.lock();
        let entry = index.clients.vacant_entry();
        if let Ok(key) = u32::try_from(entry.key())
            && client.key.set(key).is_ok()
        {
            entry.insert(client);
        }
    }

    pub(super) fn detach(&self, client: &Arc<Client>) {
        unsubscribe::detach(&mut self.index.lock(), client, Now::read());
    }

    /// Subscribes without writing: the answer comes first. Returns who must be flushed then.
    pub(super) fn subscribe(
        &self,
        client: &Arc<Client>,
        text: &str,
        options: &Options,
        resume: Option<&Resume>,
    ) -> (Begun, Touched) {
        let (mut touched, terms) = (Touched::new(), self.terms(options, resume));
        let mut index = self.index.lock();
        let now = Now::read();
        let begun = subscribe::subscribe(&mut index, client, text, terms, now, &mut touched);
        (begun, touched)
    }

    /// Goes on with what [`Shard::subscribe`] has begun.
    pub(super) fn go_on(
        &self,
        client: &Arc<Client>,
        begun: Begun,
        options: &Options,
        resume: Option<&Resume>,
    ) -> (Begun, Touched) {
        let (mut touched, terms) = (Touched::new(), self.terms(options, resume));
        let mut index = self.index.lock();
        let now = Now::read();
        let begun = subscribe::go_on(&mut index, client, begun, terms, now, &mut touched);
        (begun, touched)
    }

    fn terms<'a>(&self, options: &'a Options, resume: Option<&'a Resume>) -> Terms<'a> {
        Terms { options, resume, limits: self.limits, matches_per_turn: MATCHES_PER_TURN }
    }

    pub(super) fn unsubscribe(
        &self,
        client: &Arc<Client>,
        texts: &[String],
    ) -> Vec<UnsubscribeRow> {
        unsubscribe::unsubscribe(&mut self.index.lock(), client, texts, Now::read())
    }
}

/// Waits until a moment has passed; without one, for ever.
async fn passed(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Passes on what is in the channel. What has come in the meantime is taken as well, so that what
/// was published together is written together.
fn take_in(index: &mut Index, inbox: &mut Inbox, batch: &mut Vec<Event>, lagged: &mut bool) {
    for _ in 0..LOOKS {
        *lagged = *lagged || !take_all(inbox, batch);
        if batch.is_empty() {
            break;
        }
        let done = index.dispatch(batch, Now::read());
        batch.drain(..done);
    }
    if *lagged && batch.is_empty() {
        *lagged = false;
        tracing::warn!("a shard fell behind and catches up from history");
        index.resync(Now::read());
    }
}

/// Takes what waits, up to a batch. `false` when the channel has lost some of it.
fn take_all(inbox: &mut Inbox, batch: &mut Vec<Event>) -> bool {
    while batch.len() < BATCH {
        match inbox.try_recv() {
            Ok(event) => batch.push(event),
            Err(TryRecvError::Lagged(_)) => return false,
            Err(_) => break,
        }
    }
    true
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shard")
    }
}
