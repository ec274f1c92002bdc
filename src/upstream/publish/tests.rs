use std::{
    pin::pin,
    task::{Context, Wake, Waker},
    time::Duration,
};

use futures::FutureExt;
use parking_lot::Mutex;

use super::*;
use crate::{
    hub,
    market::Data,
    telemetry::Telemetry,
    upstream::{clock::Clock, config::ConsolidateConfig, feed::Identity, metrics::Metrics},
};

const SECOND: Micros = 1_000_000;

fn publisher(hub: &Arc<Hub>, telemetry: &Telemetry) -> Publisher {
    let identity = Identity {
        name: "x".into(),
        status: Topic::parse("status.x").unwrap(),
        provider: "fake",
        required: false,
        interval: Duration::from_secs(1),
        transport: None,
        stale_after: 10 * SECOND,
    };
    let metrics = Metrics::new(telemetry, "x");
    let consolidator = Consolidator::new(hub.clone(), ConsolidateConfig::default(), &["x".into()]);
    let feed = Feed::new(identity, hub.clone(), Clock::wall(), None, metrics);
    Publisher::new(Arc::new(feed), hub.clone(), Arc::new(consolidator), 50.0)
}

fn tick(number: usize, value: i64) -> Tick {
    let topic = Topic::parse(&format!("bench.{number}")).unwrap();
    Tick { topic, data: Data::new().with("value", value), ts: None }
}

/// Notes how many topics had been confirmed at `rx` each time that a reader was woken.
struct Woken {
    hub: Arc<Hub>,
    topics: usize,
    rx: Micros,
    confirmed: Mutex<Vec<usize>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        let age = |number| self.hub.topic(&format!("bench.{number}"))?.head(self.rx).status.age_ms;
        let confirmed = (0..self.topics).filter(|number| age(*number) == Some(0)).count();
        self.confirmed.lock().push(confirmed);
    }
}

#[test]
fn a_change_is_told_before_the_rest_of_a_long_answer_has_been_found_unchanged() {
    let telemetry = Telemetry::new().unwrap();
    let hub = Arc::new(Hub::new(hub::Config::default(), 1, "e".into(), &telemetry));
    let mut publisher = publisher(&hub, &telemetry);
    let topics = 10 * TOGETHER;
    let mut ticks: Vec<_> = (0..topics).map(|number| tick(number, 1)).collect();
    publisher.publish(&ticks, SECOND);

    let mut inbox = hub.open(0).unwrap();
    // What was said of the answer before.
    while inbox.ready().now_or_never().is_some() {
        while inbox.try_recv().is_ok() {}
    }
    let rx = 2 * SECOND;
    let woken = Arc::new(Woken { hub: hub.clone(), topics, rx, confirmed: Mutex::default() });
    let waker = Waker::from(woken.clone());
    let mut ready = pin!(inbox.ready());
    assert!(ready.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());

    ticks[0] = tick(0, 2);
    let published = publisher.publish(&ticks, rx);
    assert_eq!((published.accepted, published.changed), (topics, 1));
    assert_eq!(*woken.confirmed.lock(), [TOGETHER]);
}
