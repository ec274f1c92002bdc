//! Documents that stay true.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;

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
