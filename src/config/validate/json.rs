//! The rules of feeds with `provider = "json"`, and of the keys that only they have.

use std::collections::BTreeMap;

use super::{Checks, address};
use crate::{
    config::KeyPath,
    upstream::config::{FeedConfig, ProviderKind, Setting, Topics},
};

/// Headers that the connection or the client decides on.
const OWN_HEADERS: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "upgrade",
    "accept-encoding",
    "expect",
];

impl Checks<'_> {
    /// `topics` is a number for one provider and a list of tables for another.
    pub(super) fn topics(&mut self, feed: &FeedConfig, path: &KeyPath) {
        let message = match (&feed.topics, feed.provider) {
            (None, _)
            | (Some(Topics::Tables(_)), ProviderKind::Json)
            | (Some(Topics::Patterns(_)), ProviderKind::Push) => return,
            (_, ProviderKind::Json) => "of a json feed are tables: write [[feeds.topics]] for each",
            (_, ProviderKind::Push) => "of a push feed are patterns, as in [\"signal.*.my_model\"]",
            (Some(Topics::Count(_)), _) => return,
            (_, ProviderKind::Synthetic) => "of a synthetic feed are a number of topics",
            _ => "are for json and push feeds: this provider knows its topics",
        };
        self.refuse(path.key("topics"), message);
    }

    /// Checks a `json` feed, and that others have none of its keys.
    pub(super) fn json(&mut self, feed: &FeedConfig, path: &KeyPath) {
        if feed.provider != ProviderKind::Json {
            for (key, given) in [
                ("url", feed.url.is_some()),
                ("method", feed.method.is_some()),
                ("body", feed.body.is_some()),
                ("headers", !feed.headers.is_empty()),
                ("query", !feed.query.is_empty()),
            ] {
                if given {
                    let message = format!("is for json feeds, and this is a {} one", feed.provider);
                    self.refuse(path.key(key), message);
                }
            }
            return;
        }
        for (key, given, instead) in [
            ("base_url", feed.base_url.is_some(), "write the whole address in url"),
            ("endpoint", feed.endpoint.is_some(), "write the whole address in url"),
            ("api_key", feed.api_key.is_some(), "send the key in headers or query"),
        ] {
            if given {
                self.refuse(path.key(key), format!("is not for json feeds: {instead}"));
            }
        }
        if let Some(url) = &feed.url
            && let Err(message) = address::url(url, feed.allow_private)
        {
            self.refuse(path.key("url"), message);
        }
        self.headers(feed, path);
        self.settings(&feed.headers, &path.key("headers"));
        self.settings(&feed.query, &path.key("query"));
    }

    fn headers(&mut self, feed: &FeedConfig, path: &KeyPath) {
        let path = path.key("headers");
        for (name, setting) in &feed.headers {
            let token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) {
                self.refuse(path.key(name), "cannot be the name of a header");
            } else if OWN_HEADERS.contains(&&*name.to_ascii_lowercase()) {
                self.refuse(path.key(name), "is set by the server itself");
            }
            if let Setting::Plain(value) = setting
                && !value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            {
                self.refuse(path.key(name), "a header holds printable ASCII only");
            }
        }
    }

    fn settings(&mut self, settings: &BTreeMap<String, Setting>, path: &KeyPath) {
        for (name, setting) in settings {
            if let Setting::Secret(source) = setting
                && let Err(message) = source.read_with(|name| self.environment.get(name).cloned())
            {
                self.refuse(path.key(name), message);
            }
        }
    }
}
