//! Alive, ready, and no longer ready.

use serde_json::json;

use super::*;
use crate::{hub::ErrorReport, market::Reason, shutdown::Stage};

fn set(site: &Site, feeds: Vec<FeedReport>) {
    *site.feeds.0.lock() = feeds;
}

async fn ready(site: &Site) -> (u16, Json) {
    let answer = site.get("/readyz").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn a_server_that_answers_is_alive_also_while_draining() {
    let site = site();
    site.trigger.advance(Stage::Draining);
    let answer = site.get("/healthz").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json(), json!({"status": "ok"}));
}

#[tokio::test]
async fn it_is_ready_once_every_required_feed_has_delivered() {
    let site = site();
    let optional = FeedReport { required: false, ..feed("c", State::Down, None) };
    set(
        &site,
        vec![feed("a", State::Live, Some(1)), feed("b", State::Down, None), optional.clone()],
    );
    let waiting = json!([{"feed": "b", "state": "down", "reason": "no_data"}]);
    assert_eq!(ready(&site).await, (503, json!({"ready": false, "reasons": waiting})));

    set(&site, vec![feed("a", State::Live, Some(1)), feed("b", State::Live, Some(2)), optional]);
    assert_eq!(ready(&site).await, (200, json!({"ready": true, "reasons": []})));
}

#[tokio::test]
async fn once_ready_only_the_loss_of_every_required_feed_turns_it_back() {
    let site = site();
    let limited = FeedReport {
        last_error: Some(ErrorReport { reason: Reason::RateLimited, at: 3, message: "429".into() }),
        ..feed("a", State::Down, Some(1))
    };
    set(&site, vec![feed("a", State::Live, Some(1)), feed("b", State::Live, Some(1))]);
    assert_eq!(ready(&site).await.0, 200);

    set(&site, vec![limited.clone(), feed("b", State::Stale, Some(1))]);
    let (status, body) = ready(&site).await;
    assert_eq!((status, &body["ready"]), (200, &json!(true)));
    let row = json!({"feed": "a", "state": "down", "reason": "rate_limited"});
    assert_eq!(body["reasons"][0], row);
    assert_eq!(body["reasons"][1]["state"], "stale");

    set(&site, vec![limited, feed("b", State::Down, Some(1))]);
    assert_eq!(ready(&site).await.0, 503);

    // A feed that is new since, as after a reload, does not make it wait again.
    set(&site, vec![feed("a", State::Live, Some(1)), feed("new", State::Down, None)]);
    assert_eq!(ready(&site).await.0, 200);
}

#[tokio::test]
async fn a_required_feed_that_rests_until_somebody_subscribes_is_ready() {
    let site = site();
    let resting = FeedReport { paused: true, ..feed("a", State::Down, None) };
    set(&site, vec![resting.clone(), feed("b", State::Down, None)]);
    assert_eq!(ready(&site).await.0, 503);
    set(&site, vec![resting.clone(), feed("b", State::Live, Some(1))]);
    assert_eq!(ready(&site).await, (200, json!({"ready": true, "reasons": []})));
    set(&site, vec![resting, feed("b", State::Down, Some(1))]);
    assert_eq!(ready(&site).await.0, 200);
}

#[tokio::test]
async fn without_required_feeds_it_is_ready_at_once() {
    let site = site();
    assert_eq!(ready(&site).await, (200, json!({"ready": true, "reasons": []})));
}

#[tokio::test]
async fn a_server_that_drains_is_not_ready() {
    let site = site();
    assert_eq!(ready(&site).await.0, 200);
    site.trigger.advance(Stage::Draining);
    let reasons = json!([{"reason": "draining"}]);
    assert_eq!(ready(&site).await, (503, json!({"ready": false, "reasons": reasons})));
}
