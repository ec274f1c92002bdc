//! Every route, with what a client must know of it. The router is built from this table and the
//! OpenAPI document is written from it, so that neither can have what the other has not.

use std::sync::Arc;

use axum::routing::{MethodRouter, get};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    App, feeds, health, history, metrics, page, problem, publish, snapshot, stream, symbols,
    topics, websocket,
};

/// One route. All of them answer `GET` and `HEAD`.
pub struct Route {
    /// Its path, with `{name}` for what varies.
    pub path: &'static str,
    /// The group in which it is listed.
    pub group: Group,
    /// What it is for, in one sentence.
    pub summary: &'static str,
    /// What varies in the path: name and meaning.
    pub segments: &'static [(&'static str, &'static str)],
    /// The query parameters: an object with a property for each.
    pub query: Option<Shape>,
    /// What it answers, apart from problems.
    pub answers: &'static [Answer],
    pub(super) around: Around,
    pub(super) serve: fn() -> MethodRouter<Arc<App>>,
}

/// One kind of answer.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What it means.
    pub meaning: &'static str,
    /// What it carries.
    pub body: Body,
}

/// What an answer carries.
pub enum Body {
    /// Nothing.
    Empty,
    /// `application/json` of a shape.
    Json(Shape),
    /// Another media type.
    Other(&'static str),
}

/// Writes the schema of a type.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// Groups of routes, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What the topics hold.
    Data,
    /// The live stream.
    Stream,
    /// How the server is.
    Operation,
    /// What describes the server.
    Documents,
    /// The pages for people and their parts.
    Pages,
}

/// What stands around a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    /// Compression and a time limit.
    Answer,
    /// Neither: it has no end that could be waited for, and compresses on its own.
    Stream,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 5] =
        [Self::Data, Self::Stream, Self::Operation, Self::Documents, Self::Pages];

    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Stream => "stream",
            Self::Operation => "operation",
            Self::Documents => "documents",
            Self::Pages => "pages",
        }
    }

    /// What is in it.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Data => "What the topics hold",
            Self::Stream => "The live stream",
            Self::Operation => "How the server is",
            Self::Documents => "What describes the server",
            Self::Pages => "The pages for people, and their parts",
        }
    }
}

/// Where values are published: the one route that takes something, and that there is only where a
/// push feed has a key.
pub const PUBLISH: &str = "/v1/publish";

/// The shapes of a value that is published and of the answer.
pub const PUBLISHED: (Shape, Shape) = (of::<publish::Item<'_>>, of::<publish::Body>);

/// Every other route.
pub const ROUTES: &[Route] = &[
    Route {
        query: Some(of::<topics::Asked>),
        ..data("/v1/topics", "Which topics there are, page by page", TOPICS, || get(topics::list))
    },
    Route {
        query: Some(of::<snapshot::Asked>),
        ..data("/v1/snapshot", "Last values, in the order asked", SNAPSHOTS, || get(snapshot::read))
    },
    Route {
        segments: &[("topic", "One topic, by its name or an alias")],
        query: Some(of::<history::Asked>),
        ..data(
            "/v1/history/{topic}",
            "Values of the past, by sequence number or by time",
            HISTORY,
            || get(history::read),
        )
    },
    Route {
        query: Some(of::<symbols::Asked>),
        ..data("/v1/symbols", "The markets, their sources, spellings and fields", SYMBOLS, || {
            get(symbols::list)
        })
    },
    data("/v1/feeds", "How the upstreams are", FEEDS, || get(feeds::list)),
    Route {
        group: Group::Stream,
        around: Around::Stream,
        ..data("/v1/ws", "Opens a WebSocket; see the AsyncAPI document", UPGRADE, || get(websocket))
    },
    Route {
        group: Group::Stream,
        around: Around::Stream,
        query: Some(of::<stream::Asked>),
        ..data(
            "/v1/stream",
            "Server-Sent Events: the messages of the WebSocket, each an event of its type",
            EVENTS,
            || get(stream::open),
        )
    },
    operation("/healthz", "Whether the process answers", ALIVE, || get(health::alive)),
    operation("/readyz", "Whether it should be sent clients, and why not", READY, || {
        get(health::ready)
    }),
    operation("/metrics", "Metrics for Prometheus", METRICS, || get(metrics::scrape)),
    file("/openapi.json", Group::Documents, "This document", DOCUMENT),
    file("/asyncapi.json", Group::Documents, "The WebSocket as AsyncAPI 3", DOCUMENT),
    file("/schemas/protocol.json", Group::Documents, "JSON Schema of each message", SCHEMA),
    file("/schemas/config.json", Group::Documents, "JSON Schema of the configuration", SCHEMA),
    file("/docs", Group::Pages, "These documents for people", HTML),
    file("/docs.js", Group::Pages, "Part of /docs", SCRIPT),
    file("/docs.css", Group::Pages, "Part of /docs", STYLE),
    file("/", Group::Pages, "A live view of everything", HTML),
    file("/app.js", Group::Pages, "Part of the live view", SCRIPT),
    file("/style.css", Group::Pages, "Part of the pages", STYLE),
    file("/icon.svg", Group::Pages, "Part of the pages", IMAGE),
];

const TOPICS: &[Answer] = &[json("A page of topics", of::<topics::Body>), NOT_MODIFIED];
const SNAPSHOTS: &[Answer] = &[json("A page of values", of::<snapshot::Body>), NOT_MODIFIED];
const HISTORY: &[Answer] = &[json("A page of updates", of::<history::Body>), NOT_MODIFIED];
const SYMBOLS: &[Answer] = &[json("A page of markets", of::<symbols::Body>), NOT_MODIFIED];
const EVENTS: &[Answer] = &[other("text/event-stream")];
const FEEDS: &[Answer] = &[json("Each feed", of::<feeds::Body>), NOT_MODIFIED];
const ALIVE: &[Answer] = &[json("It does", of::<health::Alive>)];
const READY: &[Answer] = &[
    json("It should", of::<health::Readiness>),
    Answer { status: 503, ..json("It should not", of::<health::Readiness>) },
];
const UPGRADE: &[Answer] =
    &[Answer { status: 101, meaning: "The session begins", body: Body::Empty }];
const METRICS: &[Answer] = &[other(metrics::TEXT_FORMAT)];
const DOCUMENT: &[Answer] = &[other("application/json"), NOT_MODIFIED];
const SCHEMA: &[Answer] = &[other("application/schema+json"), NOT_MODIFIED];
const HTML: &[Answer] = &[other("text/html; charset=utf-8"), NOT_MODIFIED];
const SCRIPT: &[Answer] = &[other("text/javascript; charset=utf-8"), NOT_MODIFIED];
const STYLE: &[Answer] = &[other("text/css; charset=utf-8"), NOT_MODIFIED];
const IMAGE: &[Answer] = &[other("image/svg+xml"), NOT_MODIFIED];
const NOT_MODIFIED: Answer =
    Answer { status: 304, meaning: "The client has it: `If-None-Match`", body: Body::Empty };

/// The document of every error, `application/problem+json`.
pub fn problem(shapes: &mut SchemaGenerator) -> Schema {
    shapes.subschema_for::<problem::Document<'_>>()
}

const fn data(
    path: &'static str,
    summary: &'static str,
    answers: &'static [Answer],
    serve: fn() -> MethodRouter<Arc<App>>,
) -> Route {
    let (group, around) = (Group::Data, Around::Answer);
    Route { path, group, summary, segments: &[], query: None, answers, around, serve }
}

const fn operation(
    path: &'static str,
    summary: &'static str,
    answers: &'static [Answer],
    serve: fn() -> MethodRouter<Arc<App>>,
) -> Route {
    Route { group: Group::Operation, ..data(path, summary, answers, serve) }
}

const fn file(
    path: &'static str,
    group: Group,
    summary: &'static str,
    answers: &'static [Answer],
) -> Route {
    Route { group, ..data(path, summary, answers, || get(page::serve)) }
}

const fn json(meaning: &'static str, shape: Shape) -> Answer {
    Answer { status: 200, meaning, body: Body::Json(shape) }
}

const fn other(media_type: &'static str) -> Answer {
    Answer { status: 200, meaning: "It", body: Body::Other(media_type) }
}

fn of<T: JsonSchema>(shapes: &mut SchemaGenerator) -> Schema {
    shapes.subschema_for::<T>()
}
