//! Servers that come and go, hang, or ask to be left alone; and oddities that harm nobody.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Log, TERMS, feed, has_price, is_status, only_good};
use crate::support::{
    BadUpstream, Server,
    bad_upstream::{Do, answer, json as json_answer, now_ms, row},
    eventually, server,
};

async fn follow(server: &Server) -> Log {
    let mut client = server.client().await;
    client.subscribe(&["price.*.*"], json!({"mode": "every"})).await;
    Log::follow(client)
}

async fn last_error(server: &Server, feed: &str) -> Value {
    let page = server.json("/v1/feeds").await;
    let feeds = page["feeds"].as_array().unwrap();
    feeds.iter().find(|row| row["name"] == feed).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_asks_to_be_left_alone_is_until_then_and_five_minutes_at_most() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
    // Seconds from now at which it is asked again, at the earliest and at the latest. A date is
    // whole seconds, and without a wait the back-off decides.
    let cases = [
        ("seconds", "120", 119.0..=121.0),
        ("date", &date, 97.0..=101.0),
        ("years", "315360000", 299.0..=301.0),
        ("digits", "99999999999999999999999999", 299.0..=301.0),
        ("past", "Sun, 06 Nov 1994 08:49:37 GMT", 0.4..=1.1),
        ("garbage", "when it is ready", 0.4..=1.1),
        ("negative", "-120", 0.4..=1.1),
        ("fraction", "120.5", 0.4..=1.1),
    ];
    let mut builder = server();
    let mut upstreams = Vec::new();
    for (name, value, _) in &cases {
        let upstream = BadUpstream::start("BTC-USD").await;
        let headers = format!("retry-after: {value}\r\n");
        upstream.misbehave(move |_| answer("429 Too Many Requests", &headers, ""));
        builder = builder.feed(&feed(name, "BTC-USD", &upstream, TERMS));
        upstreams.push(upstream);
    }
    let server = builder.start().await;
    for ((name, value, expected), upstream) in cases.iter().zip(&upstreams) {
        let row = eventually("a refusal", || async {
            let row = last_error(&server, name).await;
            row["last_error"].is_object().then_some(row)
        })
        .await;
        assert_eq!(row["last_error"]["reason"], "rate_limited", "{value}");
        let (due, at) = (&row["next_due"], &row["last_error"]["at"]);
        let wait = (due.as_i64().unwrap() - at.as_i64().unwrap()) as f64 / 1e6;
        let first = *expected.end() > 10.0 || upstream.requests() == 1;
        assert!(!first || expected.contains(&wait), "{value}: {wait}");
    }
    // Those that may be asked again have been; the others have not.
    eventually("a second request", || async { (upstreams[7].requests() > 1).then_some(()) }).await;
    for upstream in &upstreams[..4] {
        assert_eq!(upstream.requests(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_flaps_loses_nothing_that_it_gave_and_repeats_nothing() {
    let mut upstream = BadUpstream::closed("BTC-USD").await;
    let terms = "every = \"100ms\"\ntimeout = \"400ms\"\nstale_after = \"1s\"";
    let server = server().feed(&feed("x", "BTC-USD", &upstream, terms)).start().await;
    let log = follow(&server).await;
    for round in 0..4 {
        upstream.open().await;
        let next = upstream.behave();
        // The first good answer counts.
        log.find("price.BTC-USD.x", 0, |event| event["data"]["price"] == next).await;
        // Every other time it dies by resets rather than at once.
        if round % 2 == 1 {
            upstream.misbehave(|_| vec![Do::Reset]);
        }
        let failed = last_error(&server, "x").await["last_error"]["at"].clone();
        if round % 2 == 0 {
            upstream.close().await;
        }
        eventually("a failure", || async {
            let error = &last_error(&server, "x").await["last_error"];
            (error["at"] != failed && error["reason"] == "connect").then_some(())
        })
        .await;
        upstream.close().await;
    }
    let events = log.of("price.BTC-USD.x");
    let prices = only_good("x", &events, &upstream);
    assert!(prices.is_sorted(), "{prices:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_given_up_in_time_and_leaves_no_connection() {
    let upstream = BadUpstream::start("BTC-USD").await;
    upstream.misbehave(|_| vec![Do::Hang]);
    let terms = "every = \"100ms\"\ntimeout = \"100ms\"";
    let server = server().feed(&feed("x", "BTC-USD", &upstream, terms)).start().await;
    eventually("three timeouts", || async {
        assert!(upstream.open_connections() <= 2, "{}", upstream.open_connections());
        (upstream.requests() > 3).then_some(())
    })
    .await;
    let row = last_error(&server, "x").await;
    assert_eq!(row["last_error"]["reason"], "timeout", "{row}");
    upstream.behave();
    eventually("a value", || async {
        (last_error(&server, "x").await["state"] == "live").then_some(())
    })
    .await;
    eventually("one connection", || async { (upstream.open_connections() == 1).then_some(()) })
        .await;
}

type Oddity = (&'static str, fn(&str, u64) -> Vec<Do>);

/// What is odd and still fine. The price is new each time, so that a client sees it.
const ODDITIES: [Oddity; 9] = [
    ("a row twice", |symbol, n| {
        let row = row(symbol, &price(n), now_ms());
        json_answer(format!("[{0},{0}]", &row[1..row.len() - 1]))
    }),
    ("another price at the same time", |symbol, n| {
        json_answer(row(symbol, &price(n), now_ms() / 60_000 * 60_000))
    }),
    ("a time of 0", |symbol, n| json_answer(row(symbol, &price(n), 0))),
    ("a time below 0", |symbol, n| json_answer(row(symbol, &price(n), -5))),
    ("no time", |symbol, n| json_answer(row(symbol, &price(n), "null"))),
    ("a byte order mark", |symbol, n| {
        json_answer(format!("\u{feff}{}", row(symbol, &price(n), now_ms())))
    }),
    ("no connection kept", |symbol, n| {
        let body = row(symbol, &price(n), now_ms());
        let head = "HTTP/1.0 200 OK\r\n\r\n";
        vec![Do::Say(format!("{head}{body}").into_bytes()), Do::Close]
    }),
    ("hints before the answer", |symbol, n| {
        let mut steps = vec![Do::Say(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec())];
        steps.extend(json_answer(row(symbol, &price(n), now_ms())));
        steps
    }),
    ("a reset of every kept connection", |symbol, n| match n % 2 {
        0 => vec![Do::Reset],
        _ => json_answer(row(symbol, &price(n), now_ms())),
    }),
];

fn price(n: u64) -> String {
    format!("\"100.{:05}\"", n % 100_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_odd_is_taken() {
    let mut builder = server();
    let mut upstreams = Vec::new();
    for (number, (_, script)) in ODDITIES.into_iter().enumerate() {
        let symbol: &'static str = format!("O{number}-USD").leak();
        let upstream = BadUpstream::start(symbol).await;
        upstream.misbehave(move |n| script(symbol, n));
        let terms = "every = \"100ms\"\nstale_after = \"2s\"";
        builder = builder.feed(&feed(&format!("o{number}"), symbol, &upstream, terms));
        upstreams.push(upstream);
    }
    let server = builder.start().await;
    let log = follow(&server).await;
    for (number, (name, _)) in ODDITIES.iter().enumerate() {
        let topic = format!("price.O{number}-USD.o{number}");
        let count = |log: &Log| log.of(&topic).iter().filter(|event| has_price(event)).count();
        eventually(name, || async { (count(&log) >= 8).then_some(()) }).await;
        let row = last_error(&server, &format!("o{number}")).await;
        assert_eq!((&row["state"], &row["last_error"]), (&json!("live"), &Value::Null), "{name}");
        let live = |event: &Value| !is_status(event) || event["state"] == "live";
        assert!(log.of(&topic).iter().all(live), "{name}");
    }
    assert!(server.metric("tickwire_quarantined_total", "").await.unwrap_or_default() == 0.0);
}
