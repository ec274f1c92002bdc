//! What the hub issues: a tick that has got its place in a numbering.

use std::sync::Arc;

use bytes::Bytes;

use super::Topic;
use crate::units::Micros;

/// Identity of one numbering of a topic's sequences. A position is (epoch, seq): `("k3f9", 57)` and
/// `("m2aa", 57)` are unrelated, since the server restarted between them and began again at 1.
pub type Epoch = Arc<str>;

/// The name of the feed whose digits a message carries.
pub type Source = Arc<str>;

/// One numbered value of one topic.
#[derive(Debug, Clone)]
pub struct Update {
    /// Whose value it is.
    pub topic: Topic,
    /// The numbering in which `seq` counts.
    pub epoch: Epoch,
    /// 1, 2, 3… per topic and epoch.
    pub seq: u64,
    /// The upstream's own time, where it gives one.
    pub ts: Option<Micros>,
    /// When the response was received here.
    pub rx: Micros,
    /// The feed it came from.
    pub source: Source,
    /// The values: a JSON object in canonical form, shared by every variant that is sent.
    pub data: Bytes,
}
