//! `[server]`.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Span;

/// Where and how to listen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Server")]
pub struct Config {
    /// Address of the one port for WebSocket, HTTP and metrics.
    pub listen: SocketAddr,
    /// Serve strangers on an address that is not loopback.
    pub allow_anonymous: bool,
    /// Origins of browsers that may connect; empty means the listen address and localhost names.
    pub public_origins: Vec<String>,
    /// How long a shutdown may take.
    pub drain_timeout: Span,
    /// Time between WebSocket pings; two missed ones close the connection.
    pub ping_interval: Span,
    /// Delivery shards; 0 means one per core.
    pub shards: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allow_anonymous: false,
            public_origins: Vec::new(),
            drain_timeout: Span::secs(10),
            ping_interval: Span::secs(20),
            shards: 0,
        }
    }
}
