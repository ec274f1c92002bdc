//! The workloads W1 to W6 against a floor (nothing but the writes), a plain design (a task and a
//! broadcast receiver for each connection) and Tickwire, in one run, as ratios.
//!
//! `cargo bench --bench workloads` runs W1 to W6; `-- W1 W2` some; `-- growth` how the ratio to the
//! floor changes with connections and topics; `-- most` how many deliveries a second each server
//! comes to, and how late they are at 80 % of that; `-- idle` what updates cost that nobody wants;
//! `-- coalesce` what waiting buys and costs; `-- --rounds 5 --seconds 5` sets how often and how
//! long. Servers are processes of their own, so that their CPU time is theirs alone.
//!
//! Cargo builds the server of a benchmark with what the tests need of its dependencies, among them a
//! clock that can be stopped. `-- --server target/release/tickwire` measures the one that `cargo
//! build --release` has made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a benchmark that fails is meant to stop, and says what it found on its output"
)]

mod floor;
mod handshake;
mod plain;
mod servers;

use std::time::Duration;

use serde_json::Value;
use servers::{Kind, Server};
use tickwire::cli::{BenchArgs, bench};

/// Seconds before anything is measured.
const WARM_UP: u64 = 2;
/// The same where a million subscriptions are made in that time.
const LONG_WARM_UP: u64 = 6;
/// A server whose updates are later than this has fallen behind.
const BEHIND_MS: f64 = 50.0;

/// One workload.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    name: &'static str,
    what: &'static str,
    connections: usize,
    topics: usize,
    topics_per_connection: usize,
    rate: u32,
    payload_bytes: usize,
    stalled: usize,
    filters: usize,
    /// `delivery.coalesce` of Tickwire, in milliseconds.
    coalesce_ms: u32,
    /// `delivery.queue_updates` of Tickwire.
    queue_updates: u32,
}

/// Nothing unusual, to be changed where a workload is unusual.
const USUAL: Workload = Workload {
    name: "",
    what: "",
    connections: 1000,
    topics: 100,
    topics_per_connection: 10,
    rate: 2000,
    payload_bytes: 200,
    stalled: 0,
    filters: 0,
    coalesce_ms: 0,
    queue_updates: 256,
};

/// As many deliveries a second at every number of connections.
const CONNECTIONS: [Workload; 4] = [
    grown("100 connections", [100, 1, 1], 1000),
    grown("1,000 connections", [1000, 1, 1], 100),
    grown("3,000 connections", [3000, 1, 1], 33),
    grown("10,000 connections", [10_000, 1, 1], 10),
];
/// As many deliveries a second at every number of topics, each with 100 subscribers.
const TOPICS: [Workload; 4] = [
    grown("10 topics", [1000, 10, 1], 2000),
    grown("100 topics", [1000, 100, 10], 2000),
    grown("1,000 topics", [1000, 1000, 100], 2000),
    grown("10,000 topics", [1000, 10_000, 1000], 2000),
];
/// As many updates a second, to ever fewer subscribers.
const SUBSCRIBERS: [Workload; 4] = [
    grown("1,000 subscribers each", [1000, 10, 10], 2000),
    grown("100 subscribers each", [1000, 100, 10], 2000),
    grown("10 subscribers each", [1000, 1000, 10], 2000),
    grown("1 subscriber each", [1000, 10_000, 10], 2000),
];

/// `sizes` are connections, topics, and topics to a connection.
const fn grown(what: &'static str, sizes: [usize; 3], rate: u32) -> Workload {
    let [connections, topics, topics_per_connection] = sizes;
    Workload { name: "growth", what, connections, topics, topics_per_connection, rate, ..USUAL }
}

const WORKLOADS: [Workload; 6] = [
    Workload {
        name: "W1",
        what: "500 connections, 1 topic, 200 updates/s",
        connections: 500,
        topics: 1,
        topics_per_connection: 1,
        rate: 200,
        ..USUAL
    },
    Workload {
        name: "W2",
        what: "1,000 connections, 10 of 100 topics, 2,000 updates/s",
        connections: 1000,
        topics: 100,
        topics_per_connection: 10,
        rate: 2000,
        ..USUAL
    },
    Workload {
        name: "W3",
        what: "saturation: 200 connections, 1 topic, 20,000 updates/s offered",
        connections: 200,
        topics: 1,
        topics_per_connection: 1,
        rate: 20_000,
        // What the channel of the plain design holds.
        queue_updates: 4096,
        ..USUAL
    },
    Workload {
        name: "W4",
        what: "10,000 idle subscribed connections",
        connections: 10_000,
        topics: 1,
        topics_per_connection: 1,
        rate: 1,
        ..USUAL
    },
    Workload {
        name: "W5",
        what: "5 of 100 clients stop reading, 1 MB/s each",
        connections: 100,
        topics: 1,
        topics_per_connection: 1,
        rate: 1000,
        payload_bytes: 1000,
        stalled: 5,
        ..USUAL
    },
    Workload {
        name: "W6",
        what: "W2 with 100 distinct filters",
        connections: 1000,
        topics: 100,
        topics_per_connection: 10,
        rate: 2000,
        filters: 100,
        ..USUAL
    },
];

/// The figures of one run.
#[derive(Debug, Clone, Copy)]
struct Figures {
    cpu_us: f64,
    /// The part of the server's time that it spent in its own code, in per cent.
    user: f64,
    per_second: f64,
    p99_ms: f64,
    lost: f64,
    kib_per_connection: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("serve-floor") => return floor::serve(&servers::load(&args[1..])),
        Some("serve-plain") => return plain::serve(&servers::load(&args[1..])),
        _ => {}
    }
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, seconds) = (number("--rounds", 3), number("--seconds", 5));
    let some: Vec<_> = args.iter().filter(|arg| arg.starts_with('W')).collect();
    let asked = |what: &str| args.iter().any(|arg| arg == what);
    if asked("idle") {
        return idle(seconds as u64);
    }
    if asked("most") {
        return [Kind::Floor, Kind::Plain, Kind::Tickwire]
            .iter()
            .for_each(|kind| most(*kind, seconds as u64));
    }
    println!("medians of {rounds} interleaved rounds of {seconds} s; server CPU per update\n");
    println!(
        "| workload | server | µs/update | of floor | user % | updates/s | p99 ms | lost | KiB/conn |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    if asked("growth") {
        for workload in CONNECTIONS.iter().chain(&TOPICS).chain(&SUBSCRIBERS) {
            compare(workload, rounds, seconds as u64, &[Kind::Floor, Kind::Tickwire]);
        }
        return;
    }
    if asked("coalesce") {
        for coalesce_ms in [0, 1, 5, 10, 20] {
            for workload in &WORKLOADS[..2] {
                let workload = Workload { coalesce_ms, ..*workload };
                println!("| coalesce {coalesce_ms} ms | | | | | | | | |");
                compare(&workload, rounds, seconds as u64, &[Kind::Tickwire]);
            }
        }
        return;
    }
    for workload in WORKLOADS {
        if some.is_empty() || some.iter().any(|name| *name == workload.name) {
            let kinds: &[Kind] = match workload.name {
                // The others know no filters.
                "W6" => &[Kind::Tickwire],
                _ => &[Kind::Floor, Kind::Plain, Kind::Tickwire],
            };
            compare(&workload, rounds, seconds as u64, kinds);
        }
    }
}

/// The share of a core that 1,000 updates a second take which nobody has subscribed to.
fn idle(seconds: u64) {
    let workload = Workload { topics: 100, rate: 1000, ..USUAL };
    let server = Server::start(Kind::Tickwire, &workload);
    let wait = |seconds| std::thread::park_timeout(std::time::Duration::from_secs(seconds));
    wait(1);
    let cpu = || servers::cpu(server.pid()).iter().sum::<Duration>();
    let before = cpu();
    let started = std::time::Instant::now();
    wait(seconds);
    let share = (cpu() - before).as_secs_f64() / started.elapsed().as_secs_f64();
    println!("no subscribers, 1,000 updates/s: {:.2} % of a core", share * 100.0);
}

/// The most updates a second that a server passes on to 200 connections without loss and without
/// falling behind, and how late they are at 80 % of that.
fn most(kind: Kind, seconds: u64) {
    let at = |rate: u32| measure(&Workload { rate, ..WORKLOADS[2] }, kind, seconds);
    let (mut rate, mut reached) = (10_000, None);
    loop {
        let figures = at(rate);
        let offered = f64::from(rate) * WORKLOADS[2].connections as f64;
        let kept_up = figures.lost == 0.0
            && figures.per_second > 0.97 * offered
            && figures.p99_ms < BEHIND_MS;
        if !kept_up {
            let (name, lost) = (kind.name(), figures.lost);
            let (missed, p99) = (offered - figures.per_second, figures.p99_ms);
            println!(
                "{name}: {rate} updates/s are too many: {lost} lost, {missed:.0}/s late, p99 {p99:.1} ms"
            );
            break;
        }
        reached = Some((rate, figures));
        rate = rate * 6 / 5;
    }
    let Some((rate, figures)) = reached else {
        return println!("{}: less than {rate} updates/s", kind.name());
    };
    let calm = at(rate * 4 / 5);
    println!(
        "{}: {:.2} million deliveries/s at {:.2} µs, p99 {:.1} ms; at 80 % of that p99 {:.1} ms, {:.0} lost",
        kind.name(),
        figures.per_second / 1e6,
        figures.cpu_us,
        figures.p99_ms,
        calm.p99_ms,
        calm.lost,
    );
}

fn compare(workload: &Workload, rounds: usize, seconds: u64, kinds: &[Kind]) {
    let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); kinds.len()];
    for _ in 0..rounds {
        for (kind, runs) in kinds.iter().zip(&mut runs) {
            runs.push(measure(workload, *kind, seconds));
        }
    }
    println!("| **{}** {} | | | | | | | | |", workload.name, workload.what);
    let floor = median(&runs[0], |run| run.cpu_us);
    for (kind, runs) in kinds.iter().zip(&runs) {
        let cpu = median(runs, |run| run.cpu_us);
        println!(
            "| | {} | {:.2} | {:.2} | {:.0} | {:.0} | {:.2} | {:.0} | {:.1} |",
            kind.name(),
            cpu,
            cpu / floor,
            median(runs, |run| run.user),
            median(runs, |run| run.per_second),
            median(runs, |run| run.p99_ms),
            median(runs, |run| run.lost),
            median(runs, |run| run.kib_per_connection),
        );
    }
}

fn median(runs: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(workload: &Workload, kind: Kind, seconds: u64) -> Figures {
    let server = Server::start(kind, workload);
    let warm_up = if workload.topics_per_connection > 100 { LONG_WARM_UP } else { WARM_UP };
    let empty = server.resident_kib();
    let args = BenchArgs {
        url: server.url(),
        connections: workload.connections,
        topics: workload.topics,
        topics_per_connection: workload.topics_per_connection,
        mode: "every".into(),
        seconds,
        warm_up,
        server_pid: Some(server.pid()),
        stalled: workload.stalled,
        filters: workload.filters,
        json: true,
    };
    let mut out = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Read while the clients are there.
    let pid = server.pid();
    let observed = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_secs(warm_up));
        let before = servers::cpu(pid);
        std::thread::park_timeout(Duration::from_secs(seconds));
        let after = servers::cpu(pid);
        let [user, system] = [0, 1].map(|kind| (after[kind] - before[kind]).as_secs_f64());
        (servers::resident_kib(pid), 100.0 * user / (user + system))
    });
    runtime.block_on(bench::run(&args, &mut out)).expect("the load");
    let (resident, user) = observed.join().unwrap();
    let report: Value = serde_json::from_slice(&out).unwrap();
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    Figures {
        cpu_us: number("/server_cpu_us_per_update"),
        user,
        per_second: number("/updates_per_second"),
        p99_ms: number("/latency_us/p99") / 1000.0,
        lost: number("/lost"),
        kib_per_connection: (resident - empty) / workload.connections as f64,
    }
}
