//! `[delivery]`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::{ByteSize, Span};

/// How updates wait and are written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Delivery")]
pub struct Config {
    /// Waiting `every` updates of a connection; on overflow the topic with most waiting loses its
    /// oldest.
    pub queue_updates: usize,
    /// Bytes of the same.
    pub queue_bytes: ByteSize,
    /// A connection whose socket takes nothing for this long, though something waits, is closed.
    pub write_deadline: Span,
    /// `SO_SNDBUF` of a connection.
    pub send_buffer: ByteSize,
    /// How long updates wait so that several are written at once.
    pub coalesce: Span,
    /// The same for what is subscribed with mode `latest`, where that is longer: people do not see
    /// 20 ms, and bots that ask for `every` do not wait for them.
    pub coalesce_latest: Span,
    /// Whether permessage-deflate is negotiated: longer messages are then compressed, each once for
    /// all its subscribers.
    pub compression: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_updates: 256,
            queue_bytes: ByteSize::kib(512),
            write_deadline: Span::secs(5),
            send_buffer: ByteSize::kib(64),
            coalesce: Span::millis(0),
            coalesce_latest: Span::millis(0),
            compression: false,
        }
    }
}
