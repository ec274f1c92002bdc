//! `/v1/stream`: Server-Sent Events.
//!
//! Each message of the WebSocket protocol is an event of its type; `event: result` holds the rows
//! that answer `subscribe`. The options of `subscribe` are query parameters: `fields` is separated
//! by commas, `min_change` is its JSON object (`min_change={"field":"price","bps":10}`). Ids tell
//! how far a stream of up to 64 topics has come; `Last-Event-ID`, or the parameter `last_event_id`
//! where no header can be set, goes on from there.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    App, Conn, Hangup, Problem,
    params::{self, Params},
};
use crate::{
    protocol::{
        code::{ErrorBody, ErrorCode},
        params::{MinChange, Mode, Subscribe, Trigger},
    },
    session::sse::Opening,
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx not to hold events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What may be asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Topics and patterns, separated by commas.
    topics: String,
    /// Every update or the latest only.
    #[serde(default)]
    mode: Mode,
    /// Most updates a second and topic, with `latest`.
    max_rate: Option<f64>,
    /// A CEL expression over `topic`, `source`, `data`, `ts` and `rx`.
    filter: Option<String>,
    /// The fields of `data` that are sent, separated by commas.
    fields: Option<String>,
    /// The least move that is sent, as JSON: `{"field":"price","bps":10}`.
    min_change: Option<String>,
    /// Whether the filter lets through all that match or only the turn to matching.
    #[serde(default)]
    trigger: Trigger,
    /// Whether the last value is sent at first; else true.
    snapshot: Option<bool>,
    /// Whether changes of freshness are sent; else true.
    status: Option<bool>,
    /// As the header `Last-Event-ID`, where no header can be set.
    last_event_id: Option<String>,
}

/// `GET /v1/stream?topics=a,b&mode=&max_rate=&filter=&fields=&min_change=&trigger=&snapshot=&status=`.
pub(super) async fn open(
    State(app): State<Arc<App>>,
    Params(mut asked): Params<Asked>,
    request: Request,
) -> Result<Response, Problem> {
    let hangup = request.extensions().get::<Hangup>().cloned().unwrap_or_default();
    // A browser repeats the address as it was, so the header is the newer of two.
    let last_event_id = last_event_id(request.headers()).or_else(|| asked.last_event_id.take());
    let events = app.context.sessions.stream(Opening {
        asked: asked.subscribe(app.context.limits.topics_per_request)?,
        last_event_id: last_event_id.filter(|id| !id.is_empty()),
        peer: Conn::of(&request).peer.ip(),
        connection: hangup.0,
    })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(LAST_EVENT_ID)?;
    // One that is no text is no id of ours, and is to be answered as such.
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

impl Asked {
    /// The parameters of `subscribe`.
    fn subscribe(self, topics_max: usize) -> Result<Subscribe, ErrorBody> {
        Ok(Subscribe {
            topics: params::topics(&self.topics, topics_max)?,
            mode: self.mode,
            max_rate: self.max_rate,
            filter: self.filter,
            fields: self.fields.as_deref().map(fields).transpose()?,
            min_change: self.min_change.as_deref().map(min_change).transpose()?,
            trigger: self.trigger,
            snapshot: self.snapshot.unwrap_or(true),
            status: self.status.unwrap_or(true),
            resume: None,
        })
    }
}

fn fields(text: &str) -> Result<Vec<String>, ErrorBody> {
    let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        let message = "`fields` holds names of fields, separated by commas";
        return Err(ErrorBody::new(ErrorCode::BadRequest, message));
    }
    Ok(names)
}

fn min_change(json: &str) -> Result<MinChange, ErrorBody> {
    serde_json::from_str(json).map_err(|error| {
        let message = format!(
            "`min_change` is a JSON object such as {{\"field\":\"price\",\"bps\":10}}: {error}"
        );
        ErrorBody::new(ErrorCode::BadRequest, message)
    })
}
