//! Everything at once, at random: upstreams that do all that they should not, and clients that come
//! and go, against one process. `TICKWIRE_CHAOS_SECONDS` says for how long, a few seconds when it
//! says nothing; `TICKWIRE_CHAOS_SEED` repeats the choices of a run that has printed it.

#![allow(
    clippy::print_stdout,
    reason = "the seed repeats a run, and the figures are what it is for"
)]

mod accounts;
mod clients;

use std::{
    fmt::Write,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use self::{
    accounts::{Account, Tally, Truth},
    clients::Restless,
};
use super::{
    Log,
    cases::{self, Case},
    feed_at, has_price, is_status,
};
use crate::support::{
    BadUpstream, Client, Process,
    bad_upstream::{Do, answer},
    eventually,
};

const WELL: [&str; 2] = ["W0-USD", "W1-USD"];
const SICK: [&str; 6] = ["S0-USD", "S1-USD", "S2-USD", "S3-USD", "S4-USD", "S5-USD"];
const CLIENTS: u64 = 6;

const EVERY: Duration = Duration::from_millis(200);
const STALE_AFTER: Duration = Duration::from_secs(1);
/// What the machine may be late by, with everything else that runs on it.
const LATE: Duration = Duration::from_millis(1_500);
/// The longest that a breaker stays open, and more.
const REOPENED_WITHIN: Duration = Duration::from_secs(90);
/// By how much the memory may grow between the first third of a run and its end.
const GROWTH_MAX: u64 = 8 << 20;

/// Little is kept, so that what is kept is soon all there and does not look like a leak.
const SECTIONS: &str = "[server]\nshards = 2\n[hub]\nhistory = 32\n\
    [limits]\nrequests_per_s = 1000\n\
    [delivery]\nqueue_updates = 64\nwrite_deadline = \"2s\"\nsend_buffer = \"16KiB\"\n\
    [[feeds]]\nname = \"bench\"\nprovider = \"synthetic\"\ntopics = 2\nrate = 100\npayload_bytes = 4000\n";

fn from_environment<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// One feed whose upstream does whatever comes to its mind.
struct Patient {
    symbol: &'static str,
    upstream: BadUpstream,
    log: Log,
    tally: Arc<Tally>,
    random: StdRng,
    cases: Arc<Vec<Case>>,
    /// How long it may be ill at a time, in milliseconds.
    longest: u64,
}

impl Patient {
    async fn live(mut self, end: Instant) {
        while Instant::now() < end {
            let ill_for = Duration::from_millis(self.random.random_range(200..self.longest));
            let logged = self.log.of(&self.topic()).len();
            let flaps = self.random.random_ratio(1, 4);
            if flaps {
                self.flap(ill_for).await
            } else {
                self.fall_ill(ill_for).await
            }
            // What flaps gives good values in between.
            if !flaps && ill_for > STALE_AFTER + EVERY + LATE {
                let events = self.log.of(&self.topic());
                let told = |event: &Value| is_status(event) && event["state"] != "live";
                assert!(events[logged..].iter().any(told), "{} is not told", self.symbol);
            }
            self.recover().await;
            Tally::add(&self.tally.outages);
            let well_for = self.random.random_range(0..2_000);
            tokio::time::sleep(Duration::from_millis(well_for)).await;
        }
    }

    fn topic(&self) -> String {
        format!("price.{0}.{0}", self.symbol)
    }

    /// Answers badly, in one way or in another way each time.
    async fn fall_ill(&mut self, ill_for: Duration) {
        let (symbol, cases) = (self.symbol, self.cases.clone());
        let first = self.random.random_range(0..cases.len());
        let step = if self.random.random() { 0 } else { self.random.random_range(1..cases.len()) };
        match self.random.random_range(0..8) {
            0 => {
                let headers = format!("retry-after: {}\r\n", self.random.random_range(1..3));
                self.upstream
                    .misbehave(move |_| answer("429 Too Many Requests", &headers, "later"));
            }
            _ => self.upstream.misbehave(move |n| {
                let at = first + step * usize::try_from(n).unwrap();
                (cases[at % cases.len()].script)(symbol, n)
            }),
        }
        tokio::time::sleep(ill_for).await;
    }

    /// Is there and not there, by turns, or resets what it has just taken.
    async fn flap(&mut self, ill_for: Duration) {
        let end = Instant::now() + ill_for;
        while Instant::now() < end {
            if self.random.random() {
                self.upstream.close().await;
            } else {
                self.upstream.misbehave(|_| vec![Do::Reset]);
            }
            self.wait(300).await;
            self.upstream.close().await;
            self.upstream.behave();
            self.upstream.open().await;
            self.wait(300).await;
        }
    }

    async fn wait(&mut self, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.random_range(0..most))).await;
    }

    /// Is well, and seen to be so by the first answer that says it.
    async fn recover(&self) {
        let expected = self.upstream.behave();
        let given = async {
            while !self.upstream.gave(&expected).1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let asked = tokio::time::timeout(REOPENED_WITHIN, given).await;
        assert!(asked.is_ok(), "{} is not asked again", self.symbol);
        let began = Instant::now();
        let topic = self.topic();
        self.log.find(&topic, 0, |event| event["data"]["price"] == expected).await;
        self.tally
            .recovery_max
            .fetch_max(u64::try_from(began.elapsed().as_millis()).unwrap(), Relaxed);
        assert!(began.elapsed() < EVERY + LATE, "{topic} recovers after {:?}", began.elapsed());
        eventually(&format!("{topic} is live"), || async {
            let events = self.log.of(&topic);
            events
                .iter()
                .rev()
                .find(|event| is_status(event) || !has_price(event))
                .is_none_or(|event| event["state"] == "live")
                .then_some(())
        })
        .await;
    }
}

/// The one who reads every price from beginning to end.
struct Watcher {
    client: Client,
    log: Log,
    truth: Arc<Truth>,
    tally: Arc<Tally>,
}

impl Watcher {
    async fn start(address: SocketAddr, truth: &Arc<Truth>, tally: &Arc<Tally>) -> Self {
        let mut client = Client::connect(address).await;
        assert_eq!(client.event().await["type"], "welcome");
        client.subscribe(&["price.>"], json!({"mode": "every"})).await;
        Self { client, log: Log::default(), truth: truth.clone(), tally: tally.clone() }
    }

    async fn watch(mut self, mut end: watch::Receiver<bool>) {
        let mut account = Account::new("price.>", true);
        let mut seen = WELL.map(|_| None::<Instant>);
        loop {
            let event = tokio::select! {
                event = self.client.event() => event,
                _ = end.changed() => break,
            };
            self.note(&mut account, &mut seen, event);
        }
        let ledger = self.client.ledger("price.>").await;
        for event in self.client.waiting() {
            self.note(&mut account, &mut seen, event);
        }
        account.audit(&ledger, &self.tally);
        assert_eq!(ledger["dropped"], 0, "{ledger}");
    }

    fn note(&self, account: &mut Account, seen: &mut [Option<Instant>], event: Value) {
        account.take(&event, &self.truth, &self.tally);
        let topic = event["topic"].as_str().unwrap_or_default().to_owned();
        let well = WELL.iter().position(|symbol| topic == format!("price.{symbol}.{symbol}"));
        if let Some(well) = well {
            assert!(!is_status(&event) || event["state"] == "live", "{event}");
            let pause = seen[well].replace(Instant::now()).map(|last| last.elapsed());
            let pause = pause.unwrap_or_default();
            self.tally.pause_max.fetch_max(u64::try_from(pause.as_millis()).unwrap(), Relaxed);
            assert!(pause < EVERY + LATE, "{topic}: nothing for {pause:?}");
        }
        self.log.0.lock().entry(topic).or_default().push(event);
    }
}

/// How the process stands: descriptors, threads, connections.
async fn used(process: &Process) -> (usize, u64, String) {
    let page = process.get("/metrics").await;
    let connections = page.lines().filter(|line| line.starts_with("tickwire_connections{"));
    let mut connections: Vec<_> = connections.collect();
    connections.sort_unstable();
    (process.descriptors(), process.threads(), connections.join("; "))
}

/// Looks at the memory until the end. Returns the most of the second sixth and of the last.
async fn weigh(process: &Process, time: Duration, tasks: &mut JoinSet<()>) -> (u64, u64) {
    let began = Instant::now();
    let (mut early, mut late) = (0, 0);
    while began.elapsed() < time {
        let sixth = began.elapsed().as_secs_f64() / time.as_secs_f64() * 6.0;
        let resident = process.resident();
        match sixth {
            1.0..2.0 => early = resident.max(early),
            5.0.. => late = resident.max(late),
            _ => {}
        }
        // Whoever complains does so at once.
        tokio::select! {
            Some(ended) = tasks.join_next() => ended.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    (early, late)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_upstreams_and_clients_do_at_random_breaks_a_promise() {
    let seconds = from_environment("TICKWIRE_CHAOS_SECONDS", 6);
    let seed = from_environment("TICKWIRE_CHAOS_SEED", rand::random::<u64>());
    println!("TICKWIRE_CHAOS_SEED={seed} TICKWIRE_CHAOS_SECONDS={seconds}");
    let trap = BadUpstream::start("TRAP-USD").await;
    let (mut truth, mut config) = (Truth::new(), SECTIONS.to_owned());
    for symbol in WELL.into_iter().chain(SICK) {
        let upstream = BadUpstream::start(symbol).await;
        let terms = if WELL.contains(&symbol) {
            "every = \"200ms\"\ntimeout = \"2s\"\nstale_after = \"2s\""
        } else {
            super::TERMS
        };
        writeln!(config, "[[feeds]]\n{}", feed_at(symbol, symbol, &upstream.url(), terms)).unwrap();
        truth.insert(symbol, upstream);
    }
    let (truth, tally) = (Arc::new(truth), Arc::new(Tally::default()));
    let mut process = Process::serve(&config, &[]);
    let address = process.address();
    let watcher = Watcher::start(address, &truth, &tally).await;
    eventually("values of all", || async {
        truth.values().all(|upstream| upstream.gave("").0 > 3).then_some(())
    })
    .await;
    let before = used(&process).await;

    let time = Duration::from_secs(seconds);
    let end = Instant::now() + time;
    let mut random = StdRng::seed_from_u64(seed);
    let mut tasks = JoinSet::new();
    let cases = Arc::new(cases::all(trap.port()));
    let log = watcher.log.clone();
    for symbol in SICK {
        // One of three is ill for so long that its breaker opens, where there is time for it.
        let longest =
            if random.random_ratio(1, 3) { (seconds * 40).clamp(1_000, 20_000) } else { 1_500 };
        let (upstream, random) = (truth[symbol].clone(), StdRng::seed_from_u64(random.random()));
        let (log, tally, cases) = (log.clone(), tally.clone(), cases.clone());
        tasks.spawn(Patient { symbol, upstream, log, tally, random, cases, longest }.live(end));
    }
    for _ in 0..CLIENTS {
        let (truth, tally) = (truth.clone(), tally.clone());
        tasks.spawn(Restless { address, truth, tally }.live(random.random(), end));
    }
    let (stop, stopped) = watch::channel(false);
    let watcher = tokio::spawn(watcher.watch(stopped));
    let (early, late) = weigh(&process, time, &mut tasks).await;
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    stop.send(true).unwrap();
    // It has its connection no more.
    watcher.await.unwrap();
    let _again = Watcher::start(address, &truth, &tally).await;
    let after = eventually("what was taken is given back", || async {
        let now = used(&process).await;
        (now.0 <= before.0 && now.2 == before.2).then_some(now)
    })
    .await;
    println!("{before:?} before, {after:?} after; memory {early} early, {late} late");
    report(&tally);
    assert_eq!(trap.accepted(), 0, "a redirect was followed");
    assert!(late <= early + GROWTH_MAX, "memory grows from {early} to {late}");
    assert!(after.1 <= before.1 + 2, "threads: {before:?}, {after:?}");
    process.terminate();
    assert_eq!(process.exit_code(), 0, "{}", process.complaint());
}

fn report(tally: &Tally) {
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
    println!(
        "{} updates, {} gaps, {} ledgers, {} clients of which {} froze, {} outages; \
         recovered within {} ms, well ones paused for {} ms at most",
        of(&tally.updates),
        of(&tally.gaps),
        of(&tally.ledgers),
        of(&tally.clients),
        of(&tally.frozen),
        of(&tally.outages),
        of(&tally.recovery_max),
        of(&tally.pause_max),
    );
    assert!(of(&tally.ledgers) > 0 && of(&tally.outages) > 0);
}
