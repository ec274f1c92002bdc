//! Messages from the server: their shapes, and how they become JSON.
//!
//! The two that carry data are written by hand, since they are written for every update; topic and
//! source names are tokens of `[A-Za-z0-9_.-]` and need no escaping. The others are plain structs.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;

use super::code::{ErrorBody, GapReason};
use crate::{
    market::{Data, Reason, State, Update, Value},
    units::Micros,
};

/// The first message on every connection.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename = "welcome")]
#[schemars(transform = of_type("welcome"))]
pub struct Welcome<'a> {
    /// `tickwire.v1`.
    pub protocol: &'static str,
    /// Name and version of the server.
    pub server: &'static str,
    /// Names the connection in logs.
    pub connection_id: &'a str,
    /// The numbering in which sequence numbers count now.
    pub epoch: &'a str,
    /// The server's clock, µs.
    pub time: Micros,
    /// A heartbeat comes when nothing else was sent for this long.
    pub heartbeat_ms: u64,
    /// What the client may do.
    pub limits: WelcomeLimits,
    /// Who the client is taken for.
    pub principal: &'a str,
}

/// What a client may do.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct WelcomeLimits {
    /// Subscriptions of the session.
    pub max_topics: usize,
    /// Topics in one request.
    pub max_topics_per_request: usize,
    /// Largest message that it may send.
    pub max_message_bytes: usize,
    /// Requests a second; twice as many at once.
    pub requests_per_s: u32,
}

/// Sequence numbers that will not come.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "type", rename = "gap")]
#[schemars(transform = of_type("gap"))]
pub struct Gap<'a> {
    /// Whose.
    pub topic: &'a str,
    /// First that is missing.
    pub from: u64,
    /// Last that is missing.
    pub to: u64,
    /// How many of them were lost; the others were delivered, filtered or conflated.
    pub dropped: u64,
    /// Why.
    pub reason: GapReason,
}

/// A topic's freshness has changed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "type", rename = "status")]
#[schemars(transform = of_type("status"))]
pub struct Status<'a> {
    /// Whose.
    pub topic: &'a str,
    /// The state now.
    pub state: State,
    /// Age of the last confirmation; null before the first.
    pub age_ms: Option<u64>,
    /// The feed that confirmed last, or should have.
    pub source: Option<&'a str>,
    /// Why it is not live; absent when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When it will be tried again, µs; absent when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Micros>,
}

/// Sent when nothing else was for a while.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename = "heartbeat")]
#[schemars(transform = of_type("heartbeat"))]
pub struct Heartbeat {
    /// The server's clock, µs.
    pub time: Micros,
}

/// Something that the client should know and that answers no request.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename = "notice")]
#[schemars(transform = of_type("notice"))]
pub struct Notice<'a> {
    /// Which.
    pub code: &'a str,
    /// For a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// The topic or pattern that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<&'a str>,
    /// With `draining`: how long to wait before reconnecting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect_after_ms: Option<u64>,
}

/// The answer to a request.
#[derive(Debug, Serialize)]
pub struct Reply<'a, T: Serialize> {
    /// The request's own id; null when it could not be read.
    pub id: &'a RequestId,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<T>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a ErrorBody>,
}

/// The id of a request, echoed in its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RequestId {
    /// An integer.
    Int(i64),
    /// A string of at most 64 bytes.
    Text(String),
    /// The request could not be read.
    Unknown,
}

/// What [`update`] writes, as a shape: the writer is made by hand, and a test holds the two together.
#[derive(JsonSchema)]
#[schemars(rename = "update", transform = of_type("update"))]
pub struct UpdateMessage {
    /// Whose.
    pub topic: String,
    /// Counts 1, 2, 3… per topic and epoch.
    pub seq: u64,
    /// The upstream's own time, µs; null where it gives none.
    pub ts: Option<Micros>,
    /// When it was received here, µs.
    pub rx: Micros,
    /// The feed whose digits these are.
    pub source: String,
    /// The values by name; one that the source does not have is absent.
    pub data: BTreeMap<String, FieldShape>,
}

/// What [`snapshot`] writes: an update with its epoch and the topic's state.
#[derive(JsonSchema)]
#[schemars(rename = "snapshot", transform = of_type("snapshot"))]
pub struct SnapshotMessage {
    /// Whose.
    pub topic: String,
    /// The numbering of `seq`.
    pub epoch: String,
    /// Counts 1, 2, 3… per topic and epoch.
    pub seq: u64,
    /// The topic's freshness.
    pub state: State,
    /// The upstream's own time, µs; null where it gives none.
    pub ts: Option<Micros>,
    /// When it was received here, µs.
    pub rx: Micros,
    /// The feed whose digits these are.
    pub source: String,
    /// The values by name; one that the source does not have is absent.
    pub data: BTreeMap<String, FieldShape>,
}

/// One value of `data`. A quantity is a string with the upstream's own digits.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "Value")]
pub enum FieldShape {
    /// A quantity as decimal digits, or a text.
    Text(String),
    /// A count, height or time.
    Int(i64),
    /// A yes or no.
    Bool(bool),
}

/// Adds the member that tells the type of a message.
fn of_type(name: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        let schema = schema.ensure_object();
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("type".to_owned(), json!({"const": name}));
        }
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.insert(0, "type".into());
        }
    }
}

/// Writes the schema of a type.
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The types of messages that answer no request, with their shapes.
pub fn messages() -> [(&'static str, Shape); 7] {
    [
        ("welcome", |shapes| shapes.subschema_for::<Welcome<'_>>()),
        ("snapshot", |shapes| shapes.subschema_for::<SnapshotMessage>()),
        ("update", |shapes| shapes.subschema_for::<UpdateMessage>()),
        ("gap", |shapes| shapes.subschema_for::<Gap<'_>>()),
        ("status", |shapes| shapes.subschema_for::<Status<'_>>()),
        ("heartbeat", |shapes| shapes.subschema_for::<Heartbeat>()),
        ("notice", |shapes| shapes.subschema_for::<Notice<'_>>()),
    ]
}

/// Writes the head of an `update` message, up to its sequence number.
pub fn update_head(topic: &str) -> Vec<u8> {
    format!(r#"{{"type":"update","topic":"{topic}","seq":"#).into_bytes()
}

/// Writes what follows the sequence number, up to the `data` object.
pub fn update_tail(out: &mut Vec<u8>, ts: Option<Micros>, rx: Micros, source: &str) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(br#","ts":"#);
    out.extend_from_slice(ts.map_or("null", |ts| digits.format(ts)).as_bytes());
    out.extend_from_slice(br#","rx":"#);
    out.extend_from_slice(digits.format(rx).as_bytes());
    out.extend_from_slice(br#","source":""#);
    out.extend_from_slice(source.as_bytes());
    out.extend_from_slice(br#"","data":"#);
}

/// Writes an `update` message.
pub fn update(out: &mut Vec<u8>, update: &Update) {
    out.extend_from_slice(&update_head(update.topic.as_str()));
    out.extend_from_slice(itoa::Buffer::new().format(update.seq).as_bytes());
    update_tail(out, update.ts, update.rx, &update.source);
    out.extend_from_slice(&update.data);
    out.push(b'}');
}

/// Writes a `snapshot` message: an update with its epoch and the topic's state.
pub fn snapshot(out: &mut Vec<u8>, update: &Update, state: State) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(br#"{"type":"snapshot","topic":""#);
    out.extend_from_slice(update.topic.as_str().as_bytes());
    out.extend_from_slice(br#"","epoch":""#);
    out.extend_from_slice(update.epoch.as_bytes());
    out.extend_from_slice(br#"","seq":"#);
    out.extend_from_slice(digits.format(update.seq).as_bytes());
    out.extend_from_slice(br#","state":""#);
    out.extend_from_slice(state.as_str().as_bytes());
    out.push(b'"');
    update_tail(out, update.ts, update.rx, &update.source);
    out.extend_from_slice(&update.data);
    out.push(b'}');
}

/// Writes a `data` object: decimals as strings, integers as integers.
pub fn data(out: &mut Vec<u8>, data: &Data) {
    out.push(b'{');
    for (index, (name, value)) in data.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(out, name);
        out.push(b':');
        match value {
            Value::Decimal(decimal) => {
                out.push(b'"');
                out.extend_from_slice(decimal.as_str().as_bytes());
                out.push(b'"');
            }
            Value::Int(int) => out.extend_from_slice(itoa::Buffer::new().format(*int).as_bytes()),
            Value::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
            Value::Text(value) => text(out, value),
        }
    }
    out.push(b'}');
}

/// Writes a JSON string, escaped only where something needs it.
fn text(out: &mut Vec<u8>, value: &str) {
    // No byte ends the search, so that the compiler looks at many at once.
    let plain = value
        .bytes()
        .fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
    if plain {
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    } else {
        json(out, value);
    }
}

/// Writes any other message.
pub fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, message: &T) {
    let start = out.len();
    if let Err(error) = serde_json::to_writer(&mut *out, message) {
        // Our own structs have no maps with keys that are not strings: this cannot happen, and if
        // it did, half a message must not be sent.
        tracing::error!(%error, "a message could not be encoded");
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value as Json;

    use super::*;
    use crate::market::{Decimal, Topic};

    fn parsed(write: impl FnOnce(&mut Vec<u8>)) -> Json {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    fn sample() -> Update {
        Update {
            topic: Topic::parse("price.BTC-USD").unwrap(),
            epoch: Arc::from("k3f9"),
            seq: 57,
            ts: None,
            rx: 1_790_000_000_150_123,
            source: Arc::from("coinbase"),
            data: bytes::Bytes::from_static(br#"{"price":"68900.50"}"#),
        }
    }

    #[test]
    fn a_snapshot_is_an_update_with_epoch_and_state() {
        let common = json!({"topic":"price.BTC-USD","seq":57,"ts":null,"rx":1_790_000_000_150_123_i64,
            "source":"coinbase","data":{"price":"68900.50"}});
        let mut expected = common.clone();
        expected["type"] = json!("update");
        assert_eq!(parsed(|out| update(out, &sample())), expected);
        expected["type"] = json!("snapshot");
        expected["epoch"] = json!("k3f9");
        expected["state"] = json!("live");
        assert_eq!(parsed(|out| snapshot(out, &sample(), State::Live)), expected);
    }

    #[test]
    fn data_keeps_order_digits_and_escapes_text() {
        let fields = Data::new()
            .with("price", Decimal::parse("1.50").unwrap())
            .with("sources", 3)
            .with("closed", true)
            .with("label", "say \"hi\"\n");
        let mut out = Vec::new();
        data(&mut out, &fields);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"price":"1.50","sources":3,"closed":true,"label":"say \"hi\"\n"}"#
        );
    }

    #[test]
    fn a_reply_echoes_its_id() {
        let error = ErrorBody::new(super::super::code::ErrorCode::BadJson, "not JSON");
        let reply = Reply::<()> { id: &RequestId::Unknown, result: None, error: Some(&error) };
        assert_eq!(
            parsed(|out| json(out, &reply)),
            json!({"id":null,"error":{"code":"bad_json","message":"not JSON","retryable":false}})
        );
    }
}
