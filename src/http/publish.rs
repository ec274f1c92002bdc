//! `POST /v1/publish`: values that clients bring, for feeds with `provider = "push"`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{App, Problem};
use crate::{
    hub::{Receipt, Refusal, Rejection, Submission, Taken},
    market::Epoch,
    protocol::{
        code::{ErrorBody, ErrorCode},
        event,
    },
    shutdown::Stage,
    units::Micros,
};

/// The most bytes of a request.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// The most values of a request.
const ITEMS_MAX: usize = 1_000;

/// How the values stand in a body.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Lines,
}

/// One value as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PublishedValue")]
pub(super) struct Item<'a> {
    /// Where it is published.
    topic: String,
    /// The values by name: decimals as strings or numbers with their own digits.
    #[serde(borrow)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    data: &'a RawValue,
    /// Its own time, µs.
    #[serde(default)]
    ts: Option<Micros>,
    /// The publisher's own number: one that is not above the last of its topic is a duplicate.
    #[serde(default)]
    seq: Option<u64>,
}

/// `{"items":[…]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Items<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

/// The answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PublishBody")]
pub(super) struct Body {
    /// In the order of the values.
    results: Vec<Told>,
}

/// What became of one value.
#[derive(Serialize, Default, JsonSchema)]
#[schemars(rename = "PublishResult")]
struct Told {
    /// As it was written; none where it could not be read.
    topic: Option<String>,
    /// Whether it was taken.
    ok: bool,
    /// The numbering.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    /// Its sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// It was published before.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

/// `POST /v1/publish`.
pub(super) async fn take(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let intake = app.context.intake.clone();
    // Before anything of a stranger's request is read.
    let key = bearer(request.headers()).filter(|key| intake.knows(key)).ok_or_else(wrong_key)?;
    let form = form(request.headers())?;
    let body = read(request).await?;
    if app.context.shutdown.stage() != Stage::Running {
        let detail = "the server is about to stop: publish to another, or again in a moment";
        return Err(ErrorBody::new(ErrorCode::Draining, detail).into());
    }
    let read: Vec<Result<Submission, ErrorBody>> = match form {
        Form::Json => json(&body)?,
        Form::Lines => lines(&body)?,
    };
    if read.is_empty() {
        let detail = "there is no value in the body";
        return Err(ErrorBody::new(ErrorCode::BadRequest, detail).into());
    }
    let good: Vec<Submission> = read.iter().filter_map(|item| item.clone().ok()).collect();
    let receipts = intake.publish(&key, &good).map_err(|refusal| match refusal {
        Refusal::WrongKey => wrong_key(),
        Refusal::TooFast(wait) => {
            let detail = "more values a second than `rate` of this feed; none was published";
            Problem::from(ErrorBody::new(ErrorCode::RateLimited, detail)).retry_after(wait)
        }
    })?;
    let mut receipts = receipts.into_iter();
    let results = read.into_iter().map(|item| match item {
        Ok(item) => told(item.topic, receipts.next()),
        Err(error) => Told { error: Some(error), ..Told::default() },
    });
    let mut json = Vec::with_capacity(1024);
    event::json(&mut json, &Body { results: results.collect() });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::OK, headers, json).into_response())
}

fn wrong_key() -> Problem {
    let detail = "send the key of a push feed, as in Authorization: Bearer KEY";
    ErrorBody::new(ErrorCode::Unauthorized, detail).into()
}

/// The key of `Authorization: Bearer …`, which comes once.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
}

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let unsupported = |detail: &str| {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::BadRequest, detail)
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported("a compressed body is not read"));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    match kind.trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Form::Json),
        "application/x-ndjson" => Ok(Form::Lines),
        _ => Err(unsupported("send application/json, or application/x-ndjson")),
    }
}

/// The whole body. Its bound is that of a layer around the route.
async fn read(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large(&format!("a body has at most {BODY_BYTES_MAX} bytes"))
        } else {
            ErrorBody::new(ErrorCode::BadRequest, "the body did not arrive whole").into()
        }
    })
}

fn too_large(detail: &str) -> Problem {
    ErrorBody::new(ErrorCode::MessageTooLarge, detail).into()
}

/// One object, an array of them, or `{"items":[…]}`.
fn json(body: &[u8]) -> Result<Vec<Result<Submission, ErrorBody>>, Problem> {
    let bad = || Problem::from(ErrorBody::new(ErrorCode::BadJson, "the body is not JSON"));
    let whole: &RawValue = serde_json::from_slice(body).map_err(|_| bad())?;
    let items: Vec<&RawValue> = match whole.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(whole.get()).map_err(|_| bad())?,
        _ => match serde_json::from_str::<Items<'_>>(whole.get()) {
            Ok(Items { items }) => items,
            Err(_) => vec![whole],
        },
    };
    bounded(items.len())?;
    Ok(items.into_iter().map(|raw| item(raw.get())).collect())
}

/// One object on each line that is not empty.
fn lines(body: &[u8]) -> Result<Vec<Result<Submission, ErrorBody>>, Problem> {
    let lines: Vec<&[u8]> =
        body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    bounded(lines.len())?;
    let bad = || ErrorBody::new(ErrorCode::BadJson, "this line is not JSON");
    let line = |line: &[u8]| match serde_json::from_slice::<&RawValue>(line) {
        Ok(raw) => item(raw.get()),
        Err(_) => Err(bad()),
    };
    Ok(lines.into_iter().map(line).collect())
}

fn bounded(items: usize) -> Result<(), Problem> {
    if items > ITEMS_MAX {
        return Err(too_large(&format!("a request has at most {ITEMS_MAX} values")));
    }
    Ok(())
}

fn item(json: &str) -> Result<Submission, ErrorBody> {
    let bad = |detail: &str| ErrorBody::new(ErrorCode::BadRequest, detail);
    if !json.starts_with('{') {
        return Err(bad("a value is an object with topic and data"));
    }
    let item: Item<'_> = serde_json::from_str(json).map_err(|_| {
        bad("a value is {\"topic\":text,\"data\":object}, with \"ts\" (µs or null) and \"seq\" (a \
             whole number) if there are any, and nothing else")
    })?;
    let Item { topic, data, ts, seq } = item;
    Ok(Submission { topic, data: data.get().to_owned(), ts, seq })
}

fn told(topic: String, receipt: Option<Receipt>) -> Told {
    let told = Told { topic: Some(topic), ..Told::default() };
    match receipt {
        Some(Ok(Taken::Issued { epoch, seq })) => {
            Told { ok: true, epoch: Some(epoch), seq: Some(seq), ..told }
        }
        Some(Ok(Taken::Duplicate)) => Told { ok: true, duplicate: Some(true), ..told },
        Some(Err(rejection)) => Told { error: Some(error(rejection)), ..told },
        None => Told { error: Some(ErrorBody::new(ErrorCode::Internal, "no answer")), ..told },
    }
}

fn error(rejection: Rejection) -> ErrorBody {
    let (code, message) = match rejection {
        Rejection::Topic(message) => (ErrorCode::BadTopic, message),
        Rejection::Forbidden(message) => (ErrorCode::Forbidden, message),
        Rejection::Data(message) => (ErrorCode::BadRequest, message),
        Rejection::TooManyTopics(message) => (ErrorCode::TooManyTopics, message),
    };
    ErrorBody::new(code, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_value_an_array_and_a_list_of_items_are_read_alike() {
        let one = r#"{"topic":"a.b","data":{"v":1.50},"ts":null,"seq":3}"#;
        let read = |body: String| json(body.as_bytes()).unwrap();
        let expected = Submission {
            topic: "a.b".to_owned(),
            data: r#"{"v":1.50}"#.to_owned(),
            ts: None,
            seq: Some(3),
        };
        for body in [one.to_owned(), format!(" [{one}]"), format!("{{\"items\":[{one}]}}")] {
            assert_eq!(read(body), [Ok(expected.clone())]);
        }
    }

    proptest! {
        #[test]
        fn no_body_breaks_the_reading(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _read = (json(&body), lines(&body));
        }

        #[test]
        fn each_line_has_its_result(
            rows in prop::collection::vec("[ -~]{0,30}", 0..20)
        ) {
            let filled = rows.iter().filter(|row| !row.trim().is_empty()).count();
            prop_assert_eq!(lines(rows.join("\n").as_bytes()).unwrap().len(), filled);
        }
    }
}
