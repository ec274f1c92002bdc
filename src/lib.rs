//! Tickwire.
pub mod access;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod http;
pub mod hub;
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
pub mod http;
pub mod server;
pub mod session;

// Composition.
pub mod app;
pub mod cli;
pub mod config;
