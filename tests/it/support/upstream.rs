use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, body::Body, extract::State, http::Response};
use parking_lot::Mutex;
use tickwire::shutdown::Tasks;
use tokio::{net::TcpListener, sync::watch};

use super::soon;

/// An upstream API that gives the prices it is told, or misbehaves.
#[derive(Clone)]
pub struct Upstream {
    script: Arc<Mutex<Script>>,
    polls: watch::Receiver<u64>,
    address: std::net::SocketAddr,
}

struct Script {
    prices: BTreeMap<String, String>,
    misbehaviour: Option<Answer>,
    polls: watch::Sender<u64>,
}

/// What to answer instead of prices.
#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Upstream {
    pub async fn start() -> Self {
        let (sender, polls) = watch::channel(0);
        let script = Script { prices: BTreeMap::new(), misbehaviour: None, polls: sender };
        let script = Arc::new(Mutex::new(script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(script.clone());
        Tasks::default().spawn("fake upstream", async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { script, polls, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives `price` for a symbol as Binance spells it.
    pub fn price(&self, symbol: &str, price: &str) {
        self.script.lock().prices.insert(symbol.into(), price.into());
    }

    /// Answers with this until told otherwise.
    pub fn misbehave(&self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let answer = Answer { status, headers, body: body.to_owned() };
        self.script.lock().misbehaviour = Some(answer);
    }

    pub fn behave(&self) {
        self.script.lock().misbehaviour = None;
    }

    /// How often it was asked.
    pub fn polls(&self) -> u64 {
        *self.polls.borrow()
    }

    /// Waits until it was asked `more` times from now on.
    pub async fn polled(&self, more: u64) {
        let target = self.polls() + more;
        let mut polls = self.polls.clone();
        soon("a poll", polls.wait_for(|polls| *polls >= target)).await.unwrap();
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>) -> Response<Body> {
    let script = script.lock();
    script.polls.send_modify(|polls| *polls += 1);
    if let Some(answer) = script.misbehaviour.clone() {
        let mut response = Response::builder().status(answer.status);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        return response.body(Body::from(answer.body)).unwrap();
    }
    let rows: Vec<_> = script
        .prices
        .iter()
        .map(|(symbol, price)| format!(r#"{{"symbol":"{symbol}","price":"{price}"}}"#))
        .collect();
    Response::builder()
        .header("content-type", "application/json")
        .body(Body::from(format!("[{}]", rows.join(","))))
        .unwrap()
}
