//! What is subscribed, over all outlets, for producers that work only while somebody wants what
//! they make.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::market::{Pattern, Topic};

/// Counts subscriptions by what they ask for. Reads of a moment, as of a snapshot, do not count.
#[derive(Debug)]
pub struct Interest {
    subscribed: Mutex<Subscribed>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Subscribed {
    /// Names.
    exact: HashMap<Pattern, usize>,
    /// Patterns with a wildcard.
    wild: HashMap<Pattern, usize>,
}

impl Default for Interest {
    fn default() -> Self {
        Self { subscribed: Mutex::default(), changes: watch::channel(()).0 }
    }
}

impl Interest {
    /// Somebody has subscribed to `pattern`.
    pub fn begin(&self, pattern: &Pattern) {
        if self.subscribed.lock().begin(pattern) {
            self.changes.send_replace(());
        }
    }

    /// Somebody who had subscribed to `pattern` does no more.
    pub fn end(&self, pattern: &Pattern) {
        if self.subscribed.lock().end(pattern) {
            self.changes.send_replace(());
        }
    }

    /// Whether anybody subscribes to any of `topics`, by name or by a pattern.
    pub fn in_any<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) -> bool {
        let subscribed = self.subscribed.lock();
        topics.into_iter().any(|topic| subscribed.has(topic))
    }

    /// Every string that is subscribed, with how often.
    #[cfg(test)]
    pub fn counts(&self) -> std::collections::BTreeMap<String, usize> {
        let subscribed = self.subscribed.lock();
        let all = subscribed.exact.iter().chain(&subscribed.wild);
        all.map(|(pattern, count)| (pattern.to_string(), *count)).collect()
    }

    /// Tells when what is subscribed at all has changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

impl Subscribed {
    fn like(&mut self, pattern: &Pattern) -> &mut HashMap<Pattern, usize> {
        if pattern.is_wildcard() { &mut self.wild } else { &mut self.exact }
    }

    /// Tells whether it is the first of its kind.
    fn begin(&mut self, pattern: &Pattern) -> bool {
        let count = self.like(pattern).entry(pattern.clone()).or_default();
        *count += 1;
        *count == 1
    }

    /// Tells whether it was the last of its kind.
    fn end(&mut self, pattern: &Pattern) -> bool {
        let like = self.like(pattern);
        let Some(count) = like.get_mut(pattern) else { return false };
        *count -= 1;
        *count == 0 && like.remove(pattern).is_some()
    }

    fn has(&self, topic: &Topic) -> bool {
        let name = topic.as_str();
        self.exact.contains_key(name) || self.wild.keys().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_topic_is_wanted_while_a_name_or_a_pattern_asks_for_it() {
        let interest = Interest::default();
        let topics = ["price.BTC-USD.a", "price.BTC-USD"].map(|text| Topic::parse(text).unwrap());
        assert!(!interest.in_any(&topics));
        for text in ["price.BTC-USD", "price.>", "price.*.a"] {
            interest.begin(&pattern(text));
            interest.begin(&pattern(text));
            assert!(interest.in_any(&topics), "{text}");
            interest.end(&pattern(text));
            assert!(interest.in_any(&topics), "{text}");
            interest.end(&pattern(text));
            assert!(!interest.in_any(&topics), "{text}");
        }
        interest.begin(&pattern("price.ETH-USD"));
        interest.end(&pattern("price.BTC-USD"));
        assert!(!interest.in_any(&topics));
    }

    #[test]
    fn only_the_first_and_the_last_of_a_kind_are_news() {
        let interest = Interest::default();
        let mut changes = interest.changes();
        let mut news = || {
            let news = changes.has_changed().unwrap();
            changes.mark_unchanged();
            news
        };
        for text in ["price.BTC-USD", "price.>"] {
            let pattern = pattern(text);
            interest.begin(&pattern);
            assert!(news());
            interest.begin(&pattern);
            interest.end(&pattern);
            assert!(!news());
            interest.end(&pattern);
            assert!(news());
        }
    }
}
