//! `/v1/topics`: what there is.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Problem, answer, params::Params};
use crate::{delivery::TopicRow, units::now_us};

/// What may be asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Which; absent means all.
    pattern: Option<String>,
    /// How many at most: 1 to 1000, else 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TopicsBody")]
pub(super) struct Body {
    /// By name.
    topics: Vec<TopicRow>,
    /// The `cursor` of the next page; null at the end.
    next: Option<String>,
}

/// `GET /v1/topics?pattern=&limit=&cursor=`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let (pattern, cursor) = (asked.pattern.as_deref(), asked.cursor.as_deref());
    let page = app.context.reader.topics(pattern, asked.limit, cursor, now_us())?;
    let body = Body { topics: page.rows, next: page.next };
    Ok(answer::json(&headers, &body))
}
