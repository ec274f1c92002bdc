//! What describes the server to programs: an OpenAPI document of the routes, an AsyncAPI document of
//! the WebSocket, JSON Schemas of the protocol and of the configuration, and a page for people that
//! shows them. Pure. All of it is made from the types that read and write what is described, and
//! from the table that the router is built from.

mod asyncapi;
pub mod examples;
mod openapi;
mod protocol;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use schemars::{
    SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Value, json};

use crate::{config::Config, http::File};

/// Where the schemas of a document that is no schema itself are.
const COMPONENTS: &str = "/components/schemas";
/// The licence, as it stands in Cargo.toml.
const LICENSE: &str = env!("CARGO_PKG_LICENSE");

/// One of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// OpenAPI 3.1: every route.
    OpenApi,
    /// AsyncAPI 3.0: the WebSocket.
    AsyncApi,
    /// JSON Schema of the configuration.
    Config,
    /// JSON Schema of every message and request.
    Protocol,
}

impl Document {
    /// The document.
    pub fn value(self) -> Value {
        match self {
            Self::OpenApi => openapi::document(),
            Self::AsyncApi => asyncapi::document(),
            Self::Config => configuration(),
            Self::Protocol => protocol::document(),
        }
    }

    /// The document as text, with a line break at its end.
    pub fn text(self) -> String {
        format!("{:#}\n", self.value())
    }
}

/// What is served of them.
pub fn files() -> Vec<File> {
    fn written(document: Document) -> Bytes {
        document.text().into()
    }
    let json = "application/json";
    let schema = "application/schema+json";
    vec![
        File { path: "/openapi.json", content_type: json, make: || written(Document::OpenApi) },
        File { path: "/asyncapi.json", content_type: json, make: || written(Document::AsyncApi) },
        File {
            path: "/schemas/protocol.json",
            content_type: schema,
            make: || written(Document::Protocol),
        },
        File {
            path: "/schemas/config.json",
            content_type: schema,
            make: || written(Document::Config),
        },
        File {
            path: "/docs",
            content_type: "text/html; charset=utf-8",
            make: || Bytes::from_static(include_bytes!("page/docs.html")),
        },
        File {
            path: "/docs.js",
            content_type: "text/javascript; charset=utf-8",
            make: || Bytes::from_static(include_bytes!("page/docs.js")),
        },
        File {
            path: "/docs.css",
            content_type: "text/css; charset=utf-8",
            make: || Bytes::from_static(include_bytes!("page/docs.css")),
        },
    ]
}

fn configuration() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), "Configuration of Tickwire".into());
        schema.insert("$id".to_owned(), "urn:tickwire:config".into());
    }
    schema
}

/// Collects the shapes of what is written, in the components of a document.
fn written() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = COMPONENTS.into();
        settings.meta_schema = None;
        settings.contract = Contract::Serialize;
    });
    settings.into_generator()
}

/// Makes shapes of what is read. They are written out where they stand: a type that is read more
/// strictly than it is written would otherwise have two shapes under one name.
fn read() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
        settings.contract = Contract::Deserialize;
    });
    settings.into_generator()
}

fn info(title: &str, version: &str, description: &str) -> Value {
    json!({
        "title": title,
        "version": version,
        "description": description,
        "license": {"name": LICENSE},
    })
}
