//! Instructions for one turn of each hot path, counted by callgrind. Times of a noisy machine move by
//! a half; these repeat within a fiftieth, so that a change of a few per cent can be seen.
//!
//! `cargo bench --bench instructions` counts all, `-- filter publish` those whose names have one of
//! these words. Each path is run twice in a process of its own, and the fewer turns are subtracted
//! from the more, so that what happens once is not in it. Threads of a shard are counted with the
//! rest; the kernel is not. Needs `valgrind`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark that cannot be set up is meant to panic, and says what it found"
)]

mod rig;

use std::{
    env,
    hint::black_box,
    process::{Command, Stdio},
};

use rig::{MINUTE, PLAIN, Rig};
use tickwire::{
    delivery::Filters,
    hub::{self, Hub},
    market::{Pattern, Source},
    protocol::{
        command,
        encoding::{Encoding, Format},
        event,
        frame::Opcode,
    },
    telemetry::Telemetry,
    units::now_us,
};

const FIVE_TERMS: &str = "data.price > 60000 && data.bid < 70000 && source == \"bench\" && \
                          data.sources >= 2 && topic.startsWith(\"price.\")";
const REQUEST: &str = r#"{"id":7,"method":"subscribe","params":{"topics":["price.BTC-USD","price.ETH-USD"],"mode":"latest"}}"#;
const JSON: Format = Format { encoding: Encoding::Json, deflate: None };
const MSGPACK: Format = Format { encoding: Encoding::MessagePack, deflate: None };
/// More than what `hub.history` keeps of a topic, so that every update counted also forgets one.
const FEWER: u64 = 1100;
const SUBSCRIBERS: usize = 100;
const BURST: u64 = 64;

/// A path: its name, what it does a number of times, how many turns are counted, and how many units
/// a turn has.
struct Path {
    name: &'static str,
    run: fn(u64),
    turns: u64,
    units: u64,
}

const fn path(name: &'static str, run: fn(u64), turns: u64, units: u64) -> Path {
    Path { name, run, turns, units }
}

const PATHS: [Path; 13] = [
    path("publish a changed value, nobody interested", |n| publish(n, false), 4000, 1),
    path("publish a changed value to one outlet", |n| publish(n, true), 4000, 1),
    path("one update to 100 subscribers, each", |n| fan_out(n, PLAIN, JSON), 400, 100),
    path("the same with 2 of 5 fields", |n| fan_out(n, &with_fields(), JSON), 400, 100),
    path("the same as MessagePack", |n| fan_out(n, PLAIN, MSGPACK), 400, 100),
    path("burst of 64 to 100 subscribers, each", bursts, 20, 100 * BURST),
    path("an answer through the outbox", answer, 4000, 1),
    path("filter of one term", |n| filter(n, "data.price > 60000"), 4000, 1),
    path("filter of five terms", |n| filter(n, FIVE_TERMS), 4000, 1),
    path("frame of an update, JSON", |n| encode(n, JSON), 4000, 1),
    path("frame of an update, MessagePack", |n| encode(n, MSGPACK), 4000, 1),
    path("pattern match, price.*.binance", matches, 40_000, 1),
    path("read a request to subscribe", parse, 4000, 1),
];

fn publish(turns: u64, interested: bool) {
    let hub = Hub::new(hub::Config::default(), 1, "bench".into(), &Telemetry::new().unwrap());
    let (ticks, source) = ([rig::tick("64321.50"), rig::tick("64321.51")], Source::from("bench"));
    let slot = hub.declare(&ticks[0].topic);
    let receiver = hub.open(0);
    if !interested {
        slot.leave(0);
    }
    for (_, tick) in (0..turns).zip(ticks.iter().cycle()) {
        hub.publish_to(&slot, tick, &source, now_us(), MINUTE);
    }
    drop(receiver);
}

fn with_fields() -> String {
    PLAIN.replace(r#""mode":"every""#, r#""mode":"every","fields":["price","bid"]"#)
}

fn fan_out(turns: u64, asked: &str, format: Format) {
    let rig = Rig::new(SUBSCRIBERS, asked, format);
    (0..turns).for_each(|_| rig.deliver(1));
}

fn bursts(turns: u64) {
    let rig = Rig::new(SUBSCRIBERS, PLAIN, JSON);
    (0..turns).for_each(|_| rig.deliver(BURST));
}

fn answer(turns: u64) {
    let rig = Rig::new(1, PLAIN, JSON);
    let answer = JSON.carry(Opcode::Text, br#"{"id":7,"result":{"pong":true}}"#);
    (0..turns).for_each(|_| rig.answer(&answer));
}

fn filter(turns: u64, text: &str) {
    let update = rig::update(&rig::data("64321.50").with("sources", 3));
    let filter = Filters::new().compile(text).unwrap();
    for _ in 0..turns {
        assert!(filter.evaluate(black_box(&update)).passes());
    }
}

fn encode(turns: u64, format: Format) {
    let update = rig::update(&rig::data("64321.50"));
    for _ in 0..turns {
        black_box(format.frame(|out| event::update(out, black_box(&update))));
    }
}

fn matches(turns: u64) {
    let pattern = Pattern::parse("price.*.binance").unwrap();
    for _ in 0..turns {
        assert!(pattern.matches(black_box("price.BTC-USD.binance")));
    }
}

fn parse(turns: u64) {
    for _ in 0..turns {
        assert!(command::parse(black_box(REQUEST)).is_ok());
    }
}

fn main() {
    let arguments: Vec<String> =
        env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, index, turns] = &arguments[..]
        && flag == "--run"
    {
        // The first makes the exporter's clock calibrate itself, for as long as that takes.
        drop(Telemetry::new().unwrap());
        return counted(index.parse().unwrap(), turns.parse().unwrap());
    }
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return println!("valgrind is not installed: nothing is counted");
    }
    println!("| path | instructions |\n|---|---|");
    for (index, path) in PATHS.iter().enumerate() {
        if arguments.is_empty() || arguments.iter().any(|word| path.name.contains(&**word)) {
            let fewer = if path.turns < FEWER { FEWER.min(path.turns * 3) } else { FEWER };
            let counted = count(index, fewer + path.turns) - count(index, fewer);
            println!("| {} | {} |", path.name, thousands(counted / (path.turns * path.units)));
        }
    }
}

/// Its name is known to callgrind, which begins to count where this does.
#[inline(never)]
fn counted(index: usize, turns: u64) {
    (PATHS[index].run)(turns);
}

/// Instructions of a process that runs a path.
fn count(index: usize, turns: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--fair-sched=yes"])
        .arg("--zero-before=instructions::counted*")
        .arg(env::current_exe().unwrap())
        .args(["--run", &index.to_string(), &turns.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let Some((_, collected)) = collected else { panic!("callgrind counted nothing: {said}") };
    collected.trim().parse().unwrap()
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
