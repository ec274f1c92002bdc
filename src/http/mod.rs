//! The HTTP side of the one port: reading the hub, health, metrics, the live page, and the doors to
//! the sessions: WebSocket and Server-Sent Events. Reading only, but for `/v1/publish`, which is
//! there while a push feed has a key.
//!
//! A handler answers with a value or a [`Problem`]; everything that all answers share (who may
//! ask, request ids, error bodies, compression) is a layer that [`router`] puts around them.

mod answer;
mod feeds;
mod guard;
mod health;
mod history;
mod metrics;
mod origin;
mod page;
mod params;
mod problem;
mod publish;
mod request_id;
mod routes;
mod snapshot;
mod stream;
mod symbols;
#[cfg(test)]
mod tests;
mod topics;
mod ws;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{from_fn, from_fn_with_state, map_response},
    response::Response,
    routing::post,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, predicate::SizeAbove},
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
};

pub use origin::Origins;
pub use page::File;
pub use problem::Problem;
pub use request_id::RequestId;
pub use routes::{
    Answer, Body, Group, PUBLISH, PUBLISHED, ROUTES, Route, Shape, problem as problem_shape,
};
pub use ws::WebSocketRoute;

use tokio_util::sync::CancellationToken;

use page::Files;
use routes::Around;

use crate::{
    access::Limits,
    delivery::Reader,
    hub::{FeedHealth, Intake},
    session::Sessions,
    shutdown::Shutdown,
    telemetry::Telemetry,
};

/// How long an answer may take. All of them come from memory: this only ends what hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Below this many bytes gzip saves nothing worth its time.
const COMPRESS_ABOVE: u64 = 1024;

/// What the routes are built over.
pub struct Context {
    /// Topics and last values.
    pub reader: Reader,
    /// How the feeds are.
    pub health: Arc<dyn FeedHealth>,
    /// Where clients publish.
    pub intake: Arc<dyn Intake>,
    /// Where errors are counted and what `/metrics` shows.
    pub telemetry: Telemetry,
    /// Whether the server is about to stop.
    pub shutdown: Shutdown,
    /// Who may ask, and under which names.
    pub origins: Origins,
    /// How much one request may name.
    pub limits: Limits,
    /// Where streams are opened.
    pub sessions: Arc<Sessions>,
    /// What takes over `GET /v1/ws`.
    pub websocket: Arc<dyn Upgrade>,
    /// Files that are the same for everybody, besides the live view.
    pub files: Vec<File>,
    /// Called before each scrape of `/metrics`, for gauges that move by themselves, such as ages.
    pub refresh: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// Answers a WebSocket handshake. Declared here so that the session need not know this module.
///
/// To refuse, answer with the status and put an [`ErrorBody`] into the response's extensions: it
/// becomes the problem document, with the request's id, and is counted.
///
/// [`ErrorBody`]: crate::protocol::code::ErrorBody
pub trait Upgrade: Send + Sync {
    /// The response to a handshake whose `Host` and `Origin` have been checked.
    fn upgrade(&self, request: Request) -> Response;
}

/// The two ends of a connection, an extension of each of its requests. Without one a request
/// counts as coming from this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conn {
    /// The client's end.
    pub peer: SocketAddr,
    /// The end on which it was accepted: a real address, also when the server listens on all.
    pub local: SocketAddr,
}

/// Ends the connection of a request when cancelled, and is cancelled when the connection has ended
/// by itself; an extension of each request. A response that has no end needs it: hyper does not ask
/// for more of a body while the client takes nothing, so the body cannot end the connection.
#[derive(Debug, Clone, Default)]
pub struct Hangup(pub CancellationToken);

/// The context, and what the routes keep between requests.
struct App {
    context: Context,
    errors: problem::Errors,
    files: Files,
    /// Whether every required feed has delivered at least once. Never turned back.
    delivered: AtomicBool,
}

impl Conn {
    /// The connection of `request`.
    pub fn of(request: &Request) -> Self {
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let conn = request.extensions().get().copied();
        conn.unwrap_or(Self { peer: unknown, local: unknown })
    }
}

impl App {
    fn delivered(&self, now: bool) -> bool {
        if now {
            self.delivered.store(true, Ordering::Relaxed);
        }
        now || self.delivered.load(Ordering::Relaxed)
    }
}

/// Every route, with all that surrounds them.
pub fn router(mut context: Context) -> Router {
    metrics::describe(&context.telemetry);
    let app = Arc::new(App {
        errors: problem::Errors::new(&context.telemetry),
        files: Files::new(std::mem::take(&mut context.files)),
        context,
        delivered: AtomicBool::new(false),
    });
    let mut routes = add(Router::new(), Around::Answer);
    if app.context.intake.is_open() {
        let limit = DefaultBodyLimit::max(publish::BODY_BYTES_MAX);
        routes = routes.route(routes::PUBLISH, post(publish::take).layer(limit));
    }
    surround(routes, app)
}

/// Adds those of [`ROUTES`] that have `around` around them.
fn add(router: Router<Arc<App>>, around: Around) -> Router<Arc<App>> {
    let routes = ROUTES.iter().filter(|route| route.around == around);
    routes.fold(router, |router, route| router.route(route.path, (route.serve)()))
}

/// Puts the layers around the routes. The last is outermost.
fn surround(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    let compression = CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_ABOVE));
    let hung = TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_WITHIN);
    let nosniff = SetResponseHeaderLayer::overriding(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let answers = routes.layer(compression).layer(map_response(answer::weaken_encoded)).layer(hung);
    // Added after the layers above, so that they do not touch them: a session has no end that could
    // be waited for, and what compresses would hold events back.
    add(answers, Around::Stream)
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(app.clone(), guard::admit))
        .layer(from_fn_with_state(app.clone(), problem::render))
        .layer(from_fn(request_id::assign))
        .layer(nosniff)
        .with_state(app)
}

async fn websocket(State(app): State<Arc<App>>, request: Request) -> Response {
    app.context.websocket.upgrade(request)
}
