//! The rules of feeds with `provider = "push"`.

use super::Checks;
use crate::{
    config::KeyPath,
    market::Pattern,
    upstream::config::{FeedConfig, ProviderKind},
};

/// Shortest key, in bytes: with fewer it could be guessed.
const KEY_BYTES_MIN: usize = 16;

impl Checks<'_> {
    /// Checks a `push` feed, and that others have none of its keys.
    pub(super) fn push(&mut self, feed: &FeedConfig, path: &KeyPath) {
        if feed.provider != ProviderKind::Push {
            if feed.key.is_some() {
                let message = format!("is for push feeds, and this is a {} one", feed.provider);
                self.refuse(path.key("key"), message);
            }
            return;
        }
        for (key, given) in [
            ("base_url", feed.base_url.is_some()),
            ("endpoint", feed.endpoint.is_some()),
            ("api_key", feed.api_key.is_some()),
            ("budget", feed.budget.is_some()),
            ("symbols", !feed.symbols.is_empty()),
            ("ids", !feed.ids.is_empty()),
        ] {
            if given {
                self.refuse(path.key(key), "is not for push feeds: nothing is asked");
            }
        }
        if let Some(source) = &feed.key {
            match source.read_with(|name| self.environment.get(name).cloned()) {
                Ok(key) if key.expose().len() < KEY_BYTES_MIN => {
                    let message = format!("{source} holds less than {KEY_BYTES_MIN} characters");
                    self.refuse(path.key("key"), message);
                }
                Ok(_) => {}
                Err(message) => self.refuse(path.key("key"), message),
            }
        }
        for (index, pattern) in feed.topic_patterns().iter().enumerate() {
            if let Err(error) = Pattern::parse(pattern) {
                self.refuse(path.key("topics").index(index), error.to_string());
            }
        }
        if !(1..=1_000_000).contains(&feed.rate) {
            let message = format!("{} is not between 1 and 1000000", feed.rate);
            self.refuse(path.key("rate"), message);
        }
    }
}
