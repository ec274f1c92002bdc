//! The whole server over real sockets, a file a theme.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that fails is meant to panic, and its tasks end with it"
)]

mod support;

mod compression;
mod conformance;
mod credits;
mod delivery;
mod demand;
mod documents;
mod encodings;
mod faults;
mod freshness;
mod layering;
mod life;
mod limits;
mod markets;
mod options;
mod probe;
mod protocol;
mod push;
mod replay;
mod rest;
mod slow;
mod stream;
mod venues;
