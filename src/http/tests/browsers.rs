//! Which names and pages are let in, over every route.

use axum::http::Version;

use super::*;

const ROUTES: [&str; 13] = [
    "/",
    "/app.js",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/topics",
    "/v1/snapshot?topics=a",
    "/v1/history/a",
    "/v1/symbols",
    "/v1/feeds",
    // Without topics, so that the answer has an end.
    "/v1/stream?topics=",
    "/v1/ws",
    "/nowhere",
];

#[tokio::test]
async fn strange_pages_and_names_are_refused_on_every_route() {
    let site = site();
    for uri in ROUTES {
        for origin in ["https://evil.example", "null"] {
            let answer = site.send(get(uri).header("origin", origin)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{uri}");
            assert_eq!(answer.json()["code"], "forbidden");
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
            assert!(answer.varies_by("origin"));
        }
        let answer = site.send(Request::get(uri).header("host", "rebound.example")).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{uri}");
        assert_eq!(answer.json()["code"], "forbidden");
    }
    assert_eq!(site.errors("forbidden"), 3 * ROUTES.len() as u64);
}

#[tokio::test]
async fn an_allowed_page_may_read_the_answer_and_errors_too() {
    let site = site_with(&["https://dash.example"]);
    for uri in ROUTES {
        let answer = site.send(get(uri).header("origin", "https://dash.example")).await;
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, "https://dash.example", "{uri}");
        assert!(answer.varies_by("origin"), "{uri}");
        let plain = site.get(uri).await;
        assert_eq!(plain.header("access-control-allow-origin"), "", "{uri}");
        assert!(plain.varies_by("origin"), "{uri}");
    }
}

#[tokio::test]
async fn a_browser_that_asks_beforehand_learns_what_it_may() {
    let site = site_with(&["https://dash.example"]);
    let ask = |origin| {
        get("/v1/topics")
            .method("OPTIONS")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
    };
    let answer = site.send(ask("https://dash.example")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD");
    assert_eq!(answer.header("access-control-allow-origin"), "https://dash.example");
    let refused = site.send(ask("https://evil.example")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn headers_that_decide_must_be_there_once() {
    let site = site();
    let bare = || Request::get("/healthz");
    for request in [
        bare(),
        bare().header("host", "localhost").header("host", "localhost"),
        bare().header("host", "local host"),
        get("/healthz").header("origin", "http://a").header("origin", "http://b"),
        get("/healthz").header("origin", &b"http://\xff"[..]),
    ] {
        let answer = site.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["code"], "bad_request");
    }
    let old = site.send(bare().version(Version::HTTP_10)).await;
    assert_eq!(old.status, StatusCode::OK);
}

#[tokio::test]
async fn the_address_that_a_connection_came_in_on_is_a_known_name() {
    let site = site();
    let probe = || Request::get("/healthz").header("host", "10.1.2.3:8080");
    let refused = site.send(probe()).await;
    assert_eq!(refused.status, StatusCode::MISDIRECTED_REQUEST);
    let conn = Conn {
        peer: "10.9.9.9:50000".parse().unwrap(),
        local: "[::ffff:10.1.2.3]:8080".parse().unwrap(),
    };
    let answer = site.send(probe().extension(conn)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_whole_url_in_the_first_line_decides_over_the_host_header() {
    let site = site();
    let answer = site.get("http://rebound.example/healthz").await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    let answer = site.get("http://localhost:8080/healthz").await;
    assert_eq!(answer.status, StatusCode::OK);
}
