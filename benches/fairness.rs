//! What a hot topic costs those who have nothing to do with it: a ping, a new connection and an
//! update of another topic, each timed without and with 4,500 subscribers of one topic.
//!
//! `cargo bench --bench fairness`; `-- --subscribers 10000 --rate 5 --seconds 5` for other loads. The
//! server is a process of its own, and so is the load generator, which comes last where there are
//! not enough cores for both. A second server that has nothing to do is pinged and connected to as
//! well: what that takes under load is the wait for a core, and not the work of a server.

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
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tickwire::cli::{BenchArgs, bench};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// No divisors of the time between two updates of the hot topic, which is 50 ms at the mean: every
/// moment of a delivery is met.
const PING_EVERY: Duration = Duration::from_millis(19);
const CONNECT_EVERY: Duration = Duration::from_millis(47);
/// By how much the load should delay no ping and no new connection more than at p99.
const GOAL: Duration = Duration::from_millis(5);

/// The feed `hot` makes something less than half of the updates of `bench.0`; `both` makes the rest,
/// and as many of `bench.1`, which so come at every moment of a delivery of `hot`.
fn config(rate: usize) -> String {
    let hot = rate * 9 / 20;
    format!(
        "[limits]\nrequests_per_s = 1000\n\
         [[feeds]]\nname = \"hot\"\nprovider = \"synthetic\"\ntopics = 1\nrate = {hot}\n\
         [[feeds]]\nname = \"both\"\nprovider = \"synthetic\"\ntopics = 2\nrate = {}\n",
        2 * (rate - hot)
    )
}

struct Server {
    child: Child,
    address: String,
    // The configuration must live as long as the process reads it.
    _config: tempfile::NamedTempFile,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, address, connections, seconds, pid] = &args[..]
        && role == "load"
    {
        let numbers = [connections, seconds, pid].map(|text| text.parse().unwrap());
        return println!("{}", load(address, numbers));
    }
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (subscribers, seconds) = (number("--subscribers", 4500), number("--seconds", 20) as u64);
    let rate = number("--rate", 20);
    let (server, beside) = (Server::start(rate), Server::start(rate));
    let measure = || measure(&server.address, &beside.address, Duration::from_secs(seconds));
    println!("{subscribers} subscribers of one topic at {rate} updates/s, {seconds} s each\n");
    println!("| what | subscribers | count | p50 ms | p99 ms | max ms |");
    println!("|---|---|---|---|---|---|");
    for (what, times) in &measure() {
        row(what, 0, times);
    }
    // They stay until all is measured.
    let numbers = [subscribers as u64, seconds + 4, server.child.id().into()];
    let load = Command::new("nice")
        .args(["-n", "19"])
        .arg(std::env::current_exe().unwrap())
        .args(["load", &server.address])
        .args(numbers.map(|number| number.to_string()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    server.wait_for_subscriptions(subscribers);
    let busy = measure();
    for (what, times) in &busy {
        row(what, subscribers, times);
    }
    let report = load.wait_with_output().unwrap().stdout;
    println!("\nthe load: {}", String::from_utf8(report).unwrap().trim());
    for ((what, times), (_, beside)) in busy[..2].iter().zip(&busy[3..]) {
        let delay = quantile(times, 99).saturating_sub(quantile(beside, 99));
        let verdict = if delay <= GOAL { "within" } else { "beyond" };
        let (delay, goal) = (delay.as_secs_f64() * 1000.0, GOAL.as_millis());
        println!(
            "{what}: p99 is {delay:.2} ms above that of the server beside, {verdict} {goal} ms"
        );
    }
}

/// What the subscribers got, in short.
fn load(address: &str, [connections, seconds, pid]: [u64; 3]) -> String {
    let args = BenchArgs {
        url: format!("ws://{address}/v1/ws"),
        connections: usize::try_from(connections).unwrap(),
        topics: 1,
        topics_per_connection: 1,
        mode: "every".into(),
        seconds,
        warm_up: 2,
        server_pid: Some(u32::try_from(pid).unwrap()),
        stalled: 0,
        filters: 0,
        json: true,
    };
    let mut out = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bench::run(&args, &mut out)).unwrap();
    let report: Value = serde_json::from_slice(&out).unwrap();
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    format!(
        "{:.0} updates/s, {:.0} lost, p99 {:.1} ms, {:.1} µs of server CPU each",
        number("/updates_per_second"),
        number("/lost"),
        number("/latency_us/p99") / 1000.0,
        number("/server_cpu_us_per_update"),
    )
}

/// All at once, sorted.
fn measure(address: &str, beside: &str, duration: Duration) -> [(&'static str, Vec<Duration>); 5] {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let served = scope.spawn(|| pings(address, &over));
        let newcomers = scope.spawn(|| connections(address, &over));
        let updates = scope.spawn(|| updates(address, &over));
        let others = scope.spawn(|| pings(beside, &over));
        let arrivals = scope.spawn(|| connections(beside, &over));
        thread::sleep(duration);
        over.store(true, Ordering::Relaxed);
        [
            ("ping", sorted(served.join().unwrap())),
            ("new connection to welcome", sorted(newcomers.join().unwrap())),
            ("update of another topic", sorted(updates.join().unwrap())),
            ("ping of the server beside", sorted(others.join().unwrap())),
            ("new connection to the server beside", sorted(arrivals.join().unwrap())),
        ]
    })
}

/// From a `ping` to its answer.
fn pings(address: &str, over: &AtomicBool) -> Vec<Duration> {
    let mut socket = connect(address);
    paced(PING_EVERY, over, || {
        request(&mut socket, "ping", Value::Null);
        while read(&mut socket).get("id").is_none() {}
    })
}

/// From the first packet of a connection to the greeting of its session.
fn connections(address: &str, over: &AtomicBool) -> Vec<Duration> {
    paced(CONNECT_EVERY, over, || {
        assert_eq!(read(&mut connect(address))["type"], "welcome");
    })
}

/// From the making of an update to its arrival, by the one clock of this machine.
fn updates(address: &str, over: &AtomicBool) -> Vec<Duration> {
    let mut socket = connect(address);
    let params = json!({"topics": ["bench.1"], "mode": "every", "snapshot": false});
    request(&mut socket, "subscribe", params);
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let message = read(&mut socket);
        if message["type"] == "update" {
            let made = Duration::from_micros(message["rx"].as_u64().unwrap());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            times.push(now.saturating_sub(made));
        }
    }
    times
}

/// Does something again and again and tells how long it took each time. What is late is not made up
/// for, but its own time counts in full.
fn paced(every: Duration, over: &AtomicBool, mut act: impl FnMut()) -> Vec<Duration> {
    let (mut times, mut next) = (Vec::new(), Instant::now());
    while !over.load(Ordering::Relaxed) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let started = Instant::now();
        act();
        times.push(started.elapsed());
        next = started + every;
    }
    times
}

fn connect(address: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    tungstenite::client(format!("ws://{address}/v1/ws"), stream).unwrap().0
}

fn request(socket: &mut WebSocket<TcpStream>, method: &str, params: Value) {
    let request = json!({"id": 1, "method": method, "params": params});
    socket.send(Message::text(request.to_string())).unwrap();
}

fn read(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

fn row(what: &str, subscribers: usize, times: &[Duration]) {
    let ms = |percent| quantile(times, percent).as_secs_f64() * 1000.0;
    let (count, p50, p99, max) = (times.len(), ms(50), ms(99), ms(100));
    println!("| {what} | {subscribers} | {count} | {p50:.2} | {p99:.2} | {max:.2} |");
}

impl Server {
    fn start(rate: usize) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(config(rate).as_bytes()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
        command.arg("--config").arg(file.path()).args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(at) = line.find("ws://") {
                break line[at + 5..].split('/').next().unwrap().to_owned();
            }
        };
        // Its output must not fill up.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address, _config: file }
    }

    /// Waits until all of the load is there.
    fn wait_for_subscriptions(&self, wanted: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.subscriptions() < wanted as f64 {
            assert!(Instant::now() < deadline, "the subscribers do not come");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn subscriptions(&self) -> f64 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("tickwire_subscriptions"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
