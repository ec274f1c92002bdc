//! A topic that goes stale, down and back, as each way to ask tells it.

use serde_json::{Value, json};

use crate::support::{Client, Server, Upstream, eventually, server};

const TOPIC: &str = "price.BTC-USDT.x";

/// A required feed whose values are stale after a second and down after three.
async fn market(upstream: &Upstream) -> Server {
    let url = upstream.url();
    server()
        .feed(&format!(
            "name = \"x\"\nprovider = \"binance\"\nendpoint = \"ticker_price\"\n\
             base_url = \"{url}\"\nallow_private = true\nsymbols = [\"BTC-USDT\"]\n\
             every = \"100ms\"\nstale_after = \"1s\"\nrequired = true\nmax_jump_pct = 1000000.0"
        ))
        .start()
        .await
}

/// The next change of the topic itself.
async fn change(client: &mut Client) -> Value {
    loop {
        let status = client.event_of("status").await;
        if status["topic"] == TOPIC {
            return status;
        }
    }
}

/// Every way to ask tells the same state. The consolidated price has the one source.
async fn all_tell(server: &Server, state: &str) {
    let page = server.json("/v1/topics?pattern=price.>").await;
    let rows = page["topics"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["state"] == state), "{state}: {page}");
    let row = rows.iter().find(|row| row["topic"] == TOPIC).unwrap();
    assert_eq!((&row["source"], row["age_ms"].is_u64()), (&json!("x"), true));
    let mut client = server.client().await;
    let rows = client.subscribe(&[TOPIC], json!({})).await;
    assert_eq!(rows[0]["state"], state);
    let snapshot = client.event_of("snapshot").await;
    assert_eq!((&snapshot["state"], &snapshot["source"]), (&json!(state), &json!("x")));
    let result = client.result("snapshot", json!({"topics": [TOPIC]})).await;
    assert_eq!(result["snapshots"][0]["state"], state, "{result}");
    let feeds = server.json("/v1/feeds").await;
    assert_eq!(feeds["feeds"][0]["state"], state, "{feeds}");
    let prices = |wanted: &'static str| {
        let label = format!("state=\"{wanted}\"");
        async move { server.metric("tickwire_topics", &label).await.unwrap() }
    };
    eventually("the gauge of topics", || async {
        let total = prices("live").await + prices("stale").await + prices("down").await;
        let label = format!("state=\"{state}\"");
        let told = server.metric("tickwire_topics", &label).await.unwrap();
        // The status of the feed is a topic as well, and is live while the server is.
        (told >= 2.0 && total <= 3.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_topic_goes_stale_and_down_and_comes_back_and_everything_says_so() {
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "5.0");
    let server = market(&upstream).await;
    server.metric_reaches("tickwire_published_total", "kind=\"price\"", 2.0).await;
    let mut client = server.client().await;
    let rows = client.subscribe(&["price.>"], json!({})).await;
    assert_eq!(rows[0]["matched"], 2);
    all_tell(&server, "live").await;
    assert_eq!(server.get("/readyz").await.0, 200);

    upstream.misbehave(503, &[], "oops");
    let stale = change(&mut client).await;
    assert_eq!((&stale["state"], &stale["source"]), (&json!("stale"), &json!("x")));
    assert_eq!(stale["reason"], "http_5xx");
    let age = stale["age_ms"].as_u64().unwrap();
    assert!((1000..3000).contains(&age), "{stale}");
    assert!(stale["retry_at"].as_i64().unwrap() > 0, "{stale}");
    // One required feed that is merely stale does not make the server unready.
    let (status, body) = server.get("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["reasons"][0]["feed"]), (200, &json!("x")), "{body}");

    let down = change(&mut client).await;
    assert_eq!((&down["state"], &down["source"]), (&json!("down"), &json!("x")));
    let reason = down["reason"].as_str().unwrap();
    assert!(["http_5xx", "breaker_open"].contains(&reason), "{down}");
    assert!(down["age_ms"].as_u64().unwrap() > age, "{down}");
    assert!(down["retry_at"].as_i64().unwrap() > stale["retry_at"].as_i64().unwrap(), "{down}");
    all_tell(&server, "down").await;
    let (status, body) = server.get("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert_eq!(body["reasons"][0]["state"], "down", "{body}");

    upstream.behave();
    let live = change(&mut client).await;
    assert_eq!((&live["state"], &live["source"]), (&json!("live"), &json!("x")));
    assert!(live["age_ms"].as_u64().unwrap() < 1000, "{live}");
    assert_eq!((live.get("reason"), live.get("retry_at")), (None, None), "{live}");
    all_tell(&server, "live").await;
    assert_eq!(server.get("/readyz").await.0, 200);
    // All that time nothing was published: the value is the same.
    assert_eq!(client.ledger("price.>").await["published"], 0);
}
