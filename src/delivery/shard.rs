//! A shard: one thread that owns a part of the clients, reads one outlet of the hub and writes to
//! the sockets of its clients.
//!
//! A thread with a runtime of its own rather than a task of a shared one: a client's socket, timers
//! and deliveries then stay on one core, and nothing is woken across threads but by the channel.

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
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
};

use super::{
    client::Client,
    config::Config,
    index::{Index, Now, Touched},
    options::Options,
    rows::{SubscribeRow, UnsubscribeRow},
    subscribe::{self, SubscriptionLimits, Terms},
};
use crate::{
    hub::{Event, Hub},
    protocol::params::Resume,
    shutdown::{Shutdown, Stage, Tasks},
    units::now_us,
};

/// Events taken from the channel before the clients that they touched are written to.
const BATCH: usize = 256;
/// Clients written to before other tasks of the shard get their turn: some 300 µs.
const FLUSHES: usize = 64;
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
        let receiver = hub.open(outlet).ok_or(io::ErrorKind::InvalidInput)?;
        let (dispatcher, sessions, mut stop) = (shard.clone(), tasks.clone(), shutdown);
        thread::Builder::new().name(format!("shard-{outlet}")).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = dispatcher.supervise(receiver) => {}
                    () = async {
                        // Sessions look at the stage when they are woken: to wait for it would take
                        // each of them some 200 bytes.
                        for stage in [Stage::Draining, Stage::Closing] {
                            stop.reached(stage).await;
                            dispatcher.wake_all();
                        }
                        sessions.wait().await;
                    } => {}
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
    async fn supervise(&self, mut receiver: Receiver<Event>) {
        let mut again = false;
        loop {
            let run = async {
                if again {
                    self.recover().await;
                }
                self.run(&mut receiver).await;
            };
            if AssertUnwindSafe(run).catch_unwind().await.is_ok() {
                return;
            }
            tracing::error!("the dispatch loop of a shard panicked and is started again");
            again = true;
            tokio::time::sleep(RESTART_AFTER).await;
        }
    }

    /// As [`Shard::resync`], and writes to everyone: who was due when the loop panicked is taken
    /// for due still, and would not be written to by what comes next.
    async fn recover(&self) {
        let now = Now::read();
        let mut everyone = {
            let mut index = self.index.lock();
            index.resync(now, &mut Touched::new());
            index.clients.iter().map(|(_, client)| client.clone()).collect()
        };
        flush(&mut everyone, now.instant).await;
    }

    async fn run(&self, receiver: &mut Receiver<Event>) {
        let mut batch = Vec::with_capacity(BATCH);
        // When the clients that were deferred must be flushed.
        let mut due: Option<Instant> = None;
        loop {
            let received = tokio::select! {
                biased;
                () = passed(due) => {
                    due = None;
                    let mut deferred = std::mem::take(&mut self.index.lock().deferred);
                    flush(&mut deferred, Instant::now()).await;
                    continue;
                }
                received = receiver.recv() => received,
            };
            match received {
                Ok(event) => batch.push(event),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "a shard fell behind and catches up from history");
                    self.resync().await;
                    continue;
                }
                Err(RecvError::Closed) => return,
            }
            if !self.coalesce.is_zero() {
                tokio::time::sleep(self.coalesce).await;
            }
            let mut lagged = false;
            while batch.len() < BATCH && !lagged {
                match receiver.try_recv() {
                    Ok(event) => batch.push(event),
                    Err(TryRecvError::Lagged(_)) => lagged = true,
                    Err(_) => break,
                }
            }
            self.dispatch(&mut batch).await;
            if lagged {
                self.resync().await;
            }
            if due.is_none() && !self.index.lock().deferred.is_empty() {
                due = Some(Instant::now() + self.latest);
            }
        }
    }

    async fn dispatch(&self, batch: &mut Vec<Event>) {
        let mut touched = Touched::new();
        let mut done = 0;
        while let Some(events) = batch.get(done..).filter(|events| !events.is_empty()) {
            let now = Now::read();
            done += self.index.lock().dispatch(events, now, &mut touched);
            flush(&mut touched, now.instant).await;
        }
        batch.clear();
    }

    async fn resync(&self) {
        let mut touched = Touched::new();
        let now = Now::read();
        self.index.lock().resync(now, &mut touched);
        flush(&mut touched, now.instant).await;
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
        subscribe::detach(&mut self.index.lock(), client, Now::read());
    }

    /// Subscribes without writing: the answer comes first. Returns who must be flushed then.
    pub(super) fn subscribe(
        &self,
        client: &Arc<Client>,
        text: &str,
        options: &Options,
        resume: Option<&Resume>,
    ) -> (SubscribeRow, Touched) {
        let mut touched = Touched::new();
        let terms = Terms { options, resume, limits: self.limits };
        let mut index = self.index.lock();
        let now = Now::read();
        let row = subscribe::subscribe(&mut index, client, text, terms, now, &mut touched);
        (row, touched)
    }

    pub(super) fn unsubscribe(&self, client: &Arc<Client>, text: &str) -> UnsubscribeRow {
        subscribe::unsubscribe(&mut self.index.lock(), client, text)
    }
}

/// Waits until a moment has passed; without one, for ever.
async fn passed(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

async fn flush(touched: &mut Touched, now: Instant) {
    for (index, client) in touched.drain(..).enumerate() {
        if index > 0 && index % FLUSHES == 0 {
            tokio::task::yield_now().await;
        }
        client.flush_apart(now);
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shard")
    }
}
