//! Tickwire turns slow, rate-limited upstream APIs into one live stream that many clients can
//! trust. This is the map, in reading order; ARCHITECTURE.md tells the story.

// What everyone may use.
pub mod market;
pub mod shutdown;
pub mod telemetry;
pub mod units;

// The wire, and who may do how much on it.
pub mod access;
pub mod protocol;

// Where producers and consumers meet.
pub mod hub;

// Producers: upstream APIs, and the market that imitates them.
pub mod sandbox;
pub mod upstream;

// Consumers: from the hub to the sockets.
pub mod delivery;
pub mod documents;
pub mod http;
pub mod server;
pub mod session;

// Composition.
pub mod app;
pub mod cli;
pub mod config;
