//! One client: over a WebSocket (handshake, commands, timers, the end) or as a stream of
//! Server-Sent Events.
//!
//! A WebSocket session is a task on its shard. Reading, deadlines and closing are its business; data is
//! written by the shard itself, straight from the outbox, and the task only takes over where the
//! socket takes nothing more. So no write is ever awaited next to a deadline.

mod commands;
mod deflate;
pub mod extension;
mod frames;
mod greeting;
pub mod handshake;
mod heartbeat;
pub mod inbound;
mod metrics;
mod run;
mod socket;
pub mod sse;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::net::TcpStream;

use crate::{
    access::{Admission, Limits},
    delivery::{Delivery, TransportKind},
    protocol::encoding::Format,
    shutdown::{Shutdown, Stage},
    telemetry::Telemetry,
};
use metrics::Metrics;

/// A heartbeat comes when nothing else was sent for this long.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long the end of a session may take to be read by the client.
const LINGER: Duration = Duration::from_secs(2);

/// What sessions are run with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How much a session may do.
    pub limits: Limits,
    /// Time between pings.
    pub ping_interval: Duration,
    /// A session whose socket takes nothing for this long, though something waits, ends.
    pub write_deadline: Duration,
    /// `SO_SNDBUF`.
    pub send_buffer: usize,
    /// Whether permessage-deflate is negotiated.
    pub compression: bool,
}

/// Takes in clients.
#[derive(Debug)]
pub struct Sessions {
    settings: Settings,
    delivery: Arc<Delivery>,
    admission: Arc<Admission>,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Sessions {
    /// A door to `delivery`.
    pub fn new(
        settings: Settings,
        delivery: Arc<Delivery>,
        admission: Arc<Admission>,
        telemetry: &Telemetry,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let metrics = Metrics::new(telemetry);
        Arc::new(Self { settings, delivery, admission, metrics, shutdown })
    }

    /// True while new clients are turned away because the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.shutdown.stage() >= Stage::Draining
    }

    /// Whether permessage-deflate is negotiated.
    pub fn compression(&self) -> bool {
        self.settings.compression
    }

    /// Runs a session on an upgraded connection. `read` is what came behind the handshake,
    /// in which `format` was agreed upon.
    pub fn run(
        self: &Arc<Self>,
        stream: TcpStream,
        read: Vec<u8>,
        address: IpAddr,
        format: Format,
    ) {
        let Some(seat) = self.delivery.seat(TransportKind::WebSocket) else {
            return;
        };
        let admitted = self.admission.admit(address);
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%error, "a connection was lost at its upgrade"),
        };
        let (sessions, on_shard) = (self.clone(), seat.clone());
        // The socket moves to the event loop of its shard. What stays is made there: among what the
        // handshake took and gave back, it would leave holes in memory.
        seat.spawn("opening", async move {
            let taken = match run::take(&sessions, &on_shard, stream, read, format) {
                Ok(taken) => taken,
                Err(error) => return tracing::debug!(%error, "a connection was lost"),
            };
            match admitted {
                Ok(permit) => on_shard.spawn("session", run::run(sessions, taken, permit)),
                Err(full) => on_shard.spawn("refusal", run::refuse(sessions, taken, full)),
            }
        });
    }
}
