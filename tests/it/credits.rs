//! Monthly credits over restarts: what is spent stays spent, however the process ended.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::Value;

use crate::support::{Builder, Process, Server, Upstream, eventually, server};

/// A server whose one feed asks `upstream` ten times a second while the budget lasts.
fn spender(upstream: &Upstream, dir: &Path, budget: &str) -> Builder {
    let url = upstream.url();
    server().with(&format!("[upstream]\nstate_dir = {dir:?}")).feed(&format!(
        "name = \"x\"\nprovider = \"json\"\nurl = \"{url}\"\nallow_private = true\n\
         every = \"100ms\"\nbudget = {{ {budget} }}\n\
         topics = [{{ topic = \"desk.x\", fields = {{ price = \"$[0].price\" }} }}]"
    ))
}

/// The feed, once `probe` holds for it.
async fn feed(server: &Server, what: &str, probe: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || async {
        let feed = server.json("/v1/feeds").await["feeds"][0].clone();
        probe(&feed).then_some(feed)
    })
    .await
}

fn left(feed: &Value) -> u64 {
    feed["budget"]["per_month_remaining"].as_u64().unwrap()
}

fn spent(feed: &Value) -> bool {
    feed["last_error"]["reason"] == "budget"
}

#[tokio::test]
async fn what_is_spent_of_a_month_stays_spent_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    // One request that costs 3, and then the upstream wants to be left alone.
    upstream.misbehave(429, &[("retry-after", "3600")], "");
    let first = "per_minute = 1000, weight = 3, per_month = 5";
    let server = spender(&upstream, dir.path(), first).start().await;
    upstream.polled(1).await;
    feed(&server, "the first request", |feed| left(feed) == 2).await;
    assert!(server.stop().await);
    assert_eq!(upstream.polls(), 1);

    upstream.behave();
    upstream.price("BTCUSDT", "1.5");
    let then = "per_minute = 1000, per_month = 5";
    for _ in 0..2 {
        let server = spender(&upstream, dir.path(), then).start().await;
        assert!(left(&server.json("/v1/feeds").await["feeds"][0]) <= 2);
        let feed = feed(&server, "the end of the month", spent).await;
        assert_eq!(
            (left(&feed), &feed["last_error"]["message"]),
            (0, &"the month's budget is spent".into())
        );
        // The next request comes when the next month does; the second start makes none.
        assert!(feed["next_due"].as_i64() > feed["last_error"]["at"].as_i64());
        assert!(server.stop().await);
        assert_eq!(upstream.polls(), 3);
    }
}

#[tokio::test]
async fn credits_that_cannot_be_written_are_not_spent_and_the_feed_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "1.5");
    let budget = "per_minute = 60000, per_month = 4000";
    let server = spender(&upstream, dir.path(), budget).start().await;
    upstream.polled(1).await;
    // A block of 40 is on disk: the rest of it is spent, and no more.
    fs::create_dir(dir.path().join("credits.json.new")).unwrap();
    let feed = feed(&server, "the end of the block", spent).await;
    let message = feed["last_error"]["message"].as_str().unwrap();
    assert!(message.contains("credits.json") && message.contains("cannot be written"), "{message}");
    assert_eq!((upstream.polls(), left(&feed)), (40, 3_960));
    fs::remove_dir(dir.path().join("credits.json.new")).unwrap();
    upstream.polled(1).await;
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_second_server_on_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let budget = "per_minute = 1000, per_month = 5";
    let first = spender(&upstream, dir.path(), budget).start().await;
    let error = spender(&upstream, dir.path(), budget).try_start().await.err().unwrap();
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(first.stop().await);
    assert!(spender(&upstream, dir.path(), budget).start().await.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_never_let_more_be_spent_and_cost_at_most_a_block_each() {
    const LIMIT: u64 = 40;
    const KILLS: u64 = 4;
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "1.5");
    let budget = format!("per_minute = 1000, per_month = {LIMIT}");
    let file = spender(&upstream, dir.path(), &budget).file();
    let args = ["--config", file.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    for _ in 0..KILLS {
        let process = Process::start(&args, &[]);
        upstream.polled(2).await;
        process.kill();
    }
    let mut process = Process::start(&args, &[]);
    let address = process.address();
    eventually("the end of the month", || feed_is_spent(address)).await;
    let polls = upstream.polls();
    // A block is one unit here.
    assert!((LIMIT - KILLS..=LIMIT).contains(&polls), "{polls}");
    process.terminate();
    assert_eq!(process.exit_code(), 0);
    assert_eq!(upstream.polls(), polls);
}

async fn feed_is_spent(address: SocketAddr) -> Option<()> {
    let text = reqwest::get(format!("http://{address}/v1/feeds")).await.unwrap().bytes().await;
    let feeds: Value = serde_json::from_slice(&text.unwrap()).unwrap();
    spent(&feeds["feeds"][0]).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_count_ends_the_start_with_78_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credits.json");
    fs::write(&path, "{\"version\":1,\"budg").unwrap();
    let upstream = Upstream::start().await;
    let file = spender(&upstream, dir.path(), "per_minute = 1000, per_month = 5").file();
    let config = file.path().to_str().unwrap();
    let mut process = Process::start(&["--config", config, "--listen", "127.0.0.1:0"], &[]);
    assert_eq!(process.exit_code(), 78);
    let text = process.complaint();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("remove it"), "{text}");
    assert_eq!(upstream.polls(), 0);
}
