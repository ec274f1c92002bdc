//! How far a stream has come, as its `id` tells it and `Last-Event-ID` brings it back. Pure.
//!
//! `k3f9;price.BTC-USD=57;price.ETH-USD=12` means: every topic is known up to its number, in the
//! numbering `k3f9`. A topic in another numbering names it: `price.ETH-USD=12@m2aa`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    delivery::SubscribeRow,
    market::{Pattern, Topic},
    protocol::params::{Position, Resume},
};

/// The most topics that an id names.
const TOPICS_MAX: usize = 64;
/// The most bytes that their names may take together: an id comes back in a request's head.
const NAMES_BYTES_MAX: usize = 4096;

/// How far each topic of a stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Positions(BTreeMap<String, Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The numbering in which updates count now.
    epoch: String,
    /// The last that was sent, and its numbering.
    seen: Option<(String, u64)>,
}

/// What of a message says how far its topic has come.
#[derive(Deserialize)]
struct Seen<'a> {
    r#type: &'a str,
    topic: &'a str,
    epoch: Option<&'a str>,
    seq: Option<u64>,
    to: Option<u64>,
    reason: Option<&'a str>,
}

impl Positions {
    /// Where a stream of `rows` begins. `None` where ids cannot tell it: a pattern covers topics
    /// that come later, and too many topics do not fit into a header.
    ///
    /// A topic that goes on from where `resume` says is known up to there. One whose snapshot is
    /// still to come is not known up to any number before that is sent.
    pub(super) fn begin(
        rows: &[SubscribeRow],
        snapshot: bool,
        resume: Option<&Resume>,
    ) -> Option<Self> {
        // Who resumes gets a snapshot of what cannot go on, asked or not.
        let snapshot = snapshot || resume.is_some();
        let mut places = BTreeMap::new();
        for row in rows.iter().filter(|row| row.ok) {
            let (epoch, seq) = (row.epoch.as_ref()?.to_string(), row.seq?);
            let topic = row.canonical.as_ref().unwrap_or(&row.topic);
            let seen = match (row.recovered, resume) {
                (Some(true), Some(resume)) => position(resume, topic),
                _ => (!snapshot || seq == 0).then(|| (epoch.clone(), seq)),
            };
            places.insert(topic.clone(), Place { epoch, seen });
        }
        let bytes: usize = places.keys().map(String::len).sum();
        (places.len() <= TOPICS_MAX && bytes <= NAMES_BYTES_MAX).then_some(Self(places))
    }

    /// Takes note of a message that is sent.
    pub(super) fn sent(&mut self, message: &[u8]) {
        // What cannot be read so has no topic, and brings none further.
        let Ok(seen) = serde_json::from_slice::<Seen<'_>>(message) else { return };
        let Some(place) = self.0.get_mut(seen.topic) else { return };
        if let Some(epoch) = seen.epoch {
            epoch.clone_into(&mut place.epoch);
        }
        let seq = match seen.r#type {
            "snapshot" | "update" => seen.seq,
            // The numbers of a gap between numberings belong to neither.
            "gap" if seen.reason != Some("epoch") => seen.to,
            _ => None,
        };
        if let Some(seq) = seq {
            match &mut place.seen {
                Some(known) if known.0 == place.epoch => known.1 = seq,
                known => *known = Some((place.epoch.clone(), seq)),
            }
        }
    }

    /// Writes the id; nothing while no topic is known up to any number.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut seen =
            self.0.iter().filter_map(|(topic, place)| Some((topic, place.seen.as_ref()?)));
        let Some((_, (common, _))) = seen.clone().next() else {
            return;
        };
        out.extend_from_slice(common.as_bytes());
        for (topic, (epoch, seq)) in seen.by_ref() {
            out.push(b';');
            out.extend_from_slice(topic.as_bytes());
            out.push(b'=');
            out.extend_from_slice(itoa::Buffer::new().format(*seq).as_bytes());
            if epoch != common {
                out.push(b'@');
                out.extend_from_slice(epoch.as_bytes());
            }
        }
    }
}

/// Reads an id. `None` when it is not one of ours.
pub(super) fn parse(id: &str) -> Option<Resume> {
    let mut parts = id.split(';');
    let epoch = parts.next().filter(|epoch| is_epoch(epoch))?;
    let mut seq = BTreeMap::new();
    for part in parts {
        let (topic, position) = part.split_once('=')?;
        Topic::parse(topic).ok()?;
        let position = match position.split_once('@') {
            None => Position::Seq(number(position)?),
            Some((seq, epoch)) if is_epoch(epoch) => {
                Position::In { epoch: epoch.to_owned(), seq: number(seq)? }
            }
            Some(_) => return None,
        };
        if seq.len() >= TOPICS_MAX || seq.insert(topic.to_owned(), position).is_some() {
            return None;
        }
    }
    (!seq.is_empty()).then(|| Resume { epoch: Some(epoch.to_owned()), seq })
}

/// What of `resume` concerns the topics asked: a client may have changed its mind.
pub(super) fn concerning(mut resume: Resume, asked: &[String]) -> Option<Resume> {
    let asked: Vec<_> = asked
        .iter()
        .filter_map(|text| {
            let canonical = Topic::canonical_text(text);
            Pattern::parse(canonical.as_deref().unwrap_or(text)).ok()
        })
        .collect();
    resume.seq.retain(|topic, _| asked.iter().any(|pattern| pattern.matches(topic)));
    (!resume.seq.is_empty()).then_some(resume)
}

fn position(resume: &Resume, topic: &str) -> Option<(String, u64)> {
    match resume.seq.get(topic)? {
        Position::Seq(seq) => Some((resume.epoch.clone()?, *seq)),
        Position::In { epoch, seq } => Some((epoch.clone(), *seq)),
    }
}

fn is_epoch(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn row(topic: &str, epoch: &str, seq: u64) -> SubscribeRow {
        let (topic, epoch) = (topic.to_owned(), Some(Arc::from(epoch)));
        SubscribeRow { topic, ok: true, epoch, seq: Some(seq), ..SubscribeRow::default() }
    }

    fn id(positions: &Positions) -> String {
        let mut out = Vec::new();
        positions.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_topic_is_named_once_its_value_was_sent() {
        let rows = [row("a", "e1", 7), row("b", "e1", 0)];
        let mut positions = Positions::begin(&rows, true, None).unwrap();
        assert_eq!(id(&positions), "e1;b=0");
        positions.sent(br#"{"type":"snapshot","topic":"a","epoch":"e1","seq":7,"data":{}}"#);
        assert_eq!(id(&positions), "e1;a=7;b=0");
        positions.sent(br#"{"type":"update","topic":"b","seq":1,"data":{"x":"1"}}"#);
        positions.sent(br#"{"type":"gap","topic":"a","from":8,"to":9,"reason":"slow_consumer"}"#);
        positions.sent(br#"{"type":"status","topic":"a","state":"stale"}"#);
        positions.sent(br#"{"type":"update","topic":"other","seq":1,"data":{}}"#);
        positions.sent(br#"{"type":"heartbeat","time":5}"#);
        assert_eq!(id(&positions), "e1;a=9;b=1");
        let unasked = Positions::begin(&rows, false, None).unwrap();
        assert_eq!(id(&unasked), "e1;a=7;b=0");
    }

    #[test]
    fn a_new_numbering_is_named_with_the_topic() {
        let rows = [row("a", "e1", 7), row("b", "e1", 2)];
        let mut positions = Positions::begin(&rows, false, None).unwrap();
        positions.sent(br#"{"type":"gap","topic":"b","from":1,"to":3,"reason":"epoch"}"#);
        assert_eq!(id(&positions), "e1;a=7;b=2");
        positions.sent(br#"{"type":"snapshot","topic":"b","epoch":"e2","seq":4,"data":{}}"#);
        positions.sent(br#"{"type":"update","topic":"b","seq":5,"data":{}}"#);
        assert_eq!(id(&positions), "e1;a=7;b=5@e2");
    }

    #[test]
    fn a_stream_that_goes_on_is_where_it_was_until_something_comes() {
        let resume = parse("e1;a=3;b=2").unwrap();
        let recovered = SubscribeRow { recovered: Some(true), ..row("a", "e1", 7) };
        let anew = SubscribeRow { recovered: Some(false), ..row("b", "e1", 9) };
        let mut positions = Positions::begin(&[recovered, anew], false, Some(&resume)).unwrap();
        assert_eq!(id(&positions), "e1;a=3");
        positions.sent(br#"{"type":"update","topic":"a","seq":4,"data":{}}"#);
        assert_eq!(id(&positions), "e1;a=4");
        positions.sent(br#"{"type":"snapshot","topic":"b","epoch":"e1","seq":9,"data":{}}"#);
        assert_eq!(id(&positions), "e1;a=4;b=9");
    }

    #[test]
    fn patterns_and_many_topics_have_no_id() {
        let pattern = SubscribeRow {
            topic: "a.*".into(),
            ok: true,
            matched: Some(1),
            ..SubscribeRow::default()
        };
        assert_eq!(Positions::begin(&[row("a", "e1", 1), pattern], true, None), None);
        let named = |count: usize, len: usize| {
            let rows: Vec<_> =
                (0..count).map(|index| row(&format!("{index:0len$}"), "e1", 1)).collect();
            Positions::begin(&rows, true, None).is_some()
        };
        assert!(named(64, 20) && named(64, 64) && named(32, 128));
        assert!(!named(65, 20) && !named(64, 65));
    }

    #[test]
    fn what_is_no_id_is_not_read() {
        let many: String = (0..65).map(|index| format!(";t{index}=1")).collect();
        for bad in [
            "",
            "e1",
            "e1;",
            ";a=1",
            "e1;a",
            "e1;a=",
            "e1;a=-1",
            "e1;a=+1",
            "e1;a=1;a=2",
            "e1;a..b=1",
            "e1;a.*=1",
            "e1;a=1@",
            "e1;a=1@é",
            "e 1;a=1",
            "e1;a=99999999999999999999",
            "7",
            "{}",
            &format!("e1{many}"),
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_topics_that_are_still_asked_are_resumed() {
        let resume = || parse("e1;price.BTC-USD=1;a.b=2;c=3").unwrap();
        let kept = |asked: &[&str]| -> Vec<_> {
            let asked: Vec<_> = asked.iter().map(ToString::to_string).collect();
            let kept = concerning(resume(), &asked);
            kept.map_or_else(Vec::new, |kept| kept.seq.into_keys().collect())
        };
        assert_eq!(kept(&["price.btcusd", "a.*", "..", "d"]), ["a.b", "price.BTC-USD"]);
        assert!(kept(&["d"]).is_empty());
    }

    proptest! {
        #[test]
        fn an_id_comes_back_as_it_went(
            topics in proptest::collection::btree_map(
                "[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9_-]{1,8}){0,3}",
                ("[a-z0-9]{1,16}", 0_u64..=u64::MAX),
                1..64,
            ),
        ) {
            let rows: Vec<_> =
                topics.iter().map(|(topic, (epoch, seq))| row(topic, epoch, *seq)).collect();
            let positions = Positions::begin(&rows, false, None).unwrap();
            let resumed = parse(&id(&positions)).unwrap();
            prop_assert_eq!(resumed.seq.len(), topics.len());
            for (topic, (epoch, seq)) in topics {
                prop_assert_eq!(position(&resumed, &topic), Some((epoch, seq)));
            }
        }

        #[test]
        fn reading_never_panics(text in ".{0,200}") {
            let _read = parse(&text);
        }
    }
}
