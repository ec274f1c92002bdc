//! Sandbox.
pub mod config;
