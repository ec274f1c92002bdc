//! Whether an upstream's URL and a browser's origin are what they should be.

use url::{Host, Url};

use crate::upstream::address::is_public;

/// Whether the URL names the simulated upstream.
pub(super) fn is_sandbox(text: &str) -> bool {
    text.starts_with("sandbox:")
}

/// Whether the URL names this machine.
pub(super) fn is_loopback(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| names_loopback(&url))
}

fn names_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Whether the URL names an address that is not public, so that no name need be looked up.
fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => !is_public(ip.into()),
        Some(Host::Ipv6(ip)) => !is_public(ip.into()),
        _ => names_loopback(url),
    }
}

/// Checks a feed's `base_url`. The message never repeats the URL, which may hold a key.
pub(super) fn base_url(text: &str, allow_private: bool) -> Result<(), String> {
    url(text, allow_private)?;
    let query = if text.starts_with("sandbox:") {
        text.contains(['?', '#'])
    } else {
        Url::parse(text).is_ok_and(|url| url.query().is_some())
    };
    if query {
        return Err("must end with the path, without ? or #; a key belongs in api_key".into());
    }
    Ok(())
}

/// Checks a feed's `stream_url`. The message never repeats the URL.
pub(super) fn stream_url(text: &str, allow_private: bool) -> Result<(), String> {
    // The rules are those of HTTP, by which a WebSocket begins.
    let http = match text.split_once(':') {
        Some(("ws", rest)) => format!("http:{rest}"),
        Some(("wss", rest)) => format!("https:{rest}"),
        Some(("sandbox", _)) => text.to_owned(),
        _ => return Err("not the URL of a WebSocket: write wss://host/path".into()),
    };
    base_url(&http, allow_private)
        .map_err(|message| message.replace("https://", "wss://").replace("http://", "ws://"))
}

/// Checks a feed's `url`, which may have a query. The message never repeats the URL.
pub(super) fn url(text: &str, allow_private: bool) -> Result<(), String> {
    if let Some(path) = text.strip_prefix("sandbox:") {
        return if path.starts_with('/') && !path.starts_with("//") {
            Ok(())
        } else {
            Err("the simulated upstream is written sandbox:/path, as in sandbox:/binance".into())
        };
    }
    let url = Url::parse(text).map_err(|error| {
        format!("not a URL ({error}): write https://host/path or sandbox:/path")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials; remove them and name where the key is kept, \
                    as in api_key = { env = \"NAME\" }"
            .into());
    }
    if url.fragment().is_some() {
        return Err("must have no #: what comes after it is never sent".into());
    }
    if url.host().is_none_or(|host| host == Host::Domain("")) {
        return Err("names no host: write https://host/path or sandbox:/path".into());
    }
    match url.scheme() {
        "https" | "http" if !allow_private && is_private(&url) => Err("is of this machine or a \
                       private network, which a feed asks only with allow_private = true"
            .into()),
        "https" => Ok(()),
        "http" if allow_private => Ok(()),
        "http" => Err("http:// would be readable on the way: use https://, or for a host of your \
                       own network set allow_private = true"
            .into()),
        scheme => Err(format!("{scheme}: is not supported: use https:// or sandbox:/path")),
    }
}

/// Checks an origin as a browser sends it: `https://host` or `https://host:port`.
pub(super) fn origin(text: &str) -> Result<(), String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        return Err(format!("{text:?} is not an origin: write https://host or https://host:port"));
    };
    let canonical = url.origin().ascii_serialization();
    if canonical == text {
        return Ok(());
    }
    Err(format!("{text:?} is not an origin as browsers send it: write {canonical:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for good in ["https://example.com", "http://localhost:3000", "https://[::1]:8443"] {
            assert_eq!(origin(good), Ok(()), "{good}");
        }
        for (bad, hint) in [
            ("https://example.com/", "write \"https://example.com\""),
            ("https://Example.com/app?x=1", "write \"https://example.com\""),
            ("https://example.com:443", "write \"https://example.com\""),
            ("https://user:pw@example.com", "write \"https://example.com\""),
            ("example.com", "https://host:port"),
            ("*", "https://host:port"),
            ("null", "https://host:port"),
            ("file:///etc", "https://host:port"),
        ] {
            assert!(origin(bad).unwrap_err().contains(hint), "{bad}");
        }
    }

    #[test]
    fn stream_urls_are_safe_to_open() {
        for good in ["wss://ws.example.com/v2", "sandbox:/kraken/v2"] {
            assert_eq!(stream_url(good, false), Ok(()), "{good}");
        }
        for private in ["ws://10.0.0.7", "ws://127.0.0.1:9000/x"] {
            assert_eq!(stream_url(private, true), Ok(()), "{private}");
            assert!(stream_url(private, false).unwrap_err().contains("allow_private"));
        }
        for (bad, hint) in [
            ("ws://10.0.0.7", "allow_private"),
            ("ws://example.com", "use wss://"),
            ("wss://key:s3cret@example.com", "credentials"),
            ("wss://example.com/?key=s3cret", "without ?"),
            ("https://example.com", "write wss://"),
            ("example.com", "write wss://"),
            ("", "write wss://"),
        ] {
            let message = stream_url(bad, false).unwrap_err();
            assert!(message.contains(hint), "{bad}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn base_urls_are_safe_to_ask() {
        for good in ["https://api.example.com/v2", "https://1.1.1.1", "sandbox:/binance"] {
            assert_eq!(base_url(good, false), Ok(()), "{good}");
        }
        // Serving would refuse to connect to these.
        for private in [
            "http://127.0.0.1:9000",
            "http://[::1]:9000/x",
            "http://localhost:9000",
            "http://10.0.0.7",
            "https://192.168.0.1/x",
            "https://[fd00::1]",
        ] {
            assert_eq!(base_url(private, true), Ok(()), "{private}");
            let message = base_url(private, false).unwrap_err();
            assert!(message.contains("allow_private = true"), "{private}: {message}");
        }
        for (bad, hint) in [
            ("http://10.0.0.7", "allow_private"),
            ("http://example.com", "use https://"),
            ("http://127.0.0.1.example.com", "use https://"),
            ("https://key:s3cret@example.com", "credentials"),
            ("https://s3cret@example.com", "credentials"),
            ("https://example.com/?apikey=s3cret", "api_key"),
            ("sandbox:binance", "sandbox:/path"),
            ("sandbox://binance", "sandbox:/path"),
            ("ftp://example.com", "ftp: is not supported"),
            ("example.com", "not a URL"),
            ("", "not a URL"),
        ] {
            let message = base_url(bad, false).unwrap_err();
            assert!(message.contains(hint), "{bad}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}
