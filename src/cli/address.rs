//! A feed's address as it may be shown: without what may be a key.

use url::Url;

use crate::upstream::config::{FeedConfig, ProviderKind};

/// Segments of a path that are at least so long, and have digits, are taken for a key.
const KEY_LENGTH: usize = 16;

/// Where `feed` polls, fit to be printed.
pub(super) fn polled(feed: &FeedConfig) -> Option<String> {
    feed.base_url().map(|text| shown(feed.provider, text))
}

/// Where `feed` has its stream, fit to be printed.
pub(super) fn streamed(feed: &FeedConfig) -> Option<String> {
    feed.stream_url().map(|text| shown(feed.provider, text))
}

/// An address without what may be a key: keys are written into user info, queries and paths.
fn shown(provider: ProviderKind, text: &str) -> String {
    let without_query = text.split(['?', '#']).next().unwrap_or_default();
    if text.starts_with("sandbox:") {
        return without_query.to_owned();
    }
    let Ok(url) = Url::parse(text) else {
        // Nothing is known of what is in it.
        return "(no URL)".to_owned();
    };
    let origin = url.origin().ascii_serialization();
    let path = url.path().trim_end_matches('/');
    // Nodes for rent have the key in the path, in forms of their own.
    if provider == ProviderKind::Evm {
        return if path.is_empty() { origin } else { format!("{origin}/…") };
    }
    let segments = path.split('/').map(|segment| if is_key(segment) { "…" } else { segment });
    format!("{origin}{}", segments.collect::<Vec<_>>().join("/"))
}

fn is_key(segment: &str) -> bool {
    segment.len() >= KEY_LENGTH && segment.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(provider: &str, key: &str, url: &str) -> String {
        let text = format!("name = \"a\"\nprovider = \"{provider}\"\n{key} = \"{url}\"");
        polled(&toml::from_str(&text).unwrap()).unwrap()
    }

    #[test]
    fn no_key_in_an_address_is_shown() {
        for (provider, key, url, expected) in [
            ("evm", "base_url", "https://n.example/v2/SECRET", "https://n.example/…"),
            ("evm", "base_url", "https://n.example?key=SECRET", "https://n.example"),
            ("evm", "base_url", "https://me:SECRET@n.example:8545/", "https://n.example:8545"),
            ("json", "url", "https://a.example/v1/x?key=SECRET", "https://a.example/v1/x"),
            ("json", "url", "https://SECRET@a.example/x#SECRET", "https://a.example/x"),
            ("json", "url", "https://a.example/0SECRET0123456789/x", "https://a.example/…/x"),
            ("json", "url", "sandbox:/json/x?key=SECRET", "sandbox:/json/x"),
            ("coingecko", "base_url", "https://c.example/api/v3/", "https://c.example/api/v3"),
        ] {
            assert_eq!(show(provider, key, url), expected, "{url}");
        }
        let stream = "name = 'a'\nprovider = 'binance'\ntransport = 'ws'\n\
                      stream_url = 'wss://me:SECRET@s.example:9443/x?key=SECRET'";
        let stream = streamed(&toml::from_str(stream).unwrap());
        assert_eq!(stream.as_deref(), Some("wss://s.example:9443/x"));
    }
}
