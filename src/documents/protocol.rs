//! The JSON Schema of the protocol: every message and every request, each under a name of its own.

use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use super::read;
use crate::{
    protocol::{
        self,
        code::ErrorBody,
        command::{self, Method},
        event::{self, RequestId},
    },
    session::wire,
};

/// Names of the schemas, beside those of the types.
const REQUEST: &str = "Request";
const SERVER_MESSAGE: &str = "ServerMessage";
const REPLY: &str = "Reply";
const FAILURE: &str = "Failure";

pub(super) fn document() -> Value {
    let schemas = schemas("/$defs");
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:tickwire:protocol:{}", protocol::NAME),
        "title": format!("Messages of {}", protocol::NAME),
        "description": "A client sends a `Request`; the server sends a `ServerMessage`. Clients \
                        must ignore members and types of messages that they do not know.",
        "anyOf": [reference("/$defs", REQUEST), reference("/$defs", SERVER_MESSAGE)],
        "$defs": schemas,
    })
}

/// Every schema of the protocol by its name; they refer to one another below `path`.
pub(super) fn schemas(path: &'static str) -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = path.into();
        settings.meta_schema = None;
        settings.contract = Contract::Serialize;
    });
    let mut shapes = settings.into_generator();
    let mut all = Map::new();
    let mut messages = Vec::new();
    for (name, shape) in event::messages() {
        let name = message(name);
        all.insert(name.clone(), shape(&mut shapes).to_value());
        messages.push(reference(path, &name));
    }
    let id = shapes.subschema_for::<RequestId>().to_value();
    for method in Method::ALL {
        let Some(result) = wire::result(method, &mut shapes) else { continue };
        let name = reply(method);
        let schema = json!({
            "description": format!("The answer to `{}`.", method.as_str()),
            "type": "object",
            "properties": {"id": id, "result": result},
            "required": ["id", "result"],
        });
        all.insert(name.clone(), schema);
        messages.push(reference(path, &name));
    }
    let error = shapes.subschema_for::<ErrorBody>();
    let failure = json!({
        "description": "The answer to a request that failed as a whole.",
        "type": "object",
        "properties": {"id": id, "error": error},
        "required": ["id", "error"],
    });
    all.insert(FAILURE.to_owned(), failure);
    messages.push(reference(path, FAILURE));
    let mut requests = Vec::new();
    for method in Method::ALL {
        let name = request(method);
        all.insert(name.clone(), request_schema(method));
        requests.push(reference(path, &name));
    }
    all.insert(REQUEST.to_owned(), json!({"oneOf": requests}));
    all.insert(SERVER_MESSAGE.to_owned(), json!({"anyOf": messages}));
    all.extend(shapes.take_definitions(true));
    all
}

fn request_schema(method: Method) -> Value {
    let mut shapes = read();
    let mut properties = Map::new();
    let id = json!({
        "description": "Echoed in the answer.",
        "anyOf": [{"type": "integer", "format": "int64"}, {"type": "string", "maxLength": 64},
            {"type": "null"}],
    });
    properties.insert("id".to_owned(), id);
    properties.insert("method".to_owned(), json!({"const": method.as_str()}));
    properties.insert("jsonrpc".to_owned(), json!({"type": "string"}));
    let mut required = vec!["method"];
    let nothing = json!({"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 0}]});
    let params = match command::params(method, &mut shapes) {
        None => nothing,
        Some((shape, true)) => {
            required.push("params");
            shape.to_value()
        }
        Some((shape, false)) => json!({"anyOf": [shape, {"type": "null"}]}),
    };
    properties.insert("params".to_owned(), params);
    json!({
        "description": format!("Asks for `{}`.", method.as_str()),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

pub(super) fn reference(path: &str, name: &str) -> Value {
    json!({"$ref": format!("#{path}/{name}")})
}

/// The name of the schema of a message from the server.
pub(super) fn message(name: &str) -> String {
    format!("Message.{name}")
}

/// The name of the schema of a request.
pub(super) fn request(method: Method) -> String {
    format!("{REQUEST}.{}", method.as_str())
}

/// The name of the schema of an answer.
pub(super) fn reply(method: Method) -> String {
    format!("{REPLY}.{}", method.as_str())
}

/// The name of the schema of the answer to a request that failed.
pub(super) fn failure() -> &'static str {
    FAILURE
}
