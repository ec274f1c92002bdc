//! Tickwire.
pub mod access;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod http;
pub mod hub;
pub mod market;
pub mod protocol;
pub mod sandbox;
pub mod server;
pub mod shutdown;
pub mod telemetry;
pub mod units;
pub mod upstream;
