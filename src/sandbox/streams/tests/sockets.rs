//! Sessions over real sockets with a client of the field, and what takes minutes over a pipe with
//! time that is not real.

use std::{net::SocketAddr, time::Duration};

use futures::{SinkExt, StreamExt};
use tokio::{
    io::DuplexStream,
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, protocol::Role},
};

use super::{super::socket::Connection, *};
use crate::{
    sandbox::{
        FaultSwitch, Sandbox, bind,
        config::{Config, Fault, FaultKind},
    },
    shutdown::{self, Shutdown, Stage, Trigger},
};

/// No test waits longer for a message.
const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<TcpStream>;

struct Server {
    addr: SocketAddr,
    switch: FaultSwitch,
    trigger: Trigger,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let (trigger, shutdown) = shutdown::channel();
        let sandbox: Sandbox = bind(&Config::default()).await.unwrap();
        let (addr, switch) = (sandbox.addr(), sandbox.faults());
        #[expect(clippy::disallowed_methods, reason = "joined in `stop`")]
        let serving = tokio::spawn(sandbox.serve(shutdown));
        Self { addr, switch, trigger, serving }
    }

    async fn connect(&self, path: &str) -> Result<Socket, Error> {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let url = format!("ws://{}{path}", self.addr);
        client_async(url, stream).await.map(|(socket, _)| socket)
    }

    fn misbehave(&self, kind: FaultKind) {
        let fault = Fault { path: "*".to_owned(), kind, probability: 1.0, retry_after: None };
        self.switch.set(vec![fault]);
    }

    async fn stop(self) {
        self.trigger.advance(Stage::Closing);
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(text.as_str()).unwrap();
        }
    }
}

/// The first message from now on that `wanted` picks.
async fn find(socket: &mut Socket, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let message = next(socket).await;
        if wanted(&message) {
            return message;
        }
    }
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

#[tokio::test]
async fn binance_streams_over_a_socket() {
    let server = Server::start().await;
    let url = "/binance/stream?streams=btcusdt%40ticker/ethusdt@bookTicker";
    let mut socket = server.connect(url).await.unwrap();
    for stream in ["ethusdt@bookTicker", "ethusdt@bookTicker", "btcusdt@ticker"] {
        find(&mut socket, |message| message["stream"] == stream).await;
    }
    let leave = json!({"method": "UNSUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 1});
    say(&mut socket, leave).await;
    find(&mut socket, |message| message["id"] == 1).await;
    assert_eq!(next(&mut socket).await["stream"], "btcusdt@ticker");
    let mut raw = server.connect("/binance/ws/btcusdt@bookTicker").await.unwrap();
    assert_eq!(next(&mut raw).await["s"], "BTCUSDT");
    assert_eq!(server.switch.requests("/binance/stream"), 1);
    // The end is announced before it comes.
    server.trigger.advance(Stage::Draining);
    find(&mut raw, |message| message["e"] == "serverShutdown").await;
    server.stop().await;
    let end = socket.filter_map(async |message| message.ok()).collect::<Vec<_>>().await;
    assert!(matches!(end.last(), Some(Message::Close(Some(frame))) if frame.code == 1_001.into()));
}

#[tokio::test]
async fn who_talks_too_much_to_binance_is_disconnected() {
    let server = Server::start().await;
    let mut socket = server.connect("/binance/ws").await.unwrap();
    for _ in 0..6 {
        socket.send(Message::Ping("x".into())).await.unwrap();
    }
    let end = loop {
        match timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Close(frame) => break frame.unwrap(),
            _ => continue,
        }
    };
    assert_eq!((u16::from(end.code), end.reason.as_str()), (1_008, "Too many requests"));
    server.stop().await;
}

#[tokio::test]
async fn coinbase_streams_over_a_socket() {
    let server = Server::start().await;
    let mut socket = server.connect("/coinbase/ws").await.unwrap();
    let products = json!(["BTC-USD"]);
    let both = json!(["ticker", "heartbeat"]);
    say(&mut socket, json!({"type": "subscribe", "product_ids": products, "channels": both})).await;
    assert_eq!(next(&mut socket).await["type"], "subscriptions");
    for kind in ["ticker", "ticker", "heartbeat"] {
        find(&mut socket, |message| message["type"] == kind).await;
    }
    say(&mut socket, json!({"type": "unsubscribe", "channels": ["ticker"]})).await;
    find(&mut socket, |message| message["type"] == "subscriptions").await;
    assert_eq!(next(&mut socket).await["type"], "heartbeat");
    server.stop().await;
}

#[tokio::test]
async fn kraken_streams_over_a_socket() {
    let server = Server::start().await;
    let mut socket = server.connect("/kraken/v2").await.unwrap();
    assert_eq!(next(&mut socket).await["channel"], "status");
    let params = json!({"channel": "ticker", "symbol": ["BTC/USD"]});
    say(&mut socket, json!({"method": "subscribe", "params": params})).await;
    assert_eq!(next(&mut socket).await["success"], true);
    for kind in ["snapshot", "update", "update"] {
        assert_eq!(find(&mut socket, |message| message["type"] != json!(null)).await["type"], kind);
    }
    say(&mut socket, json!({"method": "ping", "req_id": 5})).await;
    find(&mut socket, |message| message["req_id"] == 5).await;
    say(&mut socket, json!({"method": "unsubscribe", "params": params, "req_id": 6})).await;
    find(&mut socket, |message| message["req_id"] == 6).await;
    say(&mut socket, json!({"method": "ping", "req_id": 7})).await;
    assert_eq!(next(&mut socket).await["method"], "pong");
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_can_be_refused_and_what_is_no_handshake_is_told_so() {
    let server = Server::start().await;
    for (kind, status) in
        [(FaultKind::TooManyRequests, 429), (FaultKind::ServerError, 500), (FaultKind::Html, 200)]
    {
        server.misbehave(kind);
        match server.connect("/kraken/v2").await.unwrap_err() {
            Error::Http(answer) => assert_eq!(answer.status(), status),
            other => panic!("{other}"),
        }
    }
    server.switch.set(Vec::new());
    let many: Vec<String> = (0..1_025).map(|n| format!("x{n}")).collect();
    let url = format!("/binance/ws/{}", many.join("/"));
    assert!(matches!(server.connect(&url).await, Err(Error::Http(a)) if a.status() == 400));
    server.stop().await;
}

#[tokio::test]
async fn a_truncated_stream_breaks_off_within_a_frame() {
    let server = Server::start().await;
    server.misbehave(FaultKind::Truncated);
    let mut socket = server.connect("/binance/ws/btcusdt@bookTicker").await.unwrap();
    next(&mut socket).await;
    let mut last = Ok(());
    while let Some(message) = timeout(PATIENCE, socket.next()).await.unwrap() {
        assert!(!matches!(message, Ok(Message::Close(_))));
        last = message.map(drop);
    }
    assert!(last.is_err(), "it ends without a close");
    server.stop().await;
}

/// A connection over a pipe, whose time is tokio's and may be paused.
async fn piped(
    session: Box<dyn Session>,
    fault: Option<FaultKind>,
) -> (WebSocketStream<DuplexStream>, impl Future<Output = ()>, Trigger) {
    let (ours, theirs) = tokio::io::duplex(4_096);
    let (trigger, shutdown): (Trigger, Shutdown) = shutdown::channel();
    let world = World::new(&Config::default(), &assets::select(&[]).unwrap(), EPOCH);
    let connection = Connection::new(Arc::new(world), session, fault, shutdown);
    let server = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
    let client = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
    (client, connection.run(server), trigger)
}

fn book() -> Box<dyn Session> {
    Box::new(super::super::binance::Session::new(false, "btcusdt@bookTicker").unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_hangs_goes_on_pinging_and_says_no_more() {
    let (mut client, serving, _trigger) = piped(book(), Some(FaultKind::Hang)).await;
    let began = Instant::now();
    let listening = async {
        let (mut texts, mut pings) = (Vec::new(), 0);
        while began.elapsed() < Duration::from_secs(300) {
            match timeout(Duration::from_secs(300), client.next()).await.unwrap().unwrap().unwrap()
            {
                Message::Text(_) => texts.push(began.elapsed()),
                Message::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            }
            client.flush().await.unwrap();
        }
        (texts, pings)
    };
    let (texts, pings) = tokio::select! {
        heard = listening => heard,
        () = serving => panic!("it hung up"),
    };
    assert!((15..=20).contains(&texts.len()), "{texts:?}");
    assert!(*texts.last().unwrap() <= Duration::from_secs(2), "{texts:?}");
    assert_eq!(pings, 15, "one in 20 seconds");
}

#[tokio::test(start_paused = true)]
async fn who_answers_no_ping_for_a_minute_is_disconnected() {
    let (client, serving, _trigger) =
        piped(Box::new(super::super::kraken::Session::default()), None).await;
    let began = Instant::now();
    serving.await;
    assert!((60..=81).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_disconnected() {
    let (client, serving, _trigger) = piped(book(), None).await;
    let began = Instant::now();
    serving.await;
    // Its pipe is full after some seconds, and it has five more.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_text_ends_the_session() {
    let (mut client, serving, _trigger) = piped(book(), None).await;
    let talking = async {
        client.send(Message::binary(vec![1_u8])).await.unwrap();
        loop {
            if let Some(Ok(Message::Close(frame))) = client.next().await {
                return frame.unwrap();
            }
        }
    };
    let (frame, ()) = tokio::join!(talking, serving);
    assert_eq!(u16::from(frame.code), 1_003);
}
