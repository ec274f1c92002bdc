//! The AsyncAPI document: what is said over the WebSocket.

use serde_json::{Map, Value, json};

use super::{COMPONENTS, examples, info, protocol};
use crate::protocol::{
    self as wire,
    code::{Close, ErrorCode},
    command::Method,
    encoding::Encoding,
};

const ABOUT: &str = "One live stream of prices, signals and on-chain metrics. A client sends requests \
    and gets one answer to each, by its `id`; everything else comes by itself and has a `type`. \
    Clients must ignore members and types that they do not know. Under the subprotocol that ends in \
    msgpack the same objects are MessagePack in binary frames.";
const CHANNEL: &str = "session";

pub(super) fn document() -> Value {
    let mut messages = Map::new();
    for (name, example) in examples::messages() {
        messages.insert(name.to_owned(), message(name, &protocol::message(name), Some(example)));
    }
    messages.insert(
        "failure".to_owned(),
        message("failure", protocol::failure(), Some(examples::failure())),
    );
    let mut operations = Map::new();
    let received: Vec<Value> = messages.keys().map(|name| in_channel(name)).collect();
    operations.insert(
        "receive".to_owned(),
        json!({
            "action": "send",
            "channel": {"$ref": format!("#/channels/{CHANNEL}")},
            "summary": "What the server says by itself, and failures",
            "messages": received,
        }),
    );
    for method in Method::ALL {
        let name = method.as_str();
        let asked = message(name, &protocol::request(method), Some(examples::request(method)));
        messages.insert(request_name(method), asked);
        let mut operation = json!({
            "action": "receive",
            "channel": {"$ref": format!("#/channels/{CHANNEL}")},
            "summary": format!("`{name}`"),
            "messages": [in_channel(&request_name(method))],
        });
        if has_reply(method) {
            messages.insert(reply_name(method), message(name, &protocol::reply(method), None));
            let reply = json!({
                "channel": {"$ref": format!("#/channels/{CHANNEL}")},
                "messages": [in_channel(&reply_name(method)), in_channel("failure")],
            });
            if let Some(operation) = operation.as_object_mut() {
                operation.insert("reply".to_owned(), reply);
            }
        }
        operations.insert(name.to_owned(), operation);
    }
    let in_use = messages.keys().map(|name| {
        let reference = json!({"$ref": format!("#/components/messages/{name}")});
        (name.clone(), reference)
    });
    let in_use: Map<String, Value> = in_use.collect();
    json!({
        "asyncapi": "3.0.0",
        "info": info("Tickwire WebSocket", wire::NAME, ABOUT),
        "defaultContentType": "application/json",
        "servers": {"here": {"host": "127.0.0.1:8080", "protocol": "ws",
            "description": "Where the built-in configuration listens"}},
        "channels": {CHANNEL: {
            "address": "/v1/ws",
            "description": ABOUT,
            "messages": in_use,
            "bindings": {"ws": {"bindingVersion": "0.1.0", "method": "GET", "headers": {
                "type": "object",
                "properties": {"Sec-WebSocket-Protocol": {"type": "string", "enum": Encoding::ALL.map(Encoding::subprotocol)}},
            }}},
            "x-errors": errors(),
            "x-closes": closes(),
        }},
        "operations": operations,
        "components": {"messages": messages, "schemas": protocol::schemas(COMPONENTS)},
    })
}

fn message(title: &str, schema: &str, example: Option<Value>) -> Value {
    let mut message = json!({
        "name": title,
        "title": title,
        "contentType": "application/json",
        "payload": protocol::reference(COMPONENTS, schema),
        "correlationId": {"location": "$message.payload#/id"},
    });
    if let Some(message) = message.as_object_mut() {
        if !schema.starts_with("Re") && schema != protocol::failure() {
            message.remove("correlationId");
        }
        if let Some(example) = example {
            message.insert("examples".to_owned(), json!([{"payload": example}]));
        }
    }
    message
}

fn in_channel(name: &str) -> Value {
    json!({"$ref": format!("#/channels/{CHANNEL}/messages/{name}")})
}

fn request_name(method: Method) -> String {
    format!("{}.request", method.as_str())
}

fn reply_name(method: Method) -> String {
    format!("{}.reply", method.as_str())
}

/// Until there are keys, every token is refused.
fn has_reply(method: Method) -> bool {
    method != Method::Auth
}

fn errors() -> Vec<Value> {
    let error = |code: ErrorCode| json!({"code": code.as_str(), "retryable": code.retryable()});
    ErrorCode::ALL.into_iter().map(error).collect()
}

fn closes() -> Vec<Value> {
    let close = |close: Close| {
        json!({"code": close.code(), "reason": close.reason(),
            "reconnect": close.code() < 3500})
    };
    Close::ALL.into_iter().map(close).collect()
}
