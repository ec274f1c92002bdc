use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::RawQuery,
    http::HeaderMap as Headers,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tower_http::compression::CompressionLayer;

mod connection;

use super::*;
use crate::{shutdown::Tasks, units::Secret};

/// Serves `router` and returns where.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Tasks::default().spawn("fake upstream", async move {
        axum::serve(listener, router).await.unwrap();
    });
    address
}

/// Answers each connection with what `talk` does on it, once the request's head has been read,
/// and counts connections.
async fn raw<F>(
    talk: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let tasks = Tasks::default();
    tasks.clone().spawn("raw upstream", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let index = counted.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 2048];
            // A client that only connects is counted like any other.
            if matches!(stream.read(&mut head).await, Ok(1..)) {
                tasks.spawn("raw connection", talk(index, stream));
            }
        }
    });
    (address, count)
}

fn http(base: &str, timeout_ms: u64, allow_private: bool) -> Http {
    let target = Target {
        base: Url::parse(base).unwrap(),
        timeout: Duration::from_millis(timeout_ms),
        allow_private,
    };
    Clients::default().http(target).unwrap()
}

fn at(address: SocketAddr) -> Http {
    http(&format!("http://{address}"), 5_000, true)
}

fn path(path: &str) -> Request {
    Request { path: path.to_owned(), ..Request::default() }
}

async fn fails(http: &Http, request: &Request) -> FetchError {
    http.fetch(request, None).await.unwrap_err()
}

/// 64 KiB after 64 KiB of the same byte.
fn repeated(times: usize) -> Body {
    let chunk = Bytes::from(vec![b'x'; 64 << 10]);
    let chunks = std::iter::repeat_n(Ok::<_, Infallible>(chunk), times);
    Body::from_stream(futures::stream::iter(chunks))
}

#[tokio::test]
async fn the_request_carries_path_query_key_and_agent() {
    let echo = |headers: Headers, RawQuery(query): RawQuery| async move {
        let header = |name| headers[name].to_str().unwrap().to_owned();
        let agent = header("user-agent");
        format!("{query:?} {} {agent} {}", header("x-api-key"), header("accept-encoding"))
    };
    let address = serve(Router::new().route("/base/v1/x", get(echo))).await;
    let http = http(&format!("http://{address}/base/"), 5_000, true);
    let request = Request {
        path: "/v1/x".to_owned(),
        query: vec![("symbols".into(), r#"["A","B"]"#.to_owned())],
        secret_query: vec![("apikey".into(), Secret::new("k 2"))],
        secret_headers: vec![("x-api-key".into(), Secret::new("k1"))],
        ..Request::default()
    };
    let body = http.fetch(&request, None).await.unwrap().body.unwrap();
    let expected = format!(
        "Some(\"symbols=%5B%22A%22%2C%22B%22%5D&apikey=k+2\") k1 tickwire/{} gzip",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
}

#[tokio::test]
async fn without_a_path_an_address_is_asked_as_it_was_written() {
    let echo = |RawQuery(query): RawQuery| async move { query.unwrap_or_default() };
    let address = serve(Router::new().route("/a/b/", get(echo))).await;
    let request = Request {
        query: vec![("n".into(), "1".to_owned())],
        secret_query: vec![("key".into(), Secret::new("a&b"))],
        ..Request::default()
    };
    let http = http(&format!("http://{address}/a/b/?x=%2F"), 5_000, true);
    let body = http.fetch(&request, None).await.unwrap().body.unwrap();
    assert_eq!(body, "x=%2F&n=1&key=a%26b");
}

#[tokio::test]
async fn a_request_with_a_body_posts_it_as_json() {
    let echo = |headers: Headers, body: String| async move {
        let header = |name| headers[name].to_str().unwrap().to_owned();
        format!("{body} {} {}", header("content-type"), header("x-mine"))
    };
    let address = serve(Router::new().route("/rpc", post(echo))).await;
    let request = Request {
        path: "/rpc".to_owned(),
        headers: vec![("x-mine".into(), "yes".to_owned())],
        body: Some("[1]".into()),
        ..Request::default()
    };
    let http = http(&format!("http://{address}"), 5_000, true);
    let body = http.fetch(&request, None).await.unwrap().body.unwrap();
    assert_eq!(body, "[1] application/json yes");
}

#[tokio::test]
async fn an_unchanged_answer_is_recognised_by_its_tag_and_date() {
    let handler = |headers: Headers| async move {
        let same = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let known = same("if-none-match").as_deref() == Some("\"v1\"")
            && same("if-modified-since").as_deref() == Some("yesterday");
        let tags = [("etag", "\"v1\""), ("last-modified", "yesterday")];
        match known {
            true => (StatusCode::NOT_MODIFIED, tags, "").into_response(),
            false => (tags, "5").into_response(),
        }
    };
    let address = serve(Router::new().route("/", get(handler))).await;
    let http = at(address);
    let first = http.fetch(&path("/"), None).await.unwrap();
    assert_eq!(first.body.as_deref(), Some(&b"5"[..]));
    let second = http.fetch(&path("/"), Some(&first.validators)).await.unwrap();
    assert_eq!(second.body, None);
}

#[tokio::test]
async fn statuses_become_reasons_and_waits() {
    let router = Router::new()
        .route("/429", get((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")])))
        .route("/418", get(StatusCode::IM_A_TEAPOT))
        .route("/busy", get((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "9999")])))
        .route("/503", get((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "soon")])))
        .route("/403", get(StatusCode::FORBIDDEN));
    let http = at(serve(router).await);
    for (asked, reason, wait) in [
        ("/429", Reason::RateLimited, Some(7)),
        ("/418", Reason::RateLimited, None),
        ("/busy", Reason::RateLimited, Some(300)),
        ("/503", Reason::Http5xx, None),
        ("/403", Reason::Http4xx, None),
        ("/404", Reason::Http4xx, None),
    ] {
        let error = fails(&http, &path(asked)).await;
        assert_eq!(error.reason, reason, "{asked}");
        assert_eq!(error.retry_after, wait.map(Duration::from_secs), "{asked}");
    }
}

#[tokio::test]
async fn the_weight_that_is_spent_is_read_also_from_a_refusal() {
    let weight = [(USED_WEIGHT, "1200")];
    let router = Router::new()
        .route("/", get((weight, "5")))
        .route("/429", get((StatusCode::TOO_MANY_REQUESTS, weight)));
    let http = at(serve(router).await);
    assert_eq!(http.fetch(&path("/"), None).await.unwrap().used, Some(1_200));
    assert_eq!(fails(&http, &path("/429")).await.used, Some(1_200));
}

#[tokio::test]
async fn a_small_body_that_unpacks_to_a_large_one_stops_at_the_cap() {
    let router = Router::new()
        .route("/small", get(async || repeated(16)))
        .route("/bomb", get(async || repeated(1_024)))
        .layer(CompressionLayer::new());
    let http = at(serve(router).await);
    let body = http.fetch(&path("/small"), None).await.unwrap().body;
    assert_eq!(body.unwrap().len(), BODY_MAX / 2);
    let error = fails(&http, &path("/bomb")).await;
    assert_eq!(error.reason, Reason::BadBody);
    assert!(error.message.contains("larger than"), "{error}");
}

#[tokio::test]
async fn a_body_without_end_stops_at_the_cap_and_an_announced_one_before_it_begins() {
    let endless = get(async || repeated(usize::MAX));
    let http = at(serve(Router::new().route("/", endless)).await);
    let error = fails(&http, &path("/")).await;
    assert!(error.message.contains("larger than"), "{error}");

    let (address, _) = raw(|_, mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    assert!(fails(&at(address), &path("/")).await.message.contains("larger than"));
}

#[tokio::test]
async fn an_answer_in_drips_meets_the_total_timeout() {
    let (address, _) = raw(|_, mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut drip = tokio::time::interval(Duration::from_millis(20));
        loop {
            drip.tick().await;
            if stream.write_all(b"x").await.is_err() {
                return;
            }
        }
    })
    .await;
    let began = Instant::now();
    let error = fails(&http(&format!("http://{address}"), 300, true), &path("/")).await;
    assert_eq!(error.reason, Reason::Timeout);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_body_cut_short_is_a_bad_body() {
    let (address, _) = raw(|_, mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"a\":";
        stream.write_all(head.as_bytes()).await.unwrap();
    })
    .await;
    assert_eq!(fails(&at(address), &path("/")).await.reason, Reason::BadBody);
}

#[tokio::test]
async fn redirects_are_followed_at_home_only() {
    let (elsewhere, count) = raw(|_, _| async {}).await;
    let away = format!("http://{elsewhere}/");
    let router = Router::new()
        .route("/home", get(|| async { Redirect::temporary("/") }))
        .route("/away", get(move || async move { Redirect::temporary(&away) }))
        .route("/file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/", get("5"));
    let http = at(serve(router).await);
    assert!(http.fetch(&path("/home"), None).await.is_ok());
    for asked in ["/away", "/file", "/loop"] {
        assert_eq!(fails(&http, &path(asked)).await.reason, Reason::BadBody, "{asked}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn private_addresses_are_refused_by_number_and_by_name() {
    let (address, count) = raw(|_, _| async {}).await;
    let port = address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        let http = http(&format!("http://{host}:{port}"), 5_000, false);
        let error = fails(&http, &path("/")).await;
        assert_eq!(error.reason, Reason::Connect, "{host}");
        assert!(error.message.contains("allow_private"), "{error}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_error_repeats_a_query_or_a_key() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = free.local_addr().unwrap();
    drop(free);
    let (cut, _) = raw(|_, _| async {}).await;
    let request = Request {
        query: vec![("apikey".into(), "hunter2".to_owned())],
        secret_query: vec![("key".into(), Secret::new("hunter2"))],
        secret_headers: vec![("x-api-key".into(), Secret::new("hunter2"))],
        ..path("/v1/secret")
    };
    for address in [refused, cut] {
        let error = fails(&at(address), &request).await;
        assert_eq!(error.reason, Reason::Connect, "{error}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2") && !text.contains("/v1"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_a_tls_failure() {
    let (address, _) = raw(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    })
    .await;
    let http = http(&format!("https://{address}"), 5_000, true);
    assert_eq!(fails(&http, &path("/")).await.reason, Reason::Tls);
}
