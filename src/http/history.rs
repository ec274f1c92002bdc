//! `/v1/history/{topic}`: values of the past, as far as they are kept.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{App, Problem, answer, params::Params};
use crate::{
    delivery::Span,
    market::Epoch,
    protocol::{
        code::{ErrorBody, ErrorCode},
        event::UpdateMessage,
    },
    units::{Micros, now_us},
};

/// What may be asked: numbers or times, not both.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// First sequence number.
    from_seq: Option<u64>,
    /// Last sequence number.
    to_seq: Option<u64>,
    /// Earliest `rx`, µs.
    from_time: Option<Micros>,
    /// Latest `rx`, µs.
    to_time: Option<Micros>,
    /// How many at most: 1 to 1000, else 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HistoryBody")]
pub(super) struct Body {
    /// The numbering.
    epoch: Epoch,
    /// The oldest sequence number that is kept.
    oldest: u64,
    /// In order.
    #[schemars(with = "Vec<UpdateMessage>")]
    updates: Vec<Box<RawValue>>,
    /// The `cursor` of the next page; null at the end.
    next: Option<String>,
}

/// `GET /v1/history/{topic}?from_seq=&to_seq=|from_time=&to_time=&limit=&cursor=`.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Path(topic): Path<String>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let span = span(&asked)?;
    let (limit, cursor) = (asked.limit, asked.cursor.as_deref());
    let past = app.context.reader.past(&topic, span, limit, cursor, now_us())?;
    let body =
        Body { epoch: past.epoch, oldest: past.oldest, updates: past.updates, next: past.next };
    Ok(answer::json(&headers, &body))
}

fn span(asked: &Asked) -> Result<Span, ErrorBody> {
    let numbers = (asked.from_seq, asked.to_seq);
    let times = (asked.from_time, asked.to_time);
    match (numbers, times) {
        ((None, None), (None, None)) => Ok(Span::Kept),
        ((from, to), (None, None)) => Ok(Span::Numbers { from, to }),
        ((None, None), (from, to)) => Ok(Span::Times { from, to }),
        _ => {
            let message = "a span is one of numbers (`from_seq`, `to_seq`) or one of times \
                           (`from_time`, `to_time`)";
            Err(ErrorBody::new(ErrorCode::BadRequest, message))
        }
    }
}
