//! `tickwire check --probe` against upstreams of every temper.

use std::{io::Write, net::TcpListener, process::Output};

use serde_json::Value;
use tokio::process::Command;

use crate::support::Upstream;

fn feed(name: &str, url: &str, symbols: &str) -> String {
    format!(
        "[[feeds]]\nname = \"{name}\"\nprovider = \"binance\"\nendpoint = \"ticker_price\"\n\
         base_url = \"{url}\"\nallow_private = true\nsymbols = [{symbols}]\n"
    )
}

async fn probe(config: &str, more: &[&str]) -> Output {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(config.as_bytes()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
    command.args(["check", "--probe", "--config"]).arg(file.path()).args(more);
    command.output().await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn every_feed_of_the_built_in_market_answers() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
    let output = command.args(["check", "--probe", "--json"]).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert!(report["asked"].as_u64().unwrap() > 5, "{report:#}");
    assert_eq!(report["asked"], report["answered"]);
    for feed in report["feeds"].as_array().unwrap() {
        assert_eq!(feed["problems"], serde_json::json!([]), "{feed:#}");
    }
}

#[tokio::test]
async fn each_kind_of_trouble_is_told_in_the_order_of_the_configuration() {
    let (good, refusing, late) =
        (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    good.price("BTCUSDT", "1.5");
    refusing.misbehave(403, &[], "");
    let price = r#"[{"symbol":"BTCUSDT","price":"1"}]"#;
    late.misbehave(200, &[("date", "Tue, 06 Jan 2026 08:00:00 GMT")], price);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = [
        feed("gone", &format!("http://{free}"), "\"BTC-USDT\""),
        feed("half", &good.url(), "\"BTC-USDT\", \"ETH-USDT\""),
        feed("closed", &refusing.url(), "\"BTC-USDT\""),
        feed("late", &late.url(), "\"BTC-USDT\""),
        "[[feeds]]\nname = \"load\"\nprovider = \"synthetic\"\n".to_owned(),
    ];
    let output = probe(&config.concat(), &[]).await;
    let out = text(&output);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    for (line, words) in [
        (1, ["gone", "refused", "-", "0 of 1"]),
        (2, ["half", "yes", "-", "1 of 2"]),
        (3, ["closed", "yes", "no", "0 of 1"]),
        (4, ["late", "yes", "-", "1 of 1"]),
        (5, ["load", "-", "-", "-"]),
    ] {
        let cells: Vec<_> =
            lines[line].split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
        assert_eq!(cells[..4], words, "{out}");
    }
    for problem in [
        "gone: connect: ",
        "closed: status 403",
        "late: its clock is ",
        "half: ETH-USDT is not in the answer",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(problem)), "{problem} in {out}");
    }
    assert_eq!(lines.last(), Some(&"2 of 4 feeds answer"), "{out}");
    assert_eq!(good.polls(), 1);
}

#[tokio::test]
async fn a_key_that_is_refused_with_status_200_is_told_in_the_table_and_in_json() {
    let (etherscan, tm) = (Upstream::start().await, Upstream::start().await);
    etherscan.misbehave(
        200,
        &[],
        r#"{"status":"0","message":"NOTOK","result":"Invalid API Key (#err2)|x"}"#,
    );
    tm.misbehave(200, &[], r#"{"success":false,"message":"Invalid API Key","data":[]}"#);
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "hunter2-hunter2").unwrap();
    let feed = |name: &str, provider: &str, url: &str, more: &str| {
        format!(
            "[[feeds]]\nname = \"{name}\"\nprovider = \"{provider}\"\nbase_url = \"{url}\"\n\
             allow_private = true\napi_key = {{ file = {:?} }}\n{more}\n",
            key.path()
        )
    };
    let config = [
        feed("gas", "etherscan", &etherscan.url(), ""),
        feed("tm", "token_metrics", &tm.url(), "endpoint = \"indices\""),
    ]
    .concat();
    let output = probe(&config, &[]).await;
    let out = text(&output);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let json = probe(&config, &["--json"]).await;
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    for (index, name) in ["gas", "tm"].into_iter().enumerate() {
        let row = out.lines().nth(index + 1).unwrap();
        assert_eq!(
            row.split_whitespace().take(3).collect::<Vec<_>>(),
            [name, "yes", "no"],
            "{out}"
        );
        let feed = &report["feeds"][index];
        assert_eq!((&feed["feed"], &feed["asked"]["authorised"]), (&name.into(), &false.into()));
        let problem = feed["problems"][0].as_str().unwrap();
        assert!(problem.contains("the key is refused"), "{problem}");
        assert!(out.contains(&format!("{name}: {problem}")), "{out}");
        assert!(!out.contains("hunter2"), "{out}");
    }
}

#[tokio::test]
async fn a_bad_configuration_asks_nobody_and_exits_with_78() {
    for config in [
        "[server]\nlistenn = 1\n",
        "[[feeds]]\nname = \"tm\"\nprovider = \"token_metrics\"\nsymbols = [\"BTC\"]\n\
         api_key = { env = \"TICKWIRE_TEST_NO_SUCH_KEY\" }\n",
        &feed("inside", "https://10.0.0.1", "\"BTC-USDT\"").replace("allow_private = true", ""),
    ] {
        let output = probe(config, &["--json"]).await;
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(78), ""));
        assert!(!output.stderr.is_empty());
    }
}

#[tokio::test]
async fn the_sandbox_of_a_server_that_runs_is_not_in_the_way() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!(
        "[sandbox]\nlisten = \"{address}\"\n{}",
        feed("simulated", "sandbox:/binance", "\"BTC-USDT\"")
    );
    let output = probe(&config, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output).ends_with("1 of 1 feed answers\n"), "{output:?}");
}
