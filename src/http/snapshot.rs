//! `/v1/snapshot`: last values.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};

use super::{App, Problem, answer, params::Params};
use crate::{
    delivery::SnapshotRow,
    protocol::code::{ErrorBody, ErrorCode},
    units::now_us,
};

/// What may be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    topics: String,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Body {
    snapshots: Vec<SnapshotRow>,
    next: Option<String>,
}

/// `GET /v1/snapshot?topics=a,b&limit=&cursor=`.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let topics = topics(&asked.topics, app.context.limits.topics_per_request)?;
    let cursor = asked.cursor.as_deref();
    let page = app.context.reader.snapshot(&topics, asked.limit, cursor, now_us())?;
    let body = Body { snapshots: page.rows, next: page.next };
    Ok(answer::json(&headers, &body))
}

/// Topics and patterns, separated by commas, which neither can hold.
fn topics(text: &str, most: usize) -> Result<Vec<String>, ErrorBody> {
    if text.trim().is_empty() {
        let message = "`topics` names nothing: topics or patterns, separated by commas";
        return Err(ErrorBody::new(ErrorCode::BadRequest, message));
    }
    let named = text.split(',').count();
    if named > most {
        let message = format!("{named} topics are named, at most {most} may be");
        return Err(ErrorBody::new(ErrorCode::TooManyTopics, message));
    }
    Ok(text.split(',').map(|topic| topic.trim().to_owned()).collect())
}
