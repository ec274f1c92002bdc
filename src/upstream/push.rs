//! Feeds that are not asked for: clients publish to them with the feed's key.

use std::{borrow::Cow, collections::BTreeMap, collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{
    clock::Clock,
    feed::Feed,
    providers::value::{Kind, is_name},
    publish::Publisher,
};
use crate::{
    hub::{Intake, Outcome, Receipt, Refusal, Rejection, Submission, Taken},
    market::{Data, Epoch, Pattern, Symbol, Tick, Topic, fields},
    units::{Micros, Secret, TokenBucket},
};

/// The most topics that are published to one feed: the hub keeps a topic for good.
const TOPICS_MAX: usize = 10_000;

/// The most fields of one value.
const FIELDS_MAX: usize = 64;

/// The most values of one request, which always fit the rate at once.
const ITEMS_MAX: f64 = 1_000.0;

/// Kinds of topics that are the server's own.
const RESERVED: [&str; 3] = ["status", "trade", "book"];

/// Before the year 2000: a time in another unit than µs.
const TS_MIN: Micros = 946_684_800_000_000;

/// All feeds that clients publish to.
pub struct Desk(pub Vec<Lane>);

/// One feed that clients publish to.
pub struct Lane {
    feed: Arc<Feed>,
    clock: Clock,
    epoch: Epoch,
    key: Secret,
    allowed: Vec<Pattern>,
    inner: Mutex<Inner>,
}

struct Inner {
    publisher: Publisher,
    rate: TokenBucket,
    /// Topics that were published to, with the publisher's own last number of each.
    last: HashMap<Topic, Option<u64>>,
}

/// The fields of a value.
#[derive(Deserialize)]
#[serde(transparent)]
struct Fields<'a>(#[serde(borrow)] BTreeMap<Name<'a>, &'a RawValue>);

/// A name, borrowed from the text unless it has escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Desk {
    /// The lane of `key`. Every key is compared, each in a time that does not depend on its bytes.
    fn lane(&self, key: &str) -> Option<&Lane> {
        let mut found = None;
        for lane in &self.0 {
            if bool::from(lane.key.expose().as_bytes().ct_eq(key.as_bytes())) {
                found = found.or(Some(lane));
            }
        }
        found
    }
}

impl Intake for Desk {
    fn is_open(&self) -> bool {
        !self.0.is_empty()
    }

    fn knows(&self, key: &str) -> bool {
        self.lane(key).is_some()
    }

    fn publish(&self, key: &str, items: &[Submission]) -> Result<Vec<Receipt>, Refusal> {
        self.lane(key).ok_or(Refusal::WrongKey)?.publish(items)
    }
}

impl Lane {
    /// A lane on which nothing has gone yet, `rate` values a second.
    pub fn new(
        feed: Arc<Feed>,
        clock: Clock,
        epoch: Epoch,
        key: Secret,
        (allowed, rate): (Vec<Pattern>, u32),
        publisher: Publisher,
    ) -> Self {
        let rate = f64::from(rate);
        let rate = TokenBucket::new(rate, (2.0 * rate).max(ITEMS_MAX), Instant::now().into_std());
        let inner = Mutex::new(Inner { publisher, rate, last: HashMap::new() });
        Self { feed, clock, epoch, key, allowed, inner }
    }

    /// Under one lock, so that the topics of two requests do not mix.
    fn publish(&self, items: &[Submission]) -> Result<Vec<Receipt>, Refusal> {
        let mut inner = self.inner.lock();
        // More than there can ever be are taken as that: the bound is on requests.
        let tokens = f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX));
        let (tokens, at) = (tokens.min(ITEMS_MAX), Instant::now().into_std());
        if !inner.rate.take(tokens, at) {
            return Err(Refusal::TooFast(inner.rate.wait(tokens, at)));
        }
        let now = self.clock.now();
        let mut held_back = false;
        let hub = inner.publisher.hub().clone();
        let _together = hub.batch();
        let receipts: Vec<Receipt> =
            items.iter().map(|item| self.take(&mut inner, item, now, &mut held_back)).collect();
        if !held_back {
            inner.publisher.clean();
        }
        self.feed.metrics().answered(true);
        if receipts.iter().any(Result::is_ok) {
            self.feed.delivered(now);
            self.feed.recovered(now);
        }
        Ok(receipts)
    }

    fn take(
        &self,
        inner: &mut Inner,
        item: &Submission,
        now: Micros,
        held_back: &mut bool,
    ) -> Receipt {
        let topic = self.topic(&item.topic)?;
        if item.ts.is_some_and(|ts| ts < TS_MIN) {
            let message = "ts is in microseconds since 1970, and this one is before the year 2000";
            return Err(Rejection::Data(message.to_owned()));
        }
        let data = data(&topic, &item.data).map_err(Rejection::Data)?;
        match inner.last.get(&topic) {
            Some(last) if item.seq.is_some() && item.seq <= *last => return Ok(Taken::Duplicate),
            Some(_) => {}
            None if inner.last.len() >= TOPICS_MAX => {
                let message = format!("this feed has its {TOPICS_MAX} topics already");
                return Err(Rejection::TooManyTopics(message));
            }
            None => drop(inner.last.insert(topic.clone(), None)),
        }
        let tick = Tick { topic, data, ts: item.ts };
        let outcome = inner.publisher.publish_one(&tick, now).map_err(|fault| {
            *held_back = true;
            Rejection::Data(format!("quarantined: {}", fault.as_str()))
        })?;
        if let (Some(seq), Some(last)) = (item.seq, inner.last.get_mut(&tick.topic)) {
            *last = Some(seq);
        }
        Ok(match outcome {
            Outcome::Issued(seq) => Taken::Issued { epoch: self.epoch.clone(), seq },
            Outcome::Unchanged => Taken::Duplicate,
        })
    }

    /// The topic, where it may be published here.
    fn topic(&self, text: &str) -> Result<Topic, Rejection> {
        let topic = Topic::parse(text).map_err(|error| Rejection::Topic(error.to_string()))?;
        if let Some(canonical) = Topic::canonical_text(text) {
            return Err(Rejection::Topic(format!("write the canonical topic, {canonical}")));
        }
        let tokens: Vec<&str> = text.split('.').collect();
        let name = self.feed.name();
        let own = match tokens.as_slice() {
            ["price", symbol, source] => {
                Symbol::parse(symbol).is_some() && *source == name.as_ref()
            }
            ["price", ..] => false,
            [kind, ..] => !RESERVED.contains(kind),
            [] => false,
        };
        if !own {
            return Err(Rejection::Forbidden(format!(
                "status., trade. and book. are the server's own, and a price goes to \
                 price.<SYMBOL>.{name}"
            )));
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|pattern| pattern.matches(text)) {
            let message = "no pattern in `topics` of this key's feed allows it";
            return Err(Rejection::Forbidden(message.to_owned()));
        }
        Ok(topic)
    }
}

/// Values from the text of a JSON object, in the protocol's order, and after them those that it
/// does not know by name.
fn data(topic: &Topic, json: &str) -> Result<Data, String> {
    let Fields(given) =
        serde_json::from_str(json).map_err(|_| "data is not a JSON object of values".to_owned())?;
    if given.len() > FIELDS_MAX {
        return Err(format!("data has more than {FIELDS_MAX} fields"));
    }
    let known = fields::of(topic.as_str());
    let place = |name: &str| known.iter().position(|field| field.name == name);
    let mut fields: Vec<_> = given.iter().collect();
    fields.sort_by_key(|(name, _)| place(&name.0).unwrap_or(known.len()));
    let mut data = Data::new();
    for (Name(name), raw) in fields {
        if !is_name(name) {
            return Err("a field's name is A-Z, a-z, 0-9 and _, at most 64 of them".to_owned());
        }
        let read = Kind::of(topic.as_str(), name).read(raw);
        if let Some(value) = read.map_err(|why| format!("data.{name} {why}"))? {
            data.push(name.clone().into_owned(), value);
        }
    }
    if data.is_empty() {
        return Err("data holds no value".to_owned());
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(topic: &str, json: &str) -> Result<Data, String> {
        data(&Topic::parse(topic).unwrap(), json)
    }

    #[test]
    fn fields_have_the_types_that_the_protocol_gives_them() {
        let fear = read("market.fear_greed", r#"{"label":"7","value":"40","x":"1E-8"}"#).unwrap();
        let names: Vec<&str> = fear.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["value", "label", "x"]);
        assert_eq!(fear.get("value"), Some(&crate::market::Value::Int(40)));
        assert_eq!(fear.get("label"), Some(&crate::market::Value::Text("7".to_owned())));
        assert_eq!(fear.decimal("x").unwrap().as_str(), "0.00000001");
        let wrong = read("market.fear_greed", r#"{"value":1.5}"#);
        assert_eq!(wrong, Err("data.value is not a whole number".to_owned()));
    }

    #[test]
    fn a_value_has_a_bound_of_fields() {
        let fields: Vec<String> = (0..65).map(|n| format!("\"f{n}\":1")).collect();
        assert!(read("a.b", &format!("{{{}}}", fields[1..].join(","))).is_ok());
        assert!(read("a.b", &format!("{{{}}}", fields.join(","))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reading(json in "[{\\[]{0,2}[ -~]{0,80}") {
            let _read = read("price.BTC-USD.x", &json);
        }
    }
}
