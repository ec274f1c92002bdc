//! Every error and every close: its name, what a client should do, and its metric label, in one
//! place.

use schemars::JsonSchema;
use serde::Serialize;

/// Why a request, or a part of one, failed. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or not MessagePack where that is spoken.
    BadJson,
    /// JSON, but not a request: a missing, unknown or wrongly typed member.
    BadRequest,
    /// No such method.
    UnknownMethod,
    /// Breaks the grammar of topics and patterns.
    BadTopic,
    /// Well formed, but nothing was ever published there.
    UnknownTopic,
    /// A filter that cannot be read.
    BadFilter,
    /// A filter beyond the bounds.
    FilterTooCostly,
    /// Not allowed to this principal.
    Forbidden,
    /// No or wrong credentials.
    Unauthorized,
    /// Credentials that have run out.
    TokenExpired,
    /// Too many requests.
    RateLimited,
    /// More topics than a request or a session may name, or than its patterns may match.
    TooManyTopics,
    /// More sessions than the server or the address may have.
    TooManyConnections,
    /// A message above the limit.
    MessageTooLarge,
    /// History that is no longer kept.
    Unrecoverable,
    /// The client does not read fast enough.
    SlowConsumer,
    /// The connection says nothing any more, or has ended.
    StaleConnection,
    /// The server is about to stop.
    Draining,
    /// A fault of the server.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 19] = [
        Self::BadJson,
        Self::BadRequest,
        Self::UnknownMethod,
        Self::BadTopic,
        Self::UnknownTopic,
        Self::BadFilter,
        Self::FilterTooCostly,
        Self::Forbidden,
        Self::Unauthorized,
        Self::TokenExpired,
        Self::RateLimited,
        Self::TooManyTopics,
        Self::TooManyConnections,
        Self::MessageTooLarge,
        Self::Unrecoverable,
        Self::SlowConsumer,
        Self::StaleConnection,
        Self::Draining,
        Self::Internal,
    ];

    /// The name on the wire and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadRequest => "bad_request",
            Self::UnknownMethod => "unknown_method",
            Self::BadTopic => "bad_topic",
            Self::UnknownTopic => "unknown_topic",
            Self::BadFilter => "bad_filter",
            Self::FilterTooCostly => "filter_too_costly",
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::TokenExpired => "token_expired",
            Self::RateLimited => "rate_limited",
            Self::TooManyTopics => "too_many_topics",
            Self::TooManyConnections => "too_many_connections",
            Self::MessageTooLarge => "message_too_large",
            Self::Unrecoverable => "unrecoverable",
            Self::SlowConsumer => "slow_consumer",
            Self::StaleConnection => "stale_connection",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::TooManyConnections
                | Self::SlowConsumer
                | Self::StaleConnection
                | Self::Draining
                | Self::Internal
        )
    }
}

/// An error as the client reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error, JsonSchema)]
#[error("{}: {message}", code.as_str())]
pub struct ErrorBody {
    /// Which kind.
    pub code: ErrorCode,
    /// What was wrong and what would be right, for a person.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// With `unrecoverable`: the oldest sequence number that is still kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u64>,
}

impl ErrorBody {
    /// An error of `code`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.retryable(), oldest: None }
    }

    /// `unrecoverable`, with the oldest sequence number that is still kept.
    pub fn unrecoverable(oldest: u64) -> Self {
        let message = format!("history reaches back to sequence number {oldest} only");
        Self { oldest: Some(oldest), ..Self::new(ErrorCode::Unrecoverable, message) }
    }
}

/// Why a WebSocket is closed by the server. 3000–3499 invite the client to reconnect, 3500–3999
/// tell it not to as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Close {
    /// The client closed first; its close is answered.
    Normal,
    /// The client broke RFC 6455.
    Protocol,
    /// A text message that is not UTF-8, or a compressed one that does not inflate: in the words of
    /// RFC 6455, data that is not consistent with the type of the message.
    NotUtf8,
    /// A message above the limit.
    MessageTooLarge,
    /// A fault of the server.
    Internal,
    /// The server stops.
    Draining,
    /// The client does not read fast enough.
    SlowConsumer,
    /// Pings went unanswered.
    NoPong,
    /// Requests kept coming after `rate_limited`, or frames faster than anybody needs.
    RateLimited,
    /// No or wrong credentials.
    Unauthorized,
    /// The client cannot speak the protocol.
    BadRequest,
    /// More sessions than the server or the address may have.
    TooManyConnections,
    /// Not allowed.
    Forbidden,
}

impl Close {
    /// Every close.
    pub const ALL: [Self; 13] = [
        Self::Normal,
        Self::Protocol,
        Self::NotUtf8,
        Self::MessageTooLarge,
        Self::Internal,
        Self::Draining,
        Self::SlowConsumer,
        Self::NoPong,
        Self::RateLimited,
        Self::Unauthorized,
        Self::BadRequest,
        Self::TooManyConnections,
        Self::Forbidden,
    ];

    /// The status code of the close frame.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::MessageTooLarge => 1009,
            Self::Internal => 1011,
            Self::Draining => 3001,
            Self::SlowConsumer => 3008,
            Self::NoPong => 3012,
            Self::RateLimited => 3013,
            Self::Unauthorized => 3500,
            Self::BadRequest => 3501,
            Self::TooManyConnections => 3504,
            Self::Forbidden => 3507,
        }
    }

    /// The reason in the close frame and the metric label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Protocol => "protocol_error",
            Self::NotUtf8 => "not_utf8",
            Self::MessageTooLarge => "message_too_large",
            Self::Internal => "internal",
            Self::Draining => "draining",
            Self::SlowConsumer => "slow_consumer",
            Self::NoPong => "no_pong",
            Self::RateLimited => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::BadRequest => "bad_request",
            Self::TooManyConnections => "too_many_connections",
            Self::Forbidden => "forbidden",
        }
    }

    /// The code of [`ErrorCode`] under which this close counts as an error, where it is one.
    pub fn error(self) -> Option<ErrorCode> {
        match self {
            Self::Normal | Self::Draining => None,
            Self::Protocol | Self::NotUtf8 | Self::BadRequest => Some(ErrorCode::BadRequest),
            Self::MessageTooLarge => Some(ErrorCode::MessageTooLarge),
            Self::Internal => Some(ErrorCode::Internal),
            Self::SlowConsumer => Some(ErrorCode::SlowConsumer),
            Self::NoPong => Some(ErrorCode::StaleConnection),
            Self::RateLimited => Some(ErrorCode::RateLimited),
            Self::Unauthorized => Some(ErrorCode::Unauthorized),
            Self::TooManyConnections => Some(ErrorCode::TooManyConnections),
            Self::Forbidden => Some(ErrorCode::Forbidden),
        }
    }
}

/// Why a `gap` stands in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The client did not read fast enough and its queue overflowed.
    SlowConsumer,
    /// The server fell behind and history no longer reached back.
    Lag,
    /// The topic's numbering began anew.
    Epoch,
    /// History that was asked for is no longer kept.
    Unrecoverable,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_on_the_wire_are_those_of_serde() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn close_codes_are_distinct_and_tell_whether_to_reconnect() {
        let codes: HashSet<u16> = Close::ALL.into_iter().map(Close::code).collect();
        assert_eq!(codes.len(), Close::ALL.len());
        for close in [Close::Draining, Close::SlowConsumer, Close::NoPong, Close::RateLimited] {
            assert!((3000..3500).contains(&close.code()), "{close:?}");
        }
        for close in [Close::Unauthorized, Close::TooManyConnections, Close::Forbidden] {
            assert!((3500..4000).contains(&close.code()), "{close:?}");
        }
    }
}
