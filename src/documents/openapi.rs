//! The OpenAPI document: what can be asked by HTTP.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{info, read, written};
use crate::http::{Answer, Body, Group, PUBLISH, PUBLISHED, ROUTES, Route, problem_shape};

const ABOUT: &str = "Reading what Tickwire holds: last values, the kept past, how the feeds are. \
    Every route answers GET and HEAD. Every error is a problem document (RFC 9457) whose `code` is \
    stable. Quantities are strings with the upstream's own digits; times are integer microseconds \
    since the Unix epoch unless the name ends in `_ms`. The WebSocket is described by /asyncapi.json.";

pub(super) fn document() -> Value {
    let mut shapes = written();
    let problem = problem_shape(&mut shapes).to_value();
    let mut paths = Map::new();
    for route in ROUTES {
        paths.insert(route.path.to_owned(), json!({"get": operation(route, &mut shapes)}));
    }
    paths.insert(PUBLISH.to_owned(), json!({"post": publishing(&mut shapes)}));
    let tags: Vec<Value> = Group::ALL
        .into_iter()
        .map(|group| json!({"name": group.name(), "description": group.summary()}))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": info("Tickwire", env!("CARGO_PKG_VERSION"), ABOUT),
        "servers": [{"url": "/", "description": "The server that serves this document"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": shapes.take_definitions(true),
            "responses": {"Problem": {
                "description": "It could not be answered; `code` says why",
                "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
                "content": {"application/problem+json": {"schema": problem}},
            }},
            "securitySchemes": {"publisher": {"type": "http", "scheme": "bearer",
                "description": "The `key` of a push feed"}},
            "headers": {
                "RequestId": {
                    "description": "By which the server's log knows the request",
                    "schema": {"type": "string"},
                },
                "ETag": {
                    "description": "Names these very bytes, for `If-None-Match`",
                    "schema": {"type": "string"},
                },
            },
        },
    })
}

fn publishing(shapes: &mut SchemaGenerator) -> Value {
    let (value, answer) = PUBLISHED;
    let value = value(&mut read()).to_value();
    let body = json!({"anyOf": [
        value,
        {"type": "array", "items": value},
        {"type": "object", "properties": {"items": {"type": "array", "items": value}},
            "required": ["items"], "additionalProperties": false},
    ]});
    json!({
        "operationId": "post_v1_publish",
        "tags": [Group::Data.name()],
        "summary": "Publishes values to a push feed; 404 where no push feed has a key",
        "security": [{"publisher": []}],
        "requestBody": {"required": true, "content": {
            "application/json": {"schema": body},
            "application/x-ndjson": {"schema": {"type": "string",
                "description": "A value in each line"}},
        }},
        "responses": {
            "200": {
                "description": "What became of each value",
                "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
                "content": {"application/json": {"schema": answer(shapes)}},
            },
            "default": {"$ref": "#/components/responses/Problem"},
        },
    })
}

fn operation(route: &Route, shapes: &mut SchemaGenerator) -> Value {
    let cached = route.answers.iter().any(|answer| answer.status == 304);
    let mut responses = Map::new();
    for answer in route.answers {
        let key = answer.status.to_string();
        responses.insert(key, response(answer, cached, shapes));
    }
    responses.insert("default".to_owned(), json!({"$ref": "#/components/responses/Problem"}));
    json!({
        "operationId": operation_id(route.path),
        "tags": [route.group.name()],
        "summary": route.summary,
        "parameters": parameters(route, cached),
        "responses": responses,
    })
}

fn response(answer: &Answer, cached: bool, shapes: &mut SchemaGenerator) -> Value {
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}});
    if let Some(headers) = headers.as_object_mut().filter(|_| cached) {
        headers.insert("ETag".to_owned(), json!({"$ref": "#/components/headers/ETag"}));
    }
    let mut response = json!({"description": answer.meaning, "headers": headers});
    let content = match &answer.body {
        Body::Empty => None,
        Body::Json(shape) => Some(json!({"application/json": {"schema": shape(shapes)}})),
        Body::Other(media_type) => {
            let any = json!({"schema": {"type": "string"}});
            Some(Value::Object(Map::from_iter([((*media_type).to_owned(), any)])))
        }
    };
    if let (Some(content), Some(response)) = (content, response.as_object_mut()) {
        response.insert("content".to_owned(), content);
    }
    response
}

fn parameters(route: &Route, cached: bool) -> Vec<Value> {
    let segments = route.segments.iter().map(|(name, meaning)| {
        json!({"name": name, "in": "path", "required": true, "description": meaning,
            "schema": {"type": "string"}})
    });
    let mut all: Vec<Value> = segments.collect();
    if let Some(query) = &route.query {
        all.extend(query_parameters(&query(&mut read()).to_value()));
    }
    if cached {
        all.push(json!({"name": "If-None-Match", "in": "header", "required": false,
            "description": "Tags of bodies that the client has",
            "schema": {"type": "string"}}));
    }
    all
}

/// Each property of an object as a parameter of its own.
fn query_parameters(object: &Value) -> Vec<Value> {
    let required = object.get("required").and_then(Value::as_array);
    let properties = object.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let required =
                required.is_some_and(|names| names.iter().any(|known| known == name.as_str()));
            let mut schema = schema.clone();
            let description =
                schema.as_object_mut().and_then(|schema| schema.remove("description"));
            // A parameter that is not there is absent: it cannot be null.
            strip_null(&mut schema);
            json!({"name": name, "in": "query", "required": required,
                "description": description, "schema": schema})
        })
        .collect()
}

fn strip_null(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|of| of != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = schema.get_mut("anyOf") {
        options.retain(|of| of.get("type").is_none_or(|of| of != "null"));
    }
}

/// `/v1/history/{topic}` → `get_v1_history_topic`.
fn operation_id(path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    ["get"].into_iter().chain(words).collect::<Vec<_>>().join("_")
}
