//! Access.
mod config;
pub use config::Limits;
