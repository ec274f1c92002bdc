//! What is read from history when a client comes back, at the pace of its socket: each way to be
//! delivered keeps its account exact, without a hole and without a double.

use serde_json::{Value, json};

use crate::support::{Client, Server, server};

const TOPIC: &str = "bench.0";
const MISSED: u64 = 3000;

/// A server whose history holds more than is missed.
async fn market(delivery: &str) -> Server {
    let server = server()
        .with(&format!("[hub]\nhistory = 20000\n[delivery]\n{delivery}"))
        .synthetic(1, 2000)
        .start()
        .await;
    server.metric_reaches("tickwire_published_total", "other", MISSED as f64 + 500.0).await;
    server
}

/// Comes back from `MISSED` updates ago, and returns the last number that it had then.
async fn come_back(client: &mut Client, options: Value) -> u64 {
    let result = client.result("topics", json!({"pattern": TOPIC})).await;
    let (epoch, head) = (&result["topics"][0]["epoch"], result["topics"][0]["seq"].as_u64());
    let had = head.unwrap() - MISSED;
    let mut all = json!({"mode": "every", "status": false,
        "resume": {"epoch": epoch, "seq": {TOPIC: had}}});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let rows = client.subscribe(&[TOPIC], all).await;
    assert_eq!(rows[0]["recovered"], true, "{rows:?}");
    had
}

/// Reads on from `next` until `last` is passed: every number is an update or in one gap. Returns
/// the updates.
async fn without_a_hole(client: &mut Client, mut next: u64, last: u64) -> Vec<Value> {
    let mut updates = Vec::new();
    while next <= last {
        let event = client.event().await;
        match event["type"].as_str().unwrap() {
            "update" => {
                assert_eq!(event["seq"], next);
                next += 1;
                updates.push(event);
            }
            "gap" => {
                assert_eq!(
                    (&event["from"], &event["reason"]),
                    (&json!(next), &json!("slow_consumer"))
                );
                next = event["to"].as_u64().unwrap() + 1;
            }
            other => panic!("{other}"),
        }
    }
    updates
}

fn part(ledger: &Value, name: &str) -> u64 {
    ledger[name].as_u64().unwrap()
}

fn assert_exact(ledger: &Value) {
    let parts = ["delivered", "filtered", "conflated", "dropped", "queued"];
    let sum = parts.into_iter().map(|name| part(ledger, name)).sum::<u64>();
    assert_eq!(part(ledger, "published"), sum, "{ledger}");
}

#[tokio::test]
async fn a_replay_is_not_bounded_by_the_bytes_that_a_queue_may_hold() {
    // Sixty updates or so, where three thousand are missed.
    let server = market("queue_bytes = \"16KiB\"").await;
    let mut client = server.client().await;
    let had = come_back(&mut client, json!({})).await;
    let updates = without_a_hole(&mut client, had + 1, had + MISSED).await;
    // What was missed waits in history and not in the queue: none of it is lost.
    assert_eq!(updates.len() as u64, MISSED);
    without_a_hole(&mut client, had + MISSED + 1, had + 2 * MISSED).await;
    let ledger = client.ledger(TOPIC).await;
    assert_exact(&ledger);
    assert!(part(&ledger, "delivered") >= MISSED, "{ledger}");
    assert_eq!((part(&ledger, "filtered"), part(&ledger, "conflated")), (0, 0));
}

#[tokio::test]
async fn a_replay_of_some_fields_has_no_hole_and_no_others() {
    let server = market("").await;
    let mut client = server.client().await;
    let had = come_back(&mut client, json!({"fields": ["n"]})).await;
    let updates = without_a_hole(&mut client, had + 1, had + 2 * MISSED).await;
    for update in &updates {
        let data = update["data"].as_object().unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), ["n"], "{update}");
    }
    let ledger = client.ledger(TOPIC).await;
    assert_exact(&ledger);
    assert_eq!(part(&ledger, "filtered") + part(&ledger, "conflated"), 0, "{ledger}");
}

#[tokio::test]
async fn a_filter_that_fails_during_a_replay_is_told_once_and_all_of_it_is_counted() {
    let server = market("queue_updates = 100000\nqueue_bytes = \"64MiB\"").await;
    let mut client = server.client().await;
    // Every tenth is let through; of the others each fails.
    let filter = "data.n % 10 == 0 || 1 / (data.n - data.n) > 0";
    let had = come_back(&mut client, json!({"filter": filter})).await;
    let (mut notices, mut last) = (0, None);
    while last.is_none_or(|last| last < had + 2 * MISSED) {
        let event = client.event().await;
        match event["type"].as_str().unwrap() {
            "notice" => {
                assert_eq!(
                    (&event["code"], &event["topic"]),
                    (&json!("filter_error"), &json!(TOPIC))
                );
                notices += 1;
            }
            "update" => {
                let seq = event["seq"].as_u64().unwrap();
                // Each tenth from the first on, and none twice.
                assert_eq!(seq, last.map_or(seq, |last| last + 10));
                assert!(last.is_some() || seq <= had + 10, "{seq} is the first after {had}");
                assert_eq!(event["data"]["n"].as_u64().unwrap() % 10, 0);
                last = Some(seq);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(notices, 1);
    let ledger = client.ledger(TOPIC).await;
    assert_exact(&ledger);
    assert_eq!(part(&ledger, "dropped") + part(&ledger, "conflated"), 0, "{ledger}");
    let through = part(&ledger, "delivered") + part(&ledger, "queued");
    let all = part(&ledger, "published");
    assert!((through * 10).abs_diff(all) < 20, "{ledger}");
}
