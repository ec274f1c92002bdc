//! Holds everything that goes over a socket in these tests against the documents of the server.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use serde_json::Value;
use tickwire::documents::Document;

/// A document, closed: what it does not name must not be there.
struct Closed {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

static PROTOCOL: LazyLock<Closed> = LazyLock::new(|| Closed::new(Document::Protocol));
static OPENAPI: LazyLock<Closed> = LazyLock::new(|| Closed::new(Document::OpenApi));

impl Closed {
    fn new(document: Document) -> Self {
        let mut document = document.value();
        close(&mut document);
        Self { document, validators: Mutex::default() }
    }

    /// Checks `value` against the schema at `pointer`.
    fn check(&self, pointer: &str, value: &Value) {
        let validator = {
            let mut validators = self.validators.lock().unwrap();
            let known = validators.entry(pointer.to_owned());
            known.or_insert_with(|| Arc::new(self.compile(pointer))).clone()
        };
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "not as documented at {pointer}: {errors:#?}\n{value:#}");
    }

    fn compile(&self, pointer: &str) -> Validator {
        let documented = self.document.pointer(pointer);
        let mut schema = documented.unwrap_or_else(|| panic!("{pointer} is no schema")).clone();
        let root = schema.as_object_mut().unwrap();
        for part in ["$defs", "components"] {
            root.extend(self.document.get(part).map(|value| (part.to_owned(), value.clone())));
        }
        jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{pointer}: {error}"))
    }
}

/// Clients must ignore members that they do not know; here they must not be.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("properties").is_some_and(Value::is_object) {
                object.entry("additionalProperties").or_insert(false.into());
            }
            object.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

/// Checks a message that came from the server.
pub fn message(message: &Value) {
    match message["type"].as_str() {
        Some(kind) => PROTOCOL.check(&format!("/$defs/Message.{kind}"), message),
        None if message.get("error").is_some() => PROTOCOL.check("/$defs/Failure", message),
        None => PROTOCOL.check("/$defs/ServerMessage", message),
    }
}

/// Checks a request that was answered with a result, and the answer.
pub fn answered(request: &Value, answer: &Value) {
    if answer.get("result").is_some() {
        let method = request["method"].as_str().unwrap();
        PROTOCOL.check(&format!("/$defs/Request.{method}"), request);
        PROTOCOL.check(&format!("/$defs/Reply.{method}"), answer);
    }
}

/// Checks an event of a stream.
pub fn event(kind: &str, data: &Value) {
    if kind == "result" {
        PROTOCOL.check("/$defs/RowsOfSubscribeRow", data);
    } else {
        assert_eq!(data["type"], kind);
        message(data);
    }
}

/// Checks an answer over HTTP to `GET` of `target`, where it is JSON.
pub fn response(target: &str, status: u16, media_type: &str, body: &str) {
    if media_type == "application/problem+json" {
        return OPENAPI.check("/components/schemas/Problem", &parsed(body));
    }
    let path = target.split('?').next().unwrap();
    let Some(path) = documented(path) else { panic!("{target} answers {status} undocumented") };
    let escaped = path.replace('~', "~0").replace('/', "~1");
    let answer = format!("/paths/{escaped}/get/responses/{status}");
    assert!(OPENAPI.document.pointer(&answer).is_some(), "{target} answers {status} undocumented");
    let media = media_type.replace('~', "~0").replace('/', "~1");
    let schema = format!("{answer}/content/{media}/schema");
    assert!(OPENAPI.document.pointer(&schema).is_some(), "{target} answers {media_type}");
    if media_type == "application/json" && status != 304 && !path.ends_with(".json") {
        OPENAPI.check(&schema, &parsed(body));
    }
}

/// The path in the document that means `path`.
fn documented(path: &str) -> Option<&'static str> {
    let paths = OPENAPI.document["paths"].as_object().unwrap();
    paths.keys().map(String::as_str).find(|known| {
        let (known, path): (Vec<_>, Vec<_>) =
            (known.split('/').collect(), path.split('/').collect());
        known.len() == path.len()
            && known.iter().zip(&path).all(|(known, part)| known == part || known.starts_with('{'))
    })
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}
