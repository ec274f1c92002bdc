//! `/v1/snapshot`: last values.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    App, Problem, answer,
    params::{self, Params},
};
use crate::{delivery::SnapshotRow, units::now_us};

/// What may be asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Topics and patterns, separated by commas.
    topics: String,
    /// How many at most: 1 to 1000, else 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SnapshotsBody")]
pub(super) struct Body {
    /// In the order asked; a topic without a value is a row with an error.
    snapshots: Vec<SnapshotRow>,
    /// The `cursor` of the next page; null at the end.
    next: Option<String>,
}

/// `GET /v1/snapshot?topics=a,b&limit=&cursor=`.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let topics = params::topics(&asked.topics, app.context.limits.topics_per_request)?;
    let cursor = asked.cursor.as_deref();
    let page = app.context.reader.snapshot(&topics, asked.limit, cursor, now_us())?;
    let body = Body { snapshots: page.rows, next: page.next };
    Ok(answer::json(&headers, &body))
}
