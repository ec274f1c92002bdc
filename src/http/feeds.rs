//! `/v1/feeds`: how the upstreams are.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    App, answer,
    params::{Nothing, Params},
};
use crate::{hub::FeedReport, units::now_us};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FeedsBody")]
pub(super) struct Body {
    /// In configured order.
    feeds: Vec<FeedReport>,
}

/// `GET /v1/feeds`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(Nothing {}): Params<Nothing>,
) -> Response {
    let feeds = app.context.health.feeds(now_us());
    answer::json(&headers, &Body { feeds })
}
