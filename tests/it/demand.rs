//! A feed that is polled only while somebody subscribes, over the real server.

use serde_json::{Value, json};

use crate::support::{Server, Upstream, eventually, server, soon};

/// A required feed `x` that rests, and beside it one that is always polled and tells that time
/// passes.
struct Site {
    server: Server,
    resting: Upstream,
    ticking: Upstream,
}

impl Site {
    async fn start() -> Self {
        let (resting, ticking) = (Upstream::start().await, Upstream::start().await);
        resting.price("BTCUSDT", "5.0");
        ticking.price("ETHUSDT", "6.0");
        let url = resting.url();
        let server = server()
            .polling("clock", &ticking, &["ETH-USDT"])
            .feed(&format!(
                "name = \"x\"\nprovider = \"binance\"\nendpoint = \"ticker_price\"\n\
                 base_url = \"{url}\"\nallow_private = true\nsymbols = [\"BTC-USDT\"]\n\
                 every = \"100ms\"\nrequired = true\ndemand = \"subscribed\""
            ))
            .consolidate("quote_as = { USDT = \"USD\" }")
            .start()
            .await;
        let site = Self { server, resting, ticking };
        eventually("the feed to rest", || async {
            (site.feed().await["paused"] == true).then_some(())
        })
        .await;
        site
    }

    async fn feed(&self) -> Value {
        let feeds = self.server.json("/v1/feeds").await;
        feeds["feeds"].as_array().unwrap().iter().find(|feed| feed["name"] == "x").unwrap().clone()
    }

    /// Lets the time of ten polls pass; nothing was asked in it.
    async fn rests(&self) {
        self.ticking.polled(10).await;
        assert_eq!(self.resting.polls(), 0);
    }
}

#[tokio::test]
async fn nothing_is_asked_until_somebody_subscribes_and_reading_is_no_subscription() {
    let site = Site::start().await;
    site.rests().await;
    assert_eq!(site.server.get("/readyz").await, (200, r#"{"ready":true,"reasons":[]}"#.into()));
    let page = site.server.json("/v1/topics?pattern=price.BTC-USDT.x").await;
    assert_eq!(page["topics"][0]["state"], "down", "{page}");
    site.server.get("/v1/snapshot?topics=price.BTC-USDT.x").await;
    site.server.get("/v1/history/price.BTC-USDT.x").await;
    let mut client = site.server.client().await;
    client.subscribe(&["price.ETH-USDT.clock", "status.x"], json!({})).await;
    client.result("snapshot", json!({"topics": ["price.BTC-USDT.x"]})).await;
    site.rests().await;
    client.subscribe(&["price.BTC-USDT.x"], json!({})).await;
    let update = async {
        loop {
            let update = client.event_of("update").await;
            if update["topic"] == "price.BTC-USDT.x" {
                return update;
            }
        }
    };
    assert_eq!(soon("a price", update).await["data"]["price"], "5.0");
    site.resting.polled(3).await;
    let feed = site.feed().await;
    assert_eq!((&feed["paused"], &feed["state"]), (&json!(false), &json!("live")), "{feed}");
}

#[tokio::test]
async fn a_stream_of_events_a_pattern_and_the_consolidated_price_wake_it() {
    for topic in ["price.BTC-USDT.x", "price.BTC-USDT", "price.BTC-USD", "price.>"] {
        let site = Site::start().await;
        site.rests().await;
        let mut events = site.server.stream(&format!("topics={topic}"), None).await;
        let woken = async { while events.next().await.unwrap().data["data"]["price"] != "5.0" {} };
        soon("a price", woken).await;
    }
}

#[tokio::test]
async fn clients_are_told_that_it_rests() {
    let site = Site::start().await;
    let mut client = site.server.client().await;
    client.subscribe(&["status.x"], json!({})).await;
    let snapshot = client.event_of("snapshot").await;
    assert_eq!(snapshot["data"]["reason"], "paused", "{snapshot}");
    client.subscribe(&["price.BTC-USDT.x"], json!({})).await;
    let update = client.event_of("update").await;
    assert!(update["topic"] == "price.BTC-USDT.x" || update["data"]["state"] == "live");
}
