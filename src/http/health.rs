//! `/healthz`: the process answers. `/readyz`: it has something to give.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::App;
use crate::{
    hub::FeedReport,
    market::{Breaker, Reason, State as Freshness},
    shutdown::Stage,
    units::now_us,
};

/// Whether a balancer should send clients, and what is wrong.
#[derive(Debug, Serialize, PartialEq, Eq, JsonSchema)]
pub(super) struct Readiness {
    /// Whether.
    ready: bool,
    /// What is wrong with required feeds, whether or not that alone matters.
    reasons: Vec<Why>,
}

/// The process answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Alive {
    /// Always `ok`.
    status: &'static str,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, PartialEq, Eq, JsonSchema)]
struct Why {
    /// The feed, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    feed: Option<String>,
    /// Its freshness.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Freshness>,
    /// One of the reasons of a status, or `draining`.
    reason: &'static str,
}

/// `GET /healthz`.
pub(super) async fn alive() -> Response {
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    (no_store, Json(Alive { status: "ok" })).into_response()
}

/// `GET /readyz`.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let feeds = app.context.health.feeds(now_us());
    let delivered = app.delivered(has_delivered(&feeds));
    let draining = app.context.shutdown.stage() >= Stage::Draining;
    let readiness = judge(feeds, delivered, draining);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    (status, no_store, Json(readiness)).into_response()
}

/// Whether no required feed is yet to deliver for the first time. One that rests until somebody
/// subscribes delivers when it is asked: it is ready.
fn has_delivered(feeds: &[FeedReport]) -> bool {
    let mut required = feeds.iter().filter(|feed| feed.required);
    required.all(|feed| feed.last_success.is_some() || feed.paused)
}

/// Once every required feed has delivered, only the loss of all of them counts: one dead upstream
/// must not take a whole fleet out of its balancer.
fn judge(feeds: Vec<FeedReport>, delivered: bool, draining: bool) -> Readiness {
    let mut required = feeds.iter().filter(|feed| feed.required).peekable();
    let any = required.peek().is_some();
    let lost = any && required.all(|feed| feed.state == Freshness::Down && !feed.paused);
    let drain = draining.then_some(Why { feed: None, state: None, reason: "draining" });
    let troubled = feeds
        .into_iter()
        .filter(|feed| feed.required && !feed.paused)
        .filter(|feed| feed.state != Freshness::Live || feed.last_success.is_none());
    Readiness {
        ready: delivered && !lost && !draining,
        reasons: drain.into_iter().chain(troubled.map(why)).collect(),
    }
}

fn why(feed: FeedReport) -> Why {
    let last = feed.last_error.map(|error| error.reason);
    let reason = match (last, feed.breaker) {
        (Some(reason), _) => reason,
        (None, Breaker::Open) => Reason::BreakerOpen,
        (None, _) => Reason::NoData,
    };
    Why { feed: Some(feed.name), state: Some(feed.state), reason: reason.as_str() }
}
