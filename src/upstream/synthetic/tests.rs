use super::*;
use crate::{
    hub,
    market::{State, Topic},
    shutdown::{self, Tasks},
    telemetry::Telemetry,
    upstream::{feed::Identity, metrics::Metrics, supervise::supervise},
};

struct Rig {
    hub: Arc<Hub>,
    feed: Arc<Feed>,
    clock: Clock,
    telemetry: Telemetry,
    _trigger: shutdown::Trigger,
}

const START: Micros = 1_790_000_000_000_000;

fn run(load: Load) -> Rig {
    run_by(Clock::tokio(START), load)
}

fn run_by(clock: Clock, load: Load) -> Rig {
    let telemetry = Telemetry::new().unwrap();
    let hub = Arc::new(Hub::new(hub::Config::default(), 1, "e".into(), &telemetry));
    let identity = Identity {
        name: "bench".into(),
        status: Topic::parse("status.bench").unwrap(),
        provider: "synthetic",
        required: false,
        interval: Duration::from_secs(1),
        transport: None,
        stale_after: 5_000_000,
    };
    let metrics = Metrics::new(&telemetry, "bench");
    let feed = Arc::new(Feed::new(identity, hub.clone(), clock.clone(), None, metrics));
    let work = Synthetic::new(feed.clone(), hub.clone(), clock.clone(), load);
    let (trigger, shutdown) = shutdown::channel();
    Tasks::default().spawn("bench", supervise(work, shutdown));
    Rig { hub, feed, clock, telemetry, _trigger: trigger }
}

impl Rig {
    fn made(&self, topics: usize) -> Vec<u64> {
        let seq = |index| self.hub.topic(&format!("bench.{index}")).unwrap().head(0).seq;
        (0..topics).map(seq).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn updates_come_at_the_rate_in_turn_without_drift() {
    let rig = run(Load { topics: 10, rate: 2_000, payload_bytes: 200 });
    tokio::time::sleep(Duration::from_millis(10_000)).await;
    let made = rig.made(10);
    let total: u64 = made.iter().sum();
    assert!((19_990..=20_001).contains(&total), "{total}");
    assert!(made.iter().max().unwrap() - made.iter().min().unwrap() <= 1);
    assert_eq!(rig.feed.report(rig.clock.now()).state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn a_slow_rate_is_as_even() {
    let rig = run(Load { topics: 1, rate: 2, payload_bytes: 0 });
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    assert_eq!(rig.made(1), [21]);
}

#[tokio::test(start_paused = true)]
async fn messages_have_about_the_configured_size_and_are_dated_when_published() {
    let rig = run(Load { topics: 3, rate: 1_000, payload_bytes: 200 });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let last = rig.hub.topic("bench.2").unwrap().head(0).last.unwrap();
    let size = last.json().len();
    assert!((190..=200).contains(&size), "{size}");
    assert_eq!(last.update.ts, Some(last.update.rx));
}

#[tokio::test(start_paused = true)]
async fn updates_of_one_batch_have_the_date_of_its_first() {
    let rig = run_by(Clock::counting(START), Load { topics: 1, rate: 2_000, payload_bytes: 200 });
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (updates, _) = rig.hub.topic("bench.0").unwrap().history(1, 100);
    let dates: Vec<_> = updates.iter().map(|issued| issued.update.rx).collect();
    let batches: Vec<_> = dates.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
    assert_eq!(batches, [1, 4, 4], "{dates:?}");
    assert!(dates.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn what_is_more_than_a_second_late_is_skipped_and_counted() {
    let rig = run(Load { topics: 1, rate: 1_000, payload_bytes: 0 });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = rig.made(1)[0];
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let made = rig.made(1)[0] - before;
    assert!((1_000..=1_015).contains(&made), "{made}");
    let text = rig.telemetry.render();
    let line =
        text.lines().find(|line| line.starts_with("tickwire_upstream_skipped_total{")).unwrap();
    let skipped: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((3_990..=4_010).contains(&skipped), "{skipped}");
}
