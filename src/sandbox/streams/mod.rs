//! The streams of three exchanges: their WebSocket protocols, fed by the market that the REST
//! answers are made of, so that both tell the same at the same moment.
//!
//! What a venue says is decided in a file each, purely: a message or a moment goes in, messages
//! come out. `socket` alone has a connection and a clock.

mod binance;
mod coinbase;
mod kraken;
mod meter;
mod socket;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Path, RawQuery, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::units::Micros;

use super::{market::Market, world::World};
pub(super) use socket::{Upgrades, is_handshake};

/// The market at a moment.
#[derive(Clone, Copy)]
struct At<'a> {
    market: &'a Market,
    now: Micros,
}

/// What a session wants sent, and whether it is over then.
#[derive(Debug, Default, PartialEq, Eq)]
struct Out {
    messages: Vec<String>,
    close: Option<Close>,
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Close {
    code: u16,
    reason: &'static str,
}

/// One client of one venue.
trait Session: Send {
    /// Messages, pings and pongs taken in a second; one more ends the session.
    fn messages_per_second(&self) -> usize;

    /// The connection stands.
    fn open(&mut self, at: At<'_>) -> Out;

    /// The client said something.
    fn hear(&mut self, text: &str, at: At<'_>) -> Out;

    /// A step of the market has passed.
    fn tick(&mut self, at: At<'_>) -> Out;

    /// The server is about to close.
    fn warn(&mut self, at: At<'_>) -> Out;
}

impl Out {
    fn say<T: Serialize>(&mut self, message: &T) {
        // What is said here is made of texts and numbers: it has a JSON form.
        self.messages.extend(serde_json::to_string(message));
    }

    fn one<T: Serialize>(message: &T) -> Self {
        let mut out = Self::default();
        out.say(message);
        out
    }

    fn close(code: u16, reason: &'static str) -> Self {
        Self { messages: Vec::new(), close: Some(Close { code, reason }) }
    }
}

/// The whole second of a moment, by which what comes once a second is known.
fn second(now: Micros) -> Micros {
    now.div_euclid(1_000_000)
}

/// The paths of the streams.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/binance/stream", get(binance_combined))
        .route("/binance/ws", get(binance_raw))
        .route("/binance/ws/{*streams}", get(binance_one))
        .route("/coinbase/ws", get(coinbase_feed))
        .route("/kraken/v2", get(kraken_v2))
}

type Upgrading = Option<Extension<Upgrades>>;

async fn binance_combined(
    State(world): State<Arc<World>>,
    upgrades: Upgrading,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let query = query.unwrap_or_default();
    let streams = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "streams")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    match binance::Session::new(true, &streams) {
        Some(session) => socket::answer(world, upgrades, Box::new(session), request),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn binance_raw(
    State(world): State<Arc<World>>,
    upgrades: Upgrading,
    request: Request,
) -> Response {
    match binance::Session::new(false, "") {
        Some(session) => socket::answer(world, upgrades, Box::new(session), request),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn binance_one(
    State(world): State<Arc<World>>,
    upgrades: Upgrading,
    Path(streams): Path<String>,
    request: Request,
) -> Response {
    match binance::Session::new(false, &streams) {
        Some(session) => socket::answer(world, upgrades, Box::new(session), request),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn coinbase_feed(
    State(world): State<Arc<World>>,
    upgrades: Upgrading,
    request: Request,
) -> Response {
    socket::answer(world, upgrades, Box::new(coinbase::Session::default()), request)
}

async fn kraken_v2(
    State(world): State<Arc<World>>,
    upgrades: Upgrading,
    request: Request,
) -> Response {
    socket::answer(world, upgrades, Box::new(kraken::Session::default()), request)
}

#[cfg(test)]
mod tests;
