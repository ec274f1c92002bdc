//! Composition: every part is built here, given what it needs, and stopped in order.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{net::TcpListener, time::interval};
use ulid::Ulid;

use crate::{
    access::Admission,
    config::Config,
    delivery::{Delivery, SubscriptionLimits},
    documents,
    http::{self, Origins, WebSocketRoute},
    hub::{Hub, OUTLETS_MAX},
    market::Epoch,
    sandbox, server,
    session::{Sessions, Settings},
    shutdown::{self, Shutdown, Stage, Tasks, Trigger},
    telemetry::{Telemetry, UPKEEP_EVERY},
    units::now_us,
    upstream::{
        Deps, Upstream,
        config::FeedConfig,
        credits::{Book, StateError},
    },
};

/// Between the notice to clients and the end of the producers: time for a load balancer to see that
/// the server is not ready, and for the notices to arrive.
const NOTICE: Duration = Duration::from_millis(200);

/// A server that runs.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    trigger: Trigger,
    producers: Tasks,
    sessions: Tasks,
    rest: Tasks,
    drain_timeout: Duration,
}

impl App {
    /// Builds every part and serves on `listener`.
    ///
    /// # Errors
    /// When a part cannot be built; the text names it.
    pub async fn start(config: Config, listener: TcpListener) -> Result<Self> {
        // A second call finds it installed: every server of a process uses the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let address = listener.local_addr()?;
        let telemetry = Telemetry::new()?;
        let (trigger, shutdown) = shutdown::channel();
        let (producers, sessions, rest) = (Tasks::default(), Tasks::default(), Tasks::default());

        let sandbox_url = start_sandbox(&config, &rest, &shutdown).await?;
        let shards = shard_count(config.server.shards);
        let hub = Arc::new(Hub::new(config.hub.clone(), shards, new_epoch(), &telemetry));
        let delivery = start_delivery(&config, &hub, &telemetry, &sessions, &shutdown)?;
        let credits = open_credits(&config)?;
        let deps = Deps { hub: hub.clone(), telemetry: telemetry.clone(), sandbox_url, credits };
        let upstream = Upstream::build(config.feeds.clone(), config.consolidate.clone(), deps)?;
        let (health, intake) = (upstream.health(), upstream.intake());
        upstream.start(&producers, shutdown.clone()).context("a feed could not be started")?;

        let admission = Admission::new(&config.limits);
        let door = Sessions::new(
            settings(&config),
            delivery.clone(),
            admission,
            &telemetry,
            shutdown.clone(),
        );
        let router = http::router(http::Context {
            reader: delivery.reader().clone(),
            health,
            intake,
            telemetry: telemetry.clone(),
            shutdown: shutdown.clone(),
            origins: Origins::new(address, &config.server.public_origins),
            limits: config.limits.clone(),
            refresh: None,
            websocket: Arc::new(WebSocketRoute::new(door.clone(), sessions.clone())),
            sessions: door,
            files: documents::files(),
        });
        rest.spawn("upkeep", upkeep(telemetry, shutdown.clone()));
        let (connections, unsent) = (config.limits.connections, config.delivery.send_buffer.0);
        let accept = server::serve(listener, router, connections, unsent, rest.clone(), shutdown);
        rest.spawn("accept", accept);
        let drain_timeout = config.server.drain_timeout.0;
        Ok(Self { address, trigger, producers, sessions, rest, drain_timeout })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops in order: not ready and clients told, producers ended, sessions flushed and closed.
    /// False when that took longer than `drain_timeout` and was given up.
    pub async fn stop(self) -> bool {
        let deadline = Instant::now() + self.drain_timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.trigger.advance(Stage::Draining);
        tokio::time::sleep(NOTICE.min(left())).await;
        self.trigger.advance(Stage::Stopping);
        let produced = self.producers.join(left() / 2).await;
        self.trigger.advance(Stage::Closing);
        let closed = self.sessions.join(left()).await;
        let ended = self.rest.join(left()).await;
        if !(produced && closed && ended) {
            tracing::warn!(
                producers = self.producers.len(),
                sessions = self.sessions.len(),
                other = self.rest.len(),
                "not everything had ended by the drain timeout"
            );
        }
        produced && closed && ended
    }
}

fn start_delivery(
    config: &Config,
    hub: &Arc<Hub>,
    telemetry: &Telemetry,
    sessions: &Tasks,
    shutdown: &Shutdown,
) -> Result<Arc<Delivery>> {
    let limits = SubscriptionLimits {
        topics: config.limits.topics,
        matched_topics: config.limits.matched_topics,
    };
    let delivery = Delivery::start(&config.delivery, limits, hub, telemetry, sessions, shutdown)
        .context("delivery")?;
    Ok(Arc::new(delivery))
}

/// Starts the simulated APIs where a feed asks them, and says where they listen.
pub(crate) async fn start_sandbox(
    config: &Config,
    tasks: &Tasks,
    shutdown: &Shutdown,
) -> Result<Option<String>> {
    if !config.feeds.iter().any(FeedConfig::is_simulated) {
        return Ok(None);
    }
    let sandbox = sandbox::bind(&config.sandbox).await.context("the sandbox market")?;
    let url = sandbox.base_url();
    tasks.spawn("sandbox", sandbox.serve(shutdown.clone()));
    Ok(Some(url))
}

/// Where the months of budgets are counted. A directory is used only where a budget has a month.
fn open_credits(config: &Config) -> Result<Book, StateError> {
    let monthly = |feed: &FeedConfig| feed.budget.as_ref().is_some_and(|b| b.per_month.is_some());
    if !config.feeds.iter().any(monthly) {
        return Ok(Book::default());
    }
    if let Some(dir) = &config.upstream.state_dir {
        return Book::open(dir, now_us());
    }
    tracing::warn!(
        "credits of budget.per_month are counted in memory only, anew with each start: \
         upstream.state_dir names a directory that keeps them"
    );
    Ok(Book::default())
}

fn settings(config: &Config) -> Settings {
    Settings {
        limits: config.limits.clone(),
        ping_interval: config.server.ping_interval.0,
        write_deadline: config.delivery.write_deadline.0,
        send_buffer: config.delivery.send_buffer.0,
        compression: config.delivery.compression,
    }
}

async fn upkeep(telemetry: Telemetry, mut shutdown: Shutdown) {
    let mut every = interval(UPKEEP_EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => telemetry.upkeep(),
            () = shutdown.reached(Stage::Closing) => return,
        }
    }
}

/// The random half of a ULID, in lower case: sequence numbers of two runs must never be compared.
fn new_epoch() -> Epoch {
    let text = Ulid::new().to_string().to_lowercase();
    text.get(10..).unwrap_or(&text).into()
}

fn shard_count(configured: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    if configured == 0 { cores().min(OUTLETS_MAX) } else { configured.min(OUTLETS_MAX) }
}
