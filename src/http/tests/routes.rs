//! What each route answers.

use serde_json::json;

use super::*;

#[tokio::test]
async fn topics_are_listed_page_by_page() {
    let site = site();
    for topic in ["price.A-B", "price.C-D", "market.cap"] {
        site.publish(topic, "1.50");
    }
    let all = site.get("/v1/topics").await;
    assert_eq!(all.status, StatusCode::OK);
    assert_eq!(all.header("content-type"), "application/json");
    assert_eq!(all.json()["topics"].as_array().unwrap().len(), 3);
    assert_eq!(all.json()["next"], Json::Null);

    let first = site.get("/v1/topics?pattern=price.%3E&limit=1").await.json();
    let row = &first["topics"][0];
    assert_eq!(row["topic"], "price.A-B");
    assert_eq!((&row["epoch"], &row["seq"]), (&json!("e1"), &json!(1)));
    assert_eq!((&row["state"], &row["source"]), (&json!("live"), &json!("test")));
    assert!(row["age_ms"].is_u64(), "{row}");

    let cursor = first["next"].as_str().unwrap();
    let uri = format!("/v1/topics?pattern=price.*&limit=1&cursor={cursor}");
    let second = site.get(&uri).await.json();
    assert_eq!(second["topics"][0]["topic"], "price.C-D");
    assert_eq!(second["next"], Json::Null);
}

#[tokio::test]
async fn snapshots_come_in_the_order_asked_with_an_error_for_what_has_no_value() {
    let site = site();
    site.publish("price.BTC-USD", "68900.50");
    let answer = site.get("/v1/snapshot?topics=price.X-Y,%20btc-usd,a..b,price.BTC-USD").await;
    assert_eq!(answer.status, StatusCode::OK);
    let rows = answer.json()["snapshots"].clone();
    assert_eq!(rows[0]["topic"], "price.X-Y");
    assert_eq!(rows[0]["error"]["code"], "unknown_topic");
    assert_eq!(rows[2]["error"]["code"], "bad_topic");
    assert_eq!(rows[3]["type"], "snapshot");
    assert_eq!(rows[3]["data"], json!({"price": "68900.50"}));
    assert_eq!(rows.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn feeds_are_reported_as_they_are() {
    let site = site();
    site.feeds.0.lock().push(feed("binance", State::Live, Some(5)));
    let answer = site.get("/v1/feeds").await.json();
    assert_eq!(answer["feeds"][0]["name"], "binance");
    assert_eq!(answer["feeds"][0]["last_success"], 5);
    assert_eq!(answer["feeds"][0]["budget"], Json::Null);
}

#[tokio::test]
async fn metrics_are_in_prometheus_text_format_and_refreshed_before_each_scrape() {
    let site = site();
    let answer = site.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4");
    let text = std::str::from_utf8(&answer.body).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        format!("tickwire_build_info{{version=\"{version}\"}} 1"),
        "tickwire_errors_total{code=\"bad_topic\"} 0".into(),
        "test_scrapes 1".into(),
    ] {
        assert!(text.contains(&line), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn a_body_that_the_client_has_is_not_sent_again() {
    let site = site();
    let first = site.get("/v1/feeds").await;
    assert_eq!(first.header("cache-control"), "no-cache");
    let tag = first.header("etag");
    assert!(tag.starts_with('"'), "{tag}");
    let again = site.send(get("/v1/feeds").header("if-none-match", tag)).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(again.header("etag"), tag);
    site.feeds.0.lock().push(feed("new", State::Live, None));
    let changed = site.send(get("/v1/feeds").header("if-none-match", tag)).await;
    assert_eq!(changed.status, StatusCode::OK);
}

#[tokio::test]
async fn only_long_bodies_are_compressed_and_their_tags_are_weak() {
    let site = site();
    let gzip = |uri| get(uri).header("accept-encoding", "gzip");
    let short = site.send(gzip("/v1/feeds")).await;
    assert_eq!(short.header("content-encoding"), "");
    for index in 0..30 {
        site.publish(&format!("price.A{index}-B"), "1");
    }
    let long = site.send(gzip("/v1/snapshot?topics=price.*")).await;
    assert_eq!(long.header("content-encoding"), "gzip");
    assert!(long.varies_by("accept-encoding"));
    let tag = long.header("etag");
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = gzip("/v1/snapshot?topics=price.*").header("if-none-match", tag);
    let again = site.send(again).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(again.header("etag"), tag);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let site = site();
    for uri in ["/", "/healthz", "/readyz", "/metrics", "/v1/topics", "/v1/feeds", "/nowhere"] {
        let head = site.send(get(uri).method("HEAD")).await;
        let full = site.get(uri).await;
        assert_eq!(head.status, full.status, "{uri}");
        assert_eq!(head.header("content-type"), full.header("content-type"), "{uri}");
        assert!(head.body.is_empty(), "{uri}");
        assert!(!full.body.is_empty(), "{uri}");
    }
}

#[tokio::test]
async fn a_request_keeps_a_plain_id_of_its_client_and_gets_one_otherwise() {
    let site = site();
    let kept = site.send(get("/healthz").header("x-request-id", "my-id_1")).await;
    assert_eq!(kept.header("x-request-id"), "my-id_1");
    let replaced = site.send(get("/healthz").header("x-request-id", "a b")).await;
    assert_eq!(replaced.header("x-request-id").len(), 26);
    assert_eq!(site.get("/healthz").await.header("x-request-id").len(), 26);
}
