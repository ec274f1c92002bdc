//! Answers that would fill the memory, sent to a process of its own so that it can be measured.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{
    cases::{encoded, gzip_bomb, raw},
    feed_at,
};
use crate::support::{BadUpstream, bad_upstream::Do, eventually, process::Process};

/// By how much memory may grow (R20 of what the server promises).
const GROWTH_MAX: u64 = 8 << 20;
const ABORTED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_takes_more_than_eight_mebibytes_or_ten_seconds() {
    let bomb = gzip_bomb("BTC-USD", 64);
    let small = || Do::Repeat(b"10\r\n                \r\n".repeat(1_000));
    let spaces = || Do::Repeat(vec![b' '; 64 << 10]);
    let answers: [(&str, Vec<Do>); 6] = [
        ("a gzip bomb", encoded("gzip", bomb)),
        ("a body without end", vec![raw("connection: close", ""), spaces()]),
        ("100 MiB, announced", vec![raw("content-length: 104857600", ""), spaces()]),
        ("a chunk without end", vec![raw("transfer-encoding: chunked", "fffffff\r\n"), spaces()]),
        ("small chunks", vec![raw("transfer-encoding: chunked", ""), small()]),
        ("a head without end", vec![Do::Say(b"HTTP/1.1 200 OK\r\n".to_vec()), spaces()]),
    ];
    let measured = answers.map(|(name, answer)| async move { (name, measure(name, answer).await) });
    for (name, (growth, time)) in join_all(measured).await {
        assert!(growth <= GROWTH_MAX, "{name}: {growth} bytes");
        assert!(time < ABORTED_WITHIN, "{name}: {time:?}");
    }
}

/// By how much a server grows that gets `answer` three times, and how long the first took.
async fn measure(name: &str, answer: Vec<Do>) -> (u64, Duration) {
    let upstream = BadUpstream::start("BTC-USD").await;
    let terms = "every = \"100ms\"\ntimeout = \"20s\"";
    let config = format!("[[feeds]]\n{}", feed_at("x", "BTC-USD", &upstream.url(), terms));
    let process = Process::serve(&config, &[]);
    eventually("good values", || async {
        let row = process.feed("x").await;
        (row["state"] == "live" && upstream.given().len() > 5).then_some(())
    })
    .await;
    let (before, requests) = (process.peak(), upstream.requests());
    upstream.misbehave(move |_| answer.clone());
    let began = Instant::now();
    eventually(name, || async {
        let row = process.feed("x").await;
        (row["last_error"]["reason"] == "bad_body").then_some(())
    })
    .await;
    let time = began.elapsed();
    eventually(name, || async { (upstream.requests() > requests + 3).then_some(()) }).await;
    (process.peak() - before, time)
}
