//! Coinbase Exchange: the channels `ticker` and `heartbeat`.
//!
//! A request is taken as a whole or not at all. The sequence of a product goes on with every
//! step of the market, the same for every client: it grows, and as on the real `ticker` channel
//! not by one, since messages of other channels count too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::units::Micros;

use super::{
    super::{apis::coinbase::Product, date::rfc3339_micros},
    At, Out, second,
};

/// Who has not subscribed after so long is disconnected.
const PATIENCE_US: Micros = 5_000_000;

/// Messages of all channels in a step, from which sequences follow.
const MESSAGES_PER_STEP: u64 = 20;

/// Days of trading before the simulation begins leave a sequence behind.
const SEQUENCE_FIRST: u64 = 37_475_000_000;

/// One client.
#[derive(Debug, Default)]
pub(super) struct Session {
    subscriptions: BTreeSet<(Channel, String)>,
    /// Prices told last: price, bid and ask of a product.
    said: std::collections::BTreeMap<String, [String; 3]>,
    opened: Micros,
    subscribed: bool,
    beat: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Channel {
    Heartbeat,
    Ticker,
}

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    product_ids: Vec<String>,
    #[serde(default)]
    channels: Vec<Wanted>,
}

/// A channel by its name, or with products of its own.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    Name(String),
    Products {
        name: String,
        #[serde(default)]
        product_ids: Vec<String>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Message<'a> {
    Error { message: &'static str, reason: &'a str },
    Subscriptions { channels: Vec<Listed<'a>> },
    Heartbeat { sequence: u64, last_trade_id: u64, product_id: &'a str, time: String },
    Ticker(Box<Ticker<'a>>),
}

#[derive(Serialize)]
struct Listed<'a> {
    name: Channel,
    product_ids: Vec<&'a str>,
}

#[derive(Serialize)]
struct Ticker<'a> {
    sequence: u64,
    product_id: &'a str,
    price: String,
    open_24h: String,
    volume_24h: String,
    low_24h: String,
    high_24h: String,
    volume_30d: String,
    best_bid: String,
    best_bid_size: String,
    best_ask: String,
    best_ask_size: String,
    side: &'static str,
    time: String,
    trade_id: u64,
    last_size: String,
}

impl super::Session for Session {
    fn messages_per_second(&self) -> usize {
        100
    }

    fn open(&mut self, at: At<'_>) -> Out {
        self.opened = at.now;
        self.beat = second(at.now);
        Out::default()
    }

    fn hear(&mut self, text: &str, at: At<'_>) -> Out {
        let Ok(request) = serde_json::from_str::<Request>(text) else {
            let reason = "the message is not of a known form";
            return Out::one(&Message::Error { message: "Malformed JSON", reason });
        };
        let (message, outcome) = match request.kind.as_str() {
            "subscribe" => ("Failed to subscribe", self.subscribe(&request, at)),
            "unsubscribe" => ("Failed to unsubscribe", self.unsubscribe(&request)),
            other => ("Invalid type", Err(format!("{other} is not a valid type"))),
        };
        match outcome {
            Ok(()) => Out::one(&self.listed()),
            Err(reason) => Out::one(&Message::Error { message, reason: &reason }),
        }
    }

    fn tick(&mut self, at: At<'_>) -> Out {
        if !self.subscribed && at.now - self.opened >= PATIENCE_US {
            return Out::close(1_008, "no subscription within 5 seconds");
        }
        let mut out = Out::default();
        for (channel, id) in self.subscriptions.iter().rev() {
            let message = match channel {
                Channel::Ticker => ticker(id, at)
                    .filter(|ticker| {
                        let says = [&ticker.price, &ticker.best_bid, &ticker.best_ask];
                        let same = self.said.get(id).is_some_and(|said| said.iter().eq(says));
                        if !same {
                            self.said.insert(id.clone(), says.map(Clone::clone));
                        }
                        !same
                    })
                    .map(|ticker| Message::Ticker(Box::new(ticker))),
                Channel::Heartbeat if second(at.now) != self.beat => heartbeat(id, at),
                Channel::Heartbeat => None,
            };
            if let Some(message) = message {
                out.say(&message);
            }
        }
        self.beat = second(at.now);
        out
    }

    fn warn(&mut self, _: At<'_>) -> Out {
        Out::default()
    }
}

impl Session {
    fn subscribe(&mut self, request: &Request, at: At<'_>) -> Result<(), String> {
        let mut wanted = BTreeSet::new();
        if request.channels.is_empty() {
            return Err("You need to specify at least one channel".to_owned());
        }
        for channel in &request.channels {
            let (name, own) = channel.parts();
            let known = Channel::named(name)?;
            let products = if own.is_empty() { &*request.product_ids } else { own };
            if products.is_empty() {
                let reason = "You need to specify at least one product ID for channel";
                return Err(format!("{reason} {name}"));
            }
            for id in products {
                if Product::find(at.market, id).is_none() {
                    return Err(format!("{id} is not a valid product"));
                }
                wanted.insert((known, id.clone()));
            }
        }
        self.subscribed = true;
        self.subscriptions.append(&mut wanted);
        Ok(())
    }

    /// Without products a channel goes as a whole; without channels the products go from all.
    fn unsubscribe(&mut self, request: &Request) -> Result<(), String> {
        let gone = |products: &[String], id: &String| products.is_empty() || products.contains(id);
        if request.channels.is_empty() {
            self.subscriptions.retain(|(_, id)| !request.product_ids.contains(id));
        }
        let mut wanted = Vec::new();
        for channel in &request.channels {
            let (name, own) = channel.parts();
            let products = if own.is_empty() { &*request.product_ids } else { own };
            wanted.push((Channel::named(name)?, products));
        }
        for (channel, products) in wanted {
            self.subscriptions.retain(|(held, id)| *held != channel || !gone(products, id));
        }
        let held = &self.subscriptions;
        self.said.retain(|id, _| held.contains(&(Channel::Ticker, id.clone())));
        Ok(())
    }

    fn listed(&self) -> Message<'_> {
        let mut channels: Vec<Listed<'_>> = Vec::new();
        for (name, id) in &self.subscriptions {
            match channels.last_mut().filter(|last| last.name == *name) {
                Some(last) => last.product_ids.push(id),
                None => channels.push(Listed { name: *name, product_ids: vec![id] }),
            }
        }
        Message::Subscriptions { channels }
    }
}

impl Wanted {
    fn parts(&self) -> (&str, &[String]) {
        match self {
            Self::Name(name) => (name, &[]),
            Self::Products { name, product_ids } => (name, product_ids),
        }
    }
}

impl Channel {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            "ticker" => Ok(Self::Ticker),
            "heartbeat" => Ok(Self::Heartbeat),
            other => Err(format!("{other} is not a valid channel")),
        }
    }
}

fn sequence(step: u64) -> u64 {
    SEQUENCE_FIRST.saturating_add(step.saturating_mul(MESSAGES_PER_STEP))
}

fn ticker<'a>(id: &'a str, at: At<'_>) -> Option<Ticker<'a>> {
    let product = Product::find(at.market, id)?;
    let (quote, ticker, stats) =
        (product.quote(at.market)?, product.ticker(at.market)?, product.stats(at.market)?);
    Some(Ticker {
        sequence: sequence(quote.step),
        product_id: id,
        price: ticker.price,
        open_24h: stats.open,
        volume_24h: stats.volume,
        low_24h: stats.low,
        high_24h: stats.high,
        volume_30d: stats.volume_30day,
        best_bid: ticker.bid,
        best_bid_size: Product::size(&quote, 1),
        best_ask: ticker.ask,
        best_ask_size: Product::size(&quote, 2),
        side: if quote.step * 7_919 % 5 < 3 { "buy" } else { "sell" },
        time: rfc3339_micros(at.market.time_of(quote.step)),
        trade_id: ticker.trade_id,
        last_size: ticker.size,
    })
}

fn heartbeat<'a>(id: &'a str, at: At<'_>) -> Option<Message<'a>> {
    let ticker = Product::find(at.market, id)?.ticker(at.market)?;
    Some(Message::Heartbeat {
        sequence: sequence(at.market.step()),
        last_trade_id: ticker.trade_id,
        product_id: id,
        time: rfc3339_micros(at.now),
    })
}
