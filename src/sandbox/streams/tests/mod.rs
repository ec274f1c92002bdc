//! The streams: what each venue says, decided without a socket; and some sessions over one.

mod binance;
mod coinbase;
mod kraken;
mod sockets;

use serde_json::{Value, json};

use super::{
    super::{assets, market::Market},
    *,
};

/// 2025-09-12T07:18:29.100Z.
const EPOCH: Micros = 1_757_661_509_100_000;

/// A client of one venue in a market whose time is told.
struct Client<S> {
    market: Market,
    session: S,
    passed_us: Micros,
    greeting: Vec<Value>,
}

impl<S: Session> Client<S> {
    fn new(session: S) -> Self {
        let market = Market::new(1, 0.6, &assets::select(&[]).unwrap(), EPOCH);
        let mut client = Self { market, session, passed_us: 0, greeting: Vec::new() };
        let out = client.ask(|session, at| session.open(at));
        client.greeting = parsed(out);
        client
    }

    fn ask(&mut self, question: impl FnOnce(&mut S, At<'_>) -> Out) -> Out {
        let at = At { market: &self.market, now: EPOCH + self.passed_us };
        question(&mut self.session, at)
    }

    /// What is answered.
    fn say(&mut self, message: &Value) -> Vec<Value> {
        self.text(&message.to_string())
    }

    fn text(&mut self, text: &str) -> Vec<Value> {
        parsed(self.ask(|session, at| session.hear(text, at)))
    }

    /// What comes within so many steps of the market.
    fn steps(&mut self, count: u64) -> Vec<Value> {
        (0..count).flat_map(|_| parsed(self.step())).collect()
    }

    fn step(&mut self) -> Out {
        self.jump(100_000)
    }

    /// The first step after so much time.
    fn jump(&mut self, us: Micros) -> Out {
        self.passed_us += us;
        self.market.advance_to(u64::try_from(self.passed_us / 100_000).unwrap());
        self.ask(|session, at| session.tick(at))
    }
}

fn parsed(out: Out) -> Vec<Value> {
    assert_eq!(out.close, None);
    out.messages.iter().map(|message| serde_json::from_str(message).unwrap()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
