//! `[sandbox]`.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Span;

/// The simulated market.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Sandbox")]
pub struct Config {
    /// Where the simulated APIs listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The same seed gives the same prices.
    pub seed: u64,
    /// Base assets that are simulated; empty means all that the sandbox knows.
    pub symbols: Vec<String>,
    /// Yearly volatility of each price, as a fraction: 0.6 is 60 %.
    pub volatility: f64,
    /// Misbehaviour on purpose.
    pub faults: Vec<Fault>,
}

/// One way to misbehave.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which paths: exact, or with a final `*` for any rest.
    pub path: String,
    /// What happens.
    pub kind: FaultKind,
    /// How often, from 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// What a 429 says in Retry-After.
    pub retry_after: Option<Span>,
}

/// What a misbehaving upstream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// Status 429.
    #[serde(rename = "429")]
    TooManyRequests,
    /// Status 500.
    #[serde(rename = "500")]
    ServerError,
    /// An HTML page with status 200 where JSON, or a stream, is due.
    Html,
    /// The right answer, three seconds late; of a stream the handshake.
    Slow,
    /// The first half of the right body; a stream breaks off within a frame after two seconds.
    Truncated,
    /// No answer at all; a stream stands and says nothing more after two seconds.
    Hang,
}

fn always() -> f64 {
    1.0
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            symbols: Vec::new(),
            volatility: 0.6,
            faults: Vec::new(),
        }
    }
}
