//! Every error is a problem document with a code, and is counted.

use super::*;

async fn problem(site: &Site, request: Builder, status: u16, code: &str) -> Json {
    let before = site.errors(code);
    let answer = site.send(request).await;
    assert_eq!(answer.status.as_u16(), status);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!((&body["status"], &body["code"]), (&Json::from(status), &Json::from(code)));
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["title"].as_str(), answer.status.canonical_reason());
    assert_eq!(body["instance"], answer.header("x-request-id"));
    assert_eq!(site.errors(code), before + 1);
    body
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_name() {
    let site = site();
    for (uri, code, named) in [
        ("/v1/topics?patern=price.*", "bad_request", "patern"),
        ("/v1/topics?limit=many", "bad_request", "limit"),
        ("/v1/topics?limit=-1", "bad_request", "limit"),
        ("/v1/topics?limit=0", "bad_request", "limit"),
        ("/v1/topics?limit=1&limit=2", "bad_request", "limit"),
        ("/v1/topics?pattern=a..b", "bad_topic", "empty"),
        ("/v1/snapshot", "bad_request", "topics"),
        ("/v1/snapshot?topics=", "bad_request", "topics"),
        ("/v1/snapshot?topics=a&limit=9999", "bad_request", "limit"),
        ("/v1/snapshot?topics=a&fields=price", "bad_request", "fields"),
        ("/v1/snapshot?topics=a,b,c,d,e", "too_many_topics", "at most 4"),
        ("/v1/snapshot?topics=a&cursor=b", "bad_request", "cursor"),
        ("/v1/history/a?from=1", "bad_request", "from"),
        ("/v1/history/a?from_seq=1&to_time=1", "bad_request", "times"),
        ("/v1/history/a.*", "bad_topic", "pattern"),
        ("/v1/symbols?symbol=a", "bad_request", "symbol"),
        ("/v1/stream", "bad_request", "topics"),
        ("/v1/stream?topics=a,b,c,d,e", "too_many_topics", "at most 4"),
        ("/v1/stream?topics=a..b", "bad_topic", "empty"),
        ("/v1/feeds?name=a", "bad_request", "name"),
    ] {
        let body = problem(&site, get(uri), 400, code).await;
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{uri}: {detail}");
        assert_eq!(body["retryable"], false);
    }
}

#[tokio::test]
async fn there_is_nothing_at_other_paths() {
    let site = site();
    for path in ["/nowhere", "/v1", "/v1/topics/", "/index.html", "/v2/ws"] {
        let body = problem(&site, get(path), 404, "bad_request").await;
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(path), "{detail}");
    }
}

#[tokio::test]
async fn nothing_can_be_written_and_the_allowed_methods_are_named() {
    let site = site();
    for path in ["/", "/v1/topics", "/v1/ws", "/healthz"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let request = || get(path).method(method);
            problem(&site, request(), 405, "unknown_method").await;
            assert_eq!(site.send(request()).await.header("allow"), "GET,HEAD", "{path}");
        }
    }
}

#[tokio::test]
async fn a_refused_handshake_is_a_problem_like_any_other() {
    let site = site();
    let body = problem(&site, get("/v1/ws"), 503, "too_many_connections").await;
    assert_eq!((&body["detail"], &body["retryable"]), (&"no room".into(), &true.into()));
    problem(&site, get("/v1/ws?foreign"), 426, "bad_request").await;
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_no_details() {
    let site = site();
    let body = problem(&site, get("/v1/ws?panic"), 500, "internal").await;
    assert!(!body.to_string().contains("secret"), "{body}");
    assert_eq!(site.get("/healthz").await.status, StatusCode::OK);
}
