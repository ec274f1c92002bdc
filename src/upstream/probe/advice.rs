//! What is wrong when an API does not answer as it should, and what to do about it.

use crate::{
    market::Reason,
    upstream::{fetch::FetchError, validate::Fault},
};

/// Whether the key is what the API refuses, or lacks.
pub(super) fn refuses(failure: &FetchError) -> bool {
    failure.key_refused || matches!(failure.status, Some(401 | 403))
}

/// One word for why nothing answered.
pub(super) fn short(failure: &FetchError) -> &'static str {
    let says = |text: &str| failure.message.contains(text);
    match failure.reason {
        Reason::Connect if says("dns error") || says("lookup") => "dns",
        Reason::Connect if says("refused") => "refused",
        Reason::Connect if says("no public address") => "not public",
        other => other.as_str(),
    }
}

/// What is wrong, and what to do about it. Never a key.
pub(super) fn of(failure: &FetchError, key: bool) -> String {
    let message = &failure.message;
    let what = match failure.status {
        Some(_) => message.clone(),
        None => format!("{}: {message}", failure.reason.as_str()),
    };
    format!("{what}: {}", to_do(failure, key))
}

/// Why a value cannot be true, and what is mostly behind it.
pub(super) fn of_fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Future => "its time is in the future: is its unit right?",
        Fault::Past => "its time is before the year 2000: is its unit right?",
        Fault::NotPositive => "its price is not above zero, or absent",
        other => other.as_str(),
    }
}

fn to_do(failure: &FetchError, key: bool) -> &'static str {
    match (failure.status, failure.reason) {
        _ if refuses(failure) && key => {
            "the key is refused: is it whole, not expired, and does its plan include this?"
        }
        _ if refuses(failure) => {
            "it wants a key: name where it is in api_key, or in headers or query of a json feed"
        }
        (Some(429 | 418), _) | (_, Reason::RateLimited) => {
            "asked too often: raise every, write a budget, and try again later"
        }
        (Some(404 | 410), _) => "is the address right, and does the API know what is asked for?",
        (Some(451), _) => "it does not serve this country: another base_url may",
        (_, Reason::Http5xx) => "the API itself is in trouble: try again later",
        (_, Reason::Http4xx) => "it does not take the request: are address and symbols right?",
        (_, Reason::Timeout) => "is a firewall in the way? A slow API may need a longer timeout",
        (_, Reason::Tls) => {
            "does the host speak TLS there, is its certificate good, and this machine's clock right?"
        }
        (_, Reason::Connect) => match short(failure) {
            "dns" => "is the host's name spelled right, and can this machine resolve names?",
            "refused" => "nothing listens there: is the port right, and does the service run?",
            "not public" => "if it is meant to be asked, write allow_private = true",
            _ => "can this machine reach the host?",
        },
        (_, Reason::Budget) => "others spend it too: try again later, or raise budget",
        (_, Reason::BadBody) => {
            "it is not the answer that was expected: is this the API's address, and the right \
             endpoint?"
        }
        _ => "does the API know what is asked for?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(reason: Reason, message: &str, status: Option<u16>) -> String {
        of(&FetchError { status, ..FetchError::new(reason, message) }, true)
    }

    #[test]
    fn each_kind_of_trouble_has_advice_of_its_own() {
        let said = [
            advice(Reason::Timeout, "no whole answer", None),
            advice(Reason::Connect, "dns error: no such host", None),
            advice(Reason::Connect, "tcp connect error: Connection refused", None),
            advice(Reason::Connect, "10.0.0.1 has no public address", None),
            advice(Reason::Connect, "reset", None),
            advice(Reason::Tls, "bad certificate", None),
            advice(Reason::Http4xx, "status 401", Some(401)),
            advice(Reason::Http4xx, "status 404", Some(404)),
            advice(Reason::Http4xx, "status 451", Some(451)),
            advice(Reason::Http4xx, "status 400", Some(400)),
            advice(Reason::RateLimited, "status 429", Some(429)),
            advice(Reason::Http5xx, "status 503", Some(503)),
            advice(Reason::BadBody, "JSON of another shape than promised", None),
        ];
        let words = [
            "firewall",
            "spelled",
            "port",
            "allow_private",
            "reach",
            "certificate",
            "key",
            "address",
            "country",
            "symbols",
            "every",
            "later",
            "expected",
        ];
        for (said, word) in said.iter().zip(words) {
            assert!(said.contains(word), "{word}: {said}");
        }
        let mut ends: Vec<_> = said.iter().filter_map(|text| text.rsplit(": ").next()).collect();
        ends.sort_unstable();
        ends.dedup();
        assert_eq!(ends.len(), said.len(), "{said:#?}");
    }

    #[test]
    fn a_status_says_why_by_itself_and_other_trouble_by_its_reason() {
        assert!(advice(Reason::Http4xx, "status 404", Some(404)).starts_with("status 404: is "));
        assert!(
            advice(Reason::Timeout, "none in 1s", None).starts_with("timeout: none in 1s: is ")
        );
    }
}
