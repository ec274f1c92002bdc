//! Clients that publish: who may, what is taken, and that it reaches subscribers in order.

use std::io::Write;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::{Server, server};

const KEY: &str = "a-key-of-enough-characters";

/// A server with a push feed `desk`, and a client of its route.
struct Site {
    server: Server,
    http: reqwest::Client,
}

/// A request to publish, as `Site` sends it unless a test says otherwise.
struct Post<'a> {
    key: Option<&'a str>,
    kind: &'a str,
    body: String,
}

impl Post<'_> {
    fn of(body: impl ToString) -> Self {
        Self { key: Some(KEY), kind: "application/json", body: body.to_string() }
    }
}

impl Site {
    /// With more keys of the feed.
    async fn start(keys: &str) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "{KEY}").unwrap();
        let feed = format!(
            "name = \"desk\"\nprovider = \"push\"\nkey = {{ file = {:?} }}\n{keys}",
            file.path().display().to_string()
        );
        let server = server().feed(&feed).start().await;
        Self { server, http: reqwest::Client::new() }
    }

    async fn post(&self, post: Post<'_>) -> (u16, Value) {
        let response = self.send(post).await;
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    async fn send(&self, post: Post<'_>) -> reqwest::Response {
        let url = format!("http://{}/v1/publish", self.server.address());
        let mut request = self.http.post(url).header("content-type", post.kind).body(post.body);
        if let Some(key) = post.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.send().await.unwrap()
    }

    /// Publishes and returns the results.
    async fn publish(&self, body: Value) -> Vec<Value> {
        let (status, answer) = self.post(Post::of(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["results"].as_array().unwrap().clone()
    }
}

fn value(topic: &str, value: impl Into<Value>) -> Value {
    json!({"topic": topic, "data": {"value": value.into()}})
}

#[tokio::test]
async fn what_is_published_reaches_subscribers_with_its_digits() {
    let site = Site::start("").await;
    let mut client = site.server.client().await;
    client.subscribe(&["signal.BTC-USD.mine"], json!({"mode": "every"})).await;
    let body = r#"{"topic":"signal.BTC-USD.mine","data":{"model":"m1","note":"up","sure":true,"value":0.870,"as_of":1747407859000000},"ts":1747407859085000}"#;
    let (status, answer) = site.post(Post::of(body)).await;
    assert_eq!(status, 200);
    let result = &answer["results"][0];
    assert_eq!((&result["ok"], &result["seq"]), (&json!(true), &json!(1)), "{answer}");
    assert!(result["epoch"].is_string());
    let update = client.event_of("update").await;
    assert_eq!(
        update["data"],
        json!({"value": "0.870", "as_of": 1_747_407_859_000_000_i64, "model": "m1", "note": "up",
               "sure": true})
    );
    assert_eq!((&update["source"], &update["seq"]), (&json!("desk"), &json!(1)));
    assert_eq!(update["ts"], 1_747_407_859_085_000_i64);
    let feeds = site.server.json("/v1/feeds").await;
    let feed = &feeds["feeds"][0];
    assert_eq!((&feed["provider"], &feed["state"]), (&json!("push"), &json!("live")), "{feeds}");
    let counted = site.server.metric("tickwire_upstream_requests_total", "feed=\"desk\"").await;
    assert_eq!(counted, Some(1.0));
}

#[tokio::test]
async fn a_price_that_is_published_is_one_more_source() {
    let site = Site::start("").await;
    let price = json!({"topic": "price.BTC-USD.desk", "data": {"price": "103663.10"}});
    assert_eq!(site.publish(price).await[0]["ok"], true);
    let mut client = site.server.client().await;
    client.subscribe(&["price.BTC-USD"], json!({})).await;
    let event = client.event_of("snapshot").await;
    assert_eq!((&event["source"], &event["data"]["price"]), (&json!("desk"), &json!("103663.10")));
    let jump = json!({"topic": "price.BTC-USD.desk", "data": {"price": 1}});
    let result = &site.publish(jump).await[0];
    assert_eq!(result["error"]["message"], "quarantined: jump");
}

#[tokio::test]
async fn nobody_publishes_without_the_key() {
    let site = Site::start("").await;
    let body = value("a.b", 1);
    for key in [None, Some(""), Some("wrong"), Some(&KEY[1..]), Some("a-key-of-enough-characterz")]
    {
        let (status, problem) = site.post(Post { key, ..Post::of(&body) }).await;
        assert_eq!((status, &problem["code"]), (401, &json!("unauthorized")), "{key:?}");
    }
    assert!(!site.server.get("/v1/topics").await.1.contains("a.b"));
}

#[tokio::test]
async fn the_route_is_not_there_while_no_feed_has_a_key() {
    let server = server().feed("name = \"desk\"\nprovider = \"push\"").start().await;
    let site = Site { server, http: reqwest::Client::new() };
    assert_eq!(site.post(Post::of(value("a.b", 1))).await.0, 404);
}

#[tokio::test]
async fn a_page_of_a_stranger_publishes_nothing() {
    let site = Site::start("").await;
    let url = format!("http://{}/v1/publish", site.server.address());
    let request = site.http.post(url).header("origin", "https://evil.example").bearer_auth(KEY);
    let response = request.header("content-type", "application/json").body("[]").send().await;
    assert_eq!(response.unwrap().status(), 403);
}

#[tokio::test]
async fn a_browser_that_asks_beforehand_may_not_publish() {
    let site = Site::start("").await;
    let url = format!("http://{}/v1/publish", site.server.address());
    let ask =
        site.http.request(reqwest::Method::OPTIONS, url).header("origin", "https://evil.example");
    let ask = ask.header("access-control-request-method", "POST");
    let answer =
        ask.header("access-control-request-headers", "authorization").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_price_that_is_no_number_and_a_time_to_come_are_refused() {
    let site = Site::start("").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let hour = u64::try_from(now.as_micros()).unwrap() + 3_600_000_000;
    let price = |price: &str| json!({"topic": "price.BTC-USD.desk", "data": {"price": price}});
    let texts = ["NaN", "inf", "1,5", "", " 1", "0x10", "0", "-0.0"];
    let mut items: Vec<Value> = texts.into_iter().map(price).collect();
    items.push(json!({"topic": "a.b", "data": {"v": 1}, "ts": hour}));
    for (item, result) in items.iter().zip(site.publish(json!(items)).await) {
        assert_eq!(result["error"]["code"], "bad_request", "{item}: {result}");
    }
    assert_eq!(site.publish(json!([price("1.50")])).await[0]["ok"], true);
}

#[tokio::test]
async fn a_body_of_another_kind_or_size_is_refused_whole() {
    let site = Site::start("").await;
    let kind = |kind, body: &str| Post { kind, ..Post::of(body) };
    let many: Vec<Value> = (0..1_001).map(|n| value("a.b", n)).collect();
    for (post, status, code) in [
        (kind("text/plain", "{}"), 415, "bad_request"),
        (kind("", "{}"), 415, "bad_request"),
        (Post::of("{"), 400, "bad_json"),
        (Post::of("[]"), 400, "bad_request"),
        (kind("application/x-ndjson", "\n \n"), 400, "bad_request"),
        (Post::of(json!(many)), 413, "message_too_large"),
        (Post::of(format!("\"{}\"", "x".repeat(1 << 20))), 413, "message_too_large"),
    ] {
        let (got, problem) = site.post(post).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{problem}");
    }
}

#[tokio::test]
async fn a_bad_line_spoils_no_other() {
    let site = Site::start("").await;
    let lines = [
        value("a.b", 1).to_string(),
        "{\"topic\":".to_owned(),
        String::new(),
        value("a.c", 2).to_string(),
    ];
    let post = Post { kind: "application/x-ndjson; charset=utf-8", ..Post::of(lines.join("\r\n")) };
    let (status, answer) = site.post(post).await;
    assert_eq!(status, 200);
    let results = answer["results"].as_array().unwrap();
    let seen: Vec<_> = results.iter().map(|result| (&result["topic"], &result["ok"])).collect();
    let expected =
        [(json!("a.b"), json!(true)), (Value::Null, json!(false)), (json!("a.c"), json!(true))];
    assert_eq!(seen, expected.iter().map(|(topic, ok)| (topic, ok)).collect::<Vec<_>>());
    assert_eq!(results[1]["error"]["code"], "bad_json");
    assert_eq!(results[1]["error"]["retryable"], false);
}

#[tokio::test]
async fn each_value_is_judged_by_itself() {
    let site =
        Site::start("topics = [\"signal.*.mine\", \"price.>\", \"status.>\", \"a.*\"]").await;
    let cases = [
        (value("signal.BTC-USD.mine", 1), "ok"),
        (value("signal.BTC-USD.other", 1), "forbidden"),
        (value("status.desk", 1), "forbidden"),
        (json!({"topic": "price.BTC-USD", "data": {"price": 1}}), "forbidden"),
        (json!({"topic": "price.BTC-USD.binance", "data": {"price": 1}}), "forbidden"),
        (value("signal.btcusd.mine", 1), "bad_topic"),
        (value("a..b", 1), "bad_topic"),
        (value("a.*", 1), "bad_topic"),
        (value("a.b", json!({"deep": 1})), "bad_request"),
        (value("a.b", Value::Null), "bad_request"),
        (value("a.b", "x".repeat(257)), "bad_request"),
        (json!({"topic": "a.b", "data": {}}), "bad_request"),
        (json!({"topic": "a.b", "data": [1]}), "bad_request"),
        (json!({"topic": "a.b", "data": {"no-name": 1}}), "bad_request"),
        (json!({"topic": "a.b"}), "bad_request"),
        (json!({"topic": "a.b", "data": {"a": 1}, "tz": 1}), "bad_request"),
        (json!({"topic": "a.b", "data": {"a": 1}, "ts": 1_747_407_859}), "bad_request"),
        (json!({"topic": "price.BTC-USD.desk", "data": {"price": -1}}), "bad_request"),
        (json!(7), "bad_request"),
        (value("a.b", "fine"), "ok"),
    ];
    let items: Vec<&Value> = cases.iter().map(|(item, _)| item).collect();
    let results = site.publish(json!({"items": items})).await;
    assert_eq!(results.len(), cases.len());
    for ((item, expected), result) in cases.iter().zip(&results) {
        let got =
            if result["ok"] == true { "ok" } else { result["error"]["code"].as_str().unwrap() };
        assert_eq!(got, *expected, "{item} {result}");
    }
}

#[tokio::test]
async fn a_value_that_is_sent_again_is_a_duplicate() {
    let site = Site::start("").await;
    let numbered = |seq: u64, value: u64| json!({"topic": "a.b", "data": {"v": value}, "seq": seq});
    let told = |result: &Value| (result["seq"].clone(), result["duplicate"].clone());
    let results = site.publish(json!([numbered(5, 1), numbered(5, 1), numbered(4, 9)])).await;
    let expected =
        [(json!(1), Value::Null), (Value::Null, json!(true)), (Value::Null, json!(true))];
    assert_eq!(results.iter().map(told).collect::<Vec<_>>(), expected);
    // The same again, as after an answer that was lost; then what is new.
    let results = site.publish(json!([numbered(5, 1), numbered(6, 2), numbered(7, 2)])).await;
    let expected =
        [(Value::Null, json!(true)), (json!(2), Value::Null), (Value::Null, json!(true))];
    assert_eq!(results.iter().map(told).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn more_than_the_rate_is_refused_and_none_of_it_published() {
    let site = Site::start("rate = 1").await;
    let many: Vec<Value> = (0..1_000).map(|n| value(&format!("a.t{n}"), 1)).collect();
    assert_eq!(site.post(Post::of(json!(many))).await.0, 200);
    let more = json!([value("b.a", 1), value("b.b", 1), value("b.c", 1), value("b.d", 1)]);
    let response = site.send(Post::of(more)).await;
    // Four values at one a second, less what has come in since.
    let wait = response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=4).contains(&wait), "{wait}");
    let status = response.status().as_u16();
    let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        (status, &problem["code"], &problem["retryable"]),
        (429, &json!("rate_limited"), &json!(true))
    );
    assert!(!site.server.get("/v1/topics?pattern=b.*").await.1.contains("b.a"));
}

#[tokio::test]
async fn batches_of_one_topic_never_mix() {
    let site = Site::start("rate = 100000").await;
    let mut client = site.server.client().await;
    client.subscribe(&["a.b"], json!({"mode": "every"})).await;
    let batch = |writer: u64| {
        let items = (0..20).map(|n| json!({"topic": "a.b", "data": {"writer": writer, "n": n}}));
        Value::Array(items.collect())
    };
    let all = futures::future::join_all((0..8).map(|writer| site.publish(batch(writer)))).await;
    assert!(all.iter().flatten().all(|result| result["ok"] == true));
    let mut seen = Vec::new();
    for seq in 1..=160_u64 {
        let update = client.event_of("update").await;
        assert_eq!(update["seq"], seq);
        seen.push((update["data"]["writer"].clone(), update["data"]["n"].clone()));
    }
    for run in seen.chunks(20) {
        let expected: Vec<_> = (0..20).map(|n| (run[0].0.clone(), json!(n.to_string()))).collect();
        assert_eq!(run, expected);
    }
}
