//! Documents that stay true.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;

use tickwire::documents::Document;

use crate::support::server;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[tokio::test]
async fn every_metric_stands_in_the_readme_and_every_one_there_exists() {
    let server = server()
        .feed(
            "name = \"mempool\"\nprovider = \"mempool\"\nbase_url = \"sandbox:/mempool\"\n\
             every = \"200ms\"\nbudget = { per_minute = 1000 }",
        )
        .feed(
            "name = \"kraken\"\nprovider = \"kraken\"\nbase_url = \"sandbox:/kraken\"\n\
             transport = \"ws\"\nsymbols = [\"BTC-USD\"]",
        )
        .synthetic(1, 100)
        .start()
        .await;
    let mut client = server.client().await;
    client.subscribe(&[">"], json!({})).await;
    client.event_of("update").await;
    server.metric_reaches("tickwire_upstream_requests_total", "ok", 1.0).await;
    server.metric_reaches("tickwire_topics", "live", 1.0).await;
    let (_, text) = server.get("/metrics").await;
    let served: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let documented: BTreeSet<_> = read("README.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `tickwire_"))
        .map(|rest| format!("tickwire_{}", rest.split(['`', '{']).next().unwrap()))
        .collect();
    assert_eq!(served, documented);
}

#[tokio::test]
async fn every_documented_path_answers_as_documented() {
    let server = server().synthetic(1, 100).start().await;
    server.metric_reaches("tickwire_topics", "live", 1.0).await;
    let document = server.json("/openapi.json").await;
    assert_eq!(document, Document::OpenApi.value());
    let paths = document["paths"].as_object().unwrap();
    for path in paths.iter().filter(|(_, path)| path.get("get").is_some()).map(|(path, _)| path) {
        // The answer is held against the document by `get` itself; without a handshake or topics
        // the two that have no end refuse.
        let (status, _) = server.get(&path.replace("{topic}", "bench.0")).await;
        let endless = matches!(path.as_str(), "/v1/ws" | "/v1/stream" | "/v1/snapshot");
        assert_eq!(status == 200, !endless, "{path} answers {status}");
    }
    let (status, _) = server.get("/v1/snapshot?topics=bench.0,nope").await;
    assert_eq!(status, 200);
    assert_eq!(server.json("/asyncapi.json").await, Document::AsyncApi.value());
    assert_eq!(server.json("/schemas/protocol.json").await, Document::Protocol.value());
    assert_eq!(server.json("/schemas/config.json").await, Document::Config.value());
}

#[test]
fn the_command_prints_what_is_served() {
    for (name, document) in [("openapi", Document::OpenApi), ("config", Document::Config)] {
        let printed = std::process::Command::new(env!("CARGO_BIN_EXE_tickwire"))
            .args(["schema", name])
            .output()
            .unwrap();
        assert!(printed.status.success());
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), document.text());
    }
}

#[test]
fn the_architecture_names_every_module() {
    let (map, architecture) = (read("src/lib.rs"), read("ARCHITECTURE.md"));
    for module in map.lines().filter_map(|line| line.strip_prefix("pub mod ")) {
        let module = module.trim_end_matches(';');
        assert!(architecture.contains(&format!("`{module}`")), "{module}");
    }
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let first_screen: String = read("README.md").lines().take(40).collect::<Vec<_>>().join("\n");
    for command in ["cargo run --release", "cargo test", "http://127.0.0.1:8080"] {
        assert!(first_screen.contains(command), "{command}");
    }
}
