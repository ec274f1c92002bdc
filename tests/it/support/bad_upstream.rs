//! An upstream on bare sockets: it gives one price, a new one at each request, or does with the
//! connection whatever a test says.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What is done with a connection on which a request has come. Without `Close` or `Reset` at the
/// end it is kept for the next.
#[derive(Clone)]
pub enum Do {
    Say(Vec<u8>),
    /// The same again and again, without end.
    Repeat(Vec<u8>),
    /// A byte at a time, so far apart.
    Drip(Vec<u8>, Duration),
    Wait(Duration),
    Hang,
    Reset,
    Close,
}

type Script = Arc<dyn Fn(u64) -> Vec<Do> + Send + Sync>;

#[derive(Clone)]
pub struct BadUpstream {
    address: std::net::SocketAddr,
    symbol: &'static str,
    state: Arc<Mutex<State>>,
    listening: Arc<Mutex<Option<AbortOnDrop>>>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts a connection as long as it is served.
struct Open(Arc<Mutex<State>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
    }
}

#[derive(Default)]
struct State {
    accepted: u64,
    open: u64,
    requests: u64,
    /// Every price that was given while it was well, in order.
    given: Vec<String>,
    bad: Option<Script>,
}

impl BadUpstream {
    /// Gives prices of `symbol`.
    pub async fn start(symbol: &'static str) -> Self {
        let mut upstream = Self::closed(symbol).await;
        upstream.open().await;
        upstream
    }

    /// As [`BadUpstream::start`], but nobody listens yet.
    pub async fn closed(symbol: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, symbol, state: Arc::default(), listening: Arc::default() }
    }

    /// Listens.
    pub async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (symbol, state) = (self.symbol, self.state.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                state.lock().accepted += 1;
                state.lock().open += 1;
                connections.spawn(serve(stream, symbol, state.clone()));
            }
        });
        *self.listening.lock() = Some(AbortOnDrop(task));
    }

    /// Ends every connection and refuses more.
    pub async fn close(&mut self) {
        *self.listening.lock() = None;
        // Until the task with the listener is gone.
        while tokio::net::TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Does `script` with each request, which counts from the start, until told otherwise.
    pub fn misbehave(&self, script: impl Fn(u64) -> Vec<Do> + Send + Sync + 'static) {
        self.state.lock().bad = Some(Arc::new(script));
    }

    /// Gives prices again. Returns the one that the next request gets.
    pub fn behave(&self) -> String {
        let mut state = self.state.lock();
        state.bad = None;
        price(state.given.len())
    }

    /// Every price that was given.
    pub fn given(&self) -> Vec<String> {
        self.state.lock().given.clone()
    }

    /// How many prices were given, and whether `wanted` is one of them.
    pub fn gave(&self, wanted: &str) -> (usize, bool) {
        let count = self.state.lock().given.len();
        let (whole, thousandth) = wanted.split_once('.').unwrap_or((wanted, ""));
        let index = whole.parse::<usize>().ok().zip(thousandth.parse::<usize>().ok());
        let index = index.and_then(|(whole, rest)| Some(whole.checked_sub(100)? * 1_000 + rest));
        (count, index.is_some_and(|index| index < count && price(index) == wanted))
    }

    pub fn requests(&self) -> u64 {
        self.state.lock().requests
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> u64 {
        self.state.lock().open
    }

    /// How many connections were made.
    pub fn accepted(&self) -> u64 {
        self.state.lock().accepted
    }
}

/// The `index`th price that an upstream gives. Neighbours lie near one another.
fn price(index: usize) -> String {
    format!("{}.{:03}", 100 + index / 1_000, index % 1_000)
}

/// Now, in milliseconds.
pub fn now_ms() -> i64 {
    tickwire::units::now_us() / 1_000
}

/// A body with one row, as the feed of the tests reads it. Price and time are JSON.
pub fn row(symbol: &str, price: &str, ts: impl std::fmt::Display) -> String {
    format!(r#"[{{"symbol":"{symbol}","price":{price},"ts":{ts}}}]"#)
}

/// A whole answer with a body of `headers`' kind.
pub fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<Do> {
    let body = body.as_ref();
    let length = body.len();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    vec![Do::Say(bytes)]
}

/// A whole answer with JSON.
pub fn json(body: impl AsRef<[u8]>) -> Vec<Do> {
    answer("200 OK", "content-type: application/json\r\n", body)
}

async fn serve(mut stream: TcpStream, symbol: &'static str, state: Arc<Mutex<State>>) {
    let _open = Open(state.clone());
    while request(&mut stream).await {
        let steps = {
            let mut state = state.lock();
            state.requests += 1;
            if let Some(script) = state.bad.clone() {
                script(state.requests)
            } else {
                let price = price(state.given.len());
                state.given.push(price.clone());
                json(row(symbol, &format!("\"{price}\""), now_ms()))
            }
        };
        for step in steps {
            if perform(&mut stream, step).await.is_none() {
                return;
            }
        }
    }
}

/// Reads the head of a request; false at the end of the connection.
async fn request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// Nothing when the connection is over.
async fn perform(stream: &mut TcpStream, step: Do) -> Option<()> {
    match step {
        Do::Say(bytes) => stream.write_all(&bytes).await.ok()?,
        Do::Repeat(bytes) => loop {
            stream.write_all(&bytes).await.ok()?;
        },
        Do::Drip(bytes, apart) => {
            for byte in bytes {
                stream.write_all(&[byte]).await.ok()?;
                tokio::time::sleep(apart).await;
            }
        }
        Do::Wait(time) => tokio::time::sleep(time).await,
        Do::Hang => {
            // Until the other end gives up.
            let mut rest = [0; 64];
            while matches!(stream.read(&mut rest).await, Ok(1..)) {}
            return None;
        }
        Do::Reset => {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
            return None;
        }
        Do::Close => return None,
    }
    Some(())
}
