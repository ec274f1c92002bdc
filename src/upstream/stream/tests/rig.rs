//! A hub, a feed, and a venue that says what it is told, under paused time.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{SinkExt, StreamExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::CloseFrame},
};

use super::super::*;
use crate::{
    hub::{self, FeedReport, Hub},
    market::{Reason, Topic},
    shutdown::{self, Tasks, Trigger},
    telemetry::Telemetry,
    units::Micros,
    upstream::{
        budget::{Budgets, Share},
        clock::Clock,
        config::{BudgetConfig, ConsolidateConfig, FeedConfig},
        consolidate::Consolidator,
        feed::Identity,
        fetch::{Answer, Fetch, FetchError, Validators},
        freshness::Sweep,
        metrics::{Metrics, StreamMetrics},
        providers::{self, DecodeError, Request, Response, Secrets, stream::*},
        publish::Publisher,
        supervise::supervise,
    },
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const START: Micros = 1_790_000_000_000_000;

/// The server's end of a connection.
pub(super) struct Peer(WebSocketStream<DuplexStream>);

/// A venue.
#[derive(Default)]
pub(super) struct Venue {
    refusals: Mutex<VecDeque<FetchError>>,
    /// When it was asked for a connection.
    pub(super) dialled: Mutex<Vec<Instant>>,
    peers: Mutex<Option<mpsc::Sender<Peer>>>,
}

impl Dial for Venue {
    fn dial(&self) -> BoxFuture<'_, Result<connect::Socket, FetchError>> {
        Box::pin(async move {
            self.dialled.lock().push(Instant::now());
            if let Some(refusal) = self.refusals.lock().pop_front() {
                return Err(refusal);
            }
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            let request = "ws://venue/stream".into_client_request().unwrap();
            let (socket, peer) =
                tokio::join!(connect::shake_hands(request, Box::new(ours)), accept_async(theirs));
            let peers = self.peers.lock().clone().unwrap();
            peers.send(Peer(peer.unwrap())).await.unwrap();
            socket
        })
    }
}

impl Venue {
    /// Refuses the next attempts.
    pub(super) fn refuse(&self, times: usize, reason: Reason, retry_after: Option<Duration>) {
        let refusal = FetchError { retry_after, ..FetchError::new(reason, "scripted") };
        self.refusals.lock().extend(std::iter::repeat_n(refusal, times));
    }

    pub(super) fn dials(&self) -> usize {
        self.dialled.lock().len()
    }
}

impl Peer {
    pub(super) async fn say(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    /// Says something, and whether the client is still there to hear it.
    pub(super) async fn says(&mut self, text: &str) -> bool {
        self.0.send(Message::text(text)).await.is_ok()
    }

    /// Says something of `bytes` bytes, whether it is taken or not.
    pub(super) async fn floods(&mut self, bytes: usize) {
        let sent = self.0.send(Message::text(" ".repeat(bytes)));
        drop(tokio::time::timeout(SECOND, sent).await);
    }

    /// A price of Binance's miniTicker.
    pub(super) async fn price(&mut self, symbol: &str, price: &str) {
        let stream = format!("{}@miniTicker", symbol.to_lowercase());
        self.say(format!(r#"{{"stream":"{stream}","data":{{"c":"{price}"}}}}"#)).await;
    }

    /// The next message of the client, and when it came; not pongs.
    pub(super) async fn heard(&mut self) -> (Instant, String) {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Text(text) => return (Instant::now(), text.as_str().to_owned()),
                Message::Pong(_) | Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Pings each second, and sees to it that each is answered, until the client is gone.
    pub(super) async fn pings(&mut self) {
        while self.0.send(Message::Ping(Bytes::from_static(b"17"))).await.is_ok() {
            match self.0.next().await.unwrap().unwrap() {
                Message::Pong(payload) => assert_eq!(&*payload, b"17"),
                Message::Close(_) => break,
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(SECOND).await;
        }
    }

    /// The client's farewell; what it says before is passed over.
    pub(super) async fn farewell(mut self) -> Option<Option<CloseFrame>> {
        while let Some(Ok(message)) = self.0.next().await {
            if let Message::Close(frame) = message {
                return Some(frame);
            }
        }
        None
    }
}

/// The REST side: gives one price of BTC-USDT, perhaps of a time in ms, or hangs.
#[derive(Default)]
pub(super) struct Rest {
    pub(super) price: Mutex<Option<&'static str>>,
    pub(super) close_time: Mutex<Option<Micros>>,
    pub(super) polled: Mutex<Vec<Instant>>,
}

impl Fetch for Rest {
    fn fetch<'a>(
        &'a self,
        _: &'a Request,
        _: Option<&'a Validators>,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        self.polled.lock().push(Instant::now());
        let (price, close_time) = (*self.price.lock(), *self.close_time.lock());
        Box::pin(async move {
            let Some(price) = price else { return std::future::pending().await };
            tokio::time::sleep(Duration::from_millis(100)).await;
            let body = match close_time {
                None => format!(r#"[{{"symbol":"BTCUSDT","price":"{price}"}}]"#),
                Some(at) => {
                    format!(r#"[{{"symbol":"BTCUSDT","lastPrice":"{price}","closeTime":{at}}}]"#)
                }
            };
            let validators = Validators::default();
            Ok(Answer { body: Some(body.into()), validators, used: None, date: None })
        })
    }
}

impl Rest {
    pub(super) fn polls(&self) -> usize {
        self.polled.lock().len()
    }
}

/// A stream that panics where it is told to.
struct Panicky(Box<dyn StreamProvider>);

impl StreamProvider for Panicky {
    fn terms(&self) -> Terms {
        self.0.terms()
    }
    fn opened(&mut self) -> Vec<String> {
        self.0.opened()
    }
    fn ping(&mut self) -> Option<String> {
        self.0.ping()
    }
    fn read(&mut self, message: &Response) -> Result<Heard, DecodeError> {
        assert_ne!(&message.body[..], b"panic", "on purpose");
        self.0.read(message)
    }
    fn marks(&self) -> Marks {
        self.0.marks()
    }
    fn resume(&mut self, marks: &Marks) {
        self.0.resume(marks);
    }
    fn topics(&self) -> Vec<Topic> {
        self.0.topics()
    }
}

/// One feed with its venue.
pub(super) struct Rig {
    pub(super) hub: Arc<Hub>,
    pub(super) venue: Arc<Venue>,
    pub(super) rest: Arc<Rest>,
    pub(super) telemetry: Telemetry,
    pub(super) tasks: Tasks,
    pub(super) trigger: Trigger,
    feed: Arc<Feed>,
    clock: Clock,
    peers: mpsc::Receiver<Peer>,
}

/// Prices of BTC-USDT and ETH-USDT by Binance's miniTicker, or every 2 s by polls.
pub(super) const BINANCE: &str = "name = 'x'\nprovider = 'binance'\nendpoint = 'ticker_price'\n\
                                  symbols = ['BTC-USDT', 'ETH-USDT']\nevery = '2s'";

impl Rig {
    pub(super) fn new(config: &str) -> Self {
        Self::with(config, None)
    }

    pub(super) fn with(config: &str, per_minute: Option<u32>) -> Self {
        Self::sharing(config, |telemetry| {
            per_minute.map(|per_minute| budget(telemetry, per_minute, None))
        })
    }

    /// With a share of a budget that is made with the rig's telemetry.
    pub(super) fn sharing(config: &str, budget: impl FnOnce(&Telemetry) -> Option<Share>) -> Self {
        let config: FeedConfig = toml::from_str(config).unwrap();
        let telemetry = Telemetry::new().unwrap();
        let hub = Arc::new(Hub::new(hub::Config::default(), 1, "e".into(), &telemetry));
        let (trigger, shutdown) = shutdown::channel();
        let clock = Clock::tokio(START);
        let names = vec![config.name.as_str().into()];
        let consolidator =
            Arc::new(Consolidator::new(hub.clone(), ConsolidateConfig::default(), &names));
        let identity = Identity {
            name: config.name.as_str().into(),
            status: Topic::parse("status.x").unwrap(),
            provider: config.provider.name(),
            required: true,
            interval: config.every.0,
            transport: Some(Transport::Ws),
            stale_after: config.stale_after().as_us(),
        };
        let metrics = Metrics::new(&telemetry, "x");
        let budget = budget(&telemetry);
        let feed = Arc::new(Feed::new(identity, hub.clone(), clock.clone(), budget, metrics));
        let publisher = Publisher::new(feed.clone(), hub.clone(), consolidator.clone(), 50.0);
        let publisher = Arc::new(parking_lot::Mutex::new(publisher));
        let (sender, peers) = mpsc::channel(64);
        let venue = Arc::new(Venue { peers: Mutex::new(Some(sender)), ..Venue::default() });
        let rest = Arc::new(Rest { price: Mutex::new(Some("1")), ..Rest::default() });
        let polled = config.clone();
        let poll = Poll::new(
            feed.clone(),
            clock.clone(),
            rest.clone(),
            Box::new(move || providers::build(&polled, &Secrets::default())),
            publisher.clone(),
            config.every.0,
            Instant::now(),
        );
        let streamed = config.clone();
        let parts = Parts {
            feed: feed.clone(),
            clock: clock.clone(),
            dial: venue.clone(),
            factory: Box::new(move || Ok(Box::new(Panicky(providers::stream::build(&streamed)?)))),
            publisher,
            metrics: StreamMetrics::new(&telemetry, "x"),
            timeout: 5 * SECOND,
        };
        let line = Line::new(parts, Instant::now());
        let work = Stream::new(feed.clone(), line, poll, config.every.0);
        let sweep = Sweep {
            hub: hub.clone(),
            consolidator,
            feeds: Arc::new([feed.clone()]),
            clock: clock.clone(),
        };
        let tasks = Tasks::default();
        tasks.spawn("feed", supervise(work, shutdown.clone()));
        tasks.spawn("sweep", sweep.run(shutdown));
        Self { hub, venue, rest, telemetry, tasks, trigger, feed, clock, peers }
    }

    /// The next connection.
    pub(super) async fn connected(&mut self) -> Peer {
        self.peers.recv().await.unwrap()
    }

    /// The next connection, once it has subscribed.
    pub(super) async fn subscribed(&mut self) -> Peer {
        let mut peer = self.connected().await;
        let (_, text) = peer.heard().await;
        assert!(text.to_lowercase().contains("subscribe"), "{text}");
        peer
    }

    pub(super) fn head(&self, topic: &str) -> hub::Head {
        self.hub.topic(topic).unwrap().head(self.clock.now())
    }

    /// The last price of a topic.
    pub(super) fn price(&self, topic: &str) -> String {
        let last = self.head(topic).last.unwrap();
        let data: serde_json::Value = serde_json::from_slice(&last.update.data).unwrap();
        data["price"].as_str().unwrap().to_owned()
    }

    /// The last price of a topic, where it has one.
    pub(super) fn known(&self, topic: &str) -> Option<String> {
        self.hub.topic(topic)?.head(self.clock.now()).last?;
        Some(self.price(topic))
    }

    /// Waits until a topic has a price.
    pub(super) async fn reaches(&self, topic: &str, price: &str) {
        let reached = async {
            while self.head(topic).last.is_none() || self.price(topic) != price {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(60 * SECOND, reached).await.unwrap();
    }

    pub(super) fn report(&self) -> FeedReport {
        self.feed.report(self.clock.now())
    }

    pub(super) fn counts(&self, line: &str) -> bool {
        self.telemetry.render().lines().any(|own| own == line)
    }
}

pub(super) fn budget(telemetry: &Telemetry, per_minute: u32, per_month: Option<u64>) -> Share {
    let config = BudgetConfig { host: None, per_minute, weight: 1, per_month };
    Budgets::default().share("host", None, &config, telemetry, Instant::now().into_std())
}

/// Lets paused time pass.
pub(super) async fn elapse(time: Duration) {
    tokio::time::sleep(time).await;
}
