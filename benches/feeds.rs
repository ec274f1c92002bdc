//! What 1,000 feeds cost that are polled once a second: the server on one core, against the
//! simulated APIs in a process of their own.
//!
//! `cargo bench --bench feeds`; `-- --feeds 100 --seconds 10` for other loads. The time from a whole
//! answer to its values in the hub is the server's own `tickwire_upstream_publish_seconds`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark that fails is meant to stop, and says what it found on its output"
)]

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Polls go out evenly over a second; after this the first have all been made.
const WARM_UP: Duration = Duration::from_secs(4);

/// One process of the binary, and what it said where it listens.
struct Process {
    child: Child,
    address: String,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (feeds, seconds) = (number("--feeds", 1000), number("--seconds", 20));
    let binary = env!("CARGO_BIN_EXE_tickwire");
    // Two, since one takes no more than 1,024 connections.
    let apis = [(); 2].map(|()| Process::start(Command::new(binary).arg("sandbox"), "http://"));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config(feeds, &apis).as_bytes()).unwrap();
    let mut command = Command::new("taskset");
    command.args(["-c", "0", binary, "--listen", "127.0.0.1:0", "--config"]).arg(file.path());
    let server = Process::start(&mut command, "ws://");
    thread::sleep(WARM_UP);
    let before = (server.cpu(), server.scrape());
    let started = Instant::now();
    thread::sleep(Duration::from_secs(seconds as u64));
    let (cpu, after) = (server.cpu() - before.0, server.scrape());
    let elapsed = started.elapsed().as_secs_f64();
    let made = |outcome: &str| {
        sum(&after, "requests_total", outcome) - sum(&before.1, "requests_total", outcome)
    };
    let [ok, same] = ["ok", "not_modified"].map(|outcome| made(&format!("outcome=\"{outcome}\"")));
    let answered = ok + same;
    println!("{feeds} feeds each second, the server on one core, {seconds} s");
    let (polls, news) = (answered / elapsed, ok / elapsed);
    println!("polls answered: {polls:.0}/s, {news:.0} of them with something new");
    println!(
        "CPU: {:.1} % of a core, {:.0} µs a poll",
        100.0 * cpu / elapsed,
        1e6 * cpu / answered
    );
    for outcome in
        ["timeout", "connect", "rate_limited", "http_4xx", "http_5xx", "bad_body", "no_data"]
    {
        let count = made(&format!("outcome=\"{outcome}\""));
        if count > 0.0 {
            println!("  {outcome}: {:.1}/s", count / elapsed);
        }
    }
    let counts = |text: &str| -> Vec<(String, f64)> {
        let lines = text
            .lines()
            .filter(|line| line.starts_with("tickwire_upstream_publish_seconds_bucket"));
        lines.map(|line| (line.split('"').nth(1).unwrap().to_owned(), value(line))).collect()
    };
    let (old, new) = (counts(&before.1), counts(&after));
    let all = new.last().unwrap().1 - old.last().unwrap().1;
    for percent in [50.0, 99.0, 99.9] {
        let reached =
            old.iter().zip(&new).find(|(old, new)| new.1 - old.1 >= all * percent / 100.0);
        println!("answer to hub: p{percent} at most {} s", reached.unwrap().1.0);
    }
}

/// Feeds of three providers in turn, each of one of a few markets.
fn config(feeds: usize, apis: &[Process; 2]) -> String {
    let mut text = "[limits]\nrequests_per_s = 1000\n".to_owned();
    for number in 0..feeds {
        let (base, id) =
            [("BTC", "bitcoin"), ("ETH", "ethereum"), ("SOL", "solana")][number / 3 % 3];
        let (provider, rest) = match number % 3 {
            0 => ("binance", format!("symbols = [\"{base}-USDT\"]")),
            1 => ("kraken", format!("symbols = [\"{base}-USD\"]")),
            _ => {
                let symbol = format!("\"{base}-USD\"");
                ("coingecko", format!("symbols = [{symbol}]\nids = {{ {symbol} = \"{id}\" }}"))
            }
        };
        let apis = &apis[number % 2].address;
        writeln!(
            text,
            "[[feeds]]\nname = \"f{number}\"\nprovider = \"{provider}\"\nevery = \"1s\"\n\
             base_url = \"http://{apis}/{provider}\"\nallow_private = true\n{rest}"
        )
        .unwrap();
    }
    text
}

fn value(line: &str) -> f64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The sum of a counter over all feeds, of those lines that have `label`.
fn sum(text: &str, name: &str, label: &str) -> f64 {
    let name = format!("tickwire_upstream_{name}{{");
    let lines = text.lines().filter(|line| line.starts_with(&name) && line.contains(label));
    lines.map(value).sum()
}

impl Process {
    fn start(command: &mut Command, scheme: &str) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(at) = line.find(scheme) {
                break line[at + scheme.len()..].split('/').next().unwrap().to_owned();
            }
        };
        // Its output must not fill up.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Seconds of CPU time.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which is in brackets: user and system time are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    }

    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = &self.address;
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
