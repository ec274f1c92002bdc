//! Beginning and end: readiness, drain, exit codes, configuration errors.

use std::{io::Write, process::Command};

use serde_json::json;

use crate::support::{Client, Ended, Process, Upstream, eventually, server};

#[tokio::test]
async fn readiness_waits_for_the_required_feed_and_says_why() {
    let upstream = Upstream::start().await;
    upstream.misbehave(503, &[], "");
    let url = upstream.url();
    let server = server()
        .feed(&format!(
            "name = \"x\"\nprovider = \"binance\"\nendpoint = \"ticker_price\"\nbase_url = \"{url}\"\n\
             allow_private = true\nsymbols = [\"BTC-USDT\"]\nevery = \"100ms\"\nrequired = true"
        ))
        .start()
        .await;
    upstream.polled(1).await;
    let (status, body) = server.get("/readyz").await;
    assert_eq!(status, 503);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["ready"], &body["reasons"][0]["feed"]), (&json!(false), &json!("x")));
    upstream.behave();
    upstream.price("BTCUSDT", "1.5");
    eventually("readiness", || async { (server.get("/readyz").await.0 == 200).then_some(()) })
        .await;
    assert_eq!(server.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn a_drain_tells_clients_flushes_and_closes_with_3001() {
    let server = server().synthetic(1, 100).start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = server.client().await;
        client.subscribe(&["bench.0"], json!({"mode": "every"})).await;
        clients.push(client);
    }
    let stopping = tokio::spawn(server.stop());
    for client in &mut clients {
        let notice = client.event_of("notice").await;
        assert_eq!(notice["code"], "draining");
        let after = notice["reconnect_after_ms"].as_u64().unwrap();
        assert!((500..5000).contains(&after));
        let expected = Ended::Closed { code: 3001, reason: "draining".into() };
        assert_eq!(client.ended().await, expected);
    }
    assert!(stopping.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_arguments_the_sandbox_market_is_served_and_sigterm_ends_it_with_0() {
    let mut process = Process::start(&["--listen", "127.0.0.1:0"], &[]);
    let mut client = Client::connect(process.address()).await;
    client.event_of("welcome").await;
    let topics = ["price.BTC-USD", "signal.BTC-USD.tm_trading_signal", "onchain.bitcoin.fees"];
    client.subscribe(&topics, json!({})).await;
    let mut missing = topics.to_vec();
    while !missing.is_empty() {
        let event = client.event().await;
        if matches!(event["type"].as_str(), Some("snapshot" | "update")) {
            missing.retain(|topic| event["topic"] != *topic);
        }
    }
    process.terminate();
    let expected = Ended::Closed { code: 3001, reason: "draining".into() };
    assert_eq!(client.ended().await, expected);
    assert_eq!(process.exit_code(), 0);
}

#[test]
fn a_bad_configuration_names_key_file_and_line_and_exits_with_78() {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    writeln!(file, "[server]\nlistenn = \"127.0.0.1:1\"").unwrap();
    let path = file.path().to_str().unwrap();
    for args in [vec!["check", "--config", path], vec!["--config", path]] {
        let output = Command::new(env!("CARGO_BIN_EXE_tickwire")).args(&args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains("server.listenn") && text.contains(&format!("{path}:2")), "{text}");
    }
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let code = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tickwire")).args(args).output().unwrap();
        output.status.code().unwrap()
    };
    assert_eq!(code(&["check"]), 0);
    assert_eq!(code(&["--no-such-flag"]), 2);
    assert_eq!(code(&["--listen", "0.0.0.0:0"]), 78);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_eq!(code(&["--listen", &address]), 1);
}
