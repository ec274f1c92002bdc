//! What comes in by itself instead of being asked for.

use std::time::Duration;

use crate::{market::Epoch, units::Micros};

/// Where clients publish. Declared here so that who takes a request and who publishes it need not
/// name each other.
pub trait Intake: Send + Sync {
    /// Whether anybody can publish at all.
    fn is_open(&self) -> bool;

    /// Publishes `items` in order for who holds `key`; what others publish with the same key comes
    /// before or after all of them. One result for each.
    ///
    /// # Errors
    /// Why none of them was looked at.
    fn publish(&self, key: &str, items: &[Submission]) -> Result<Vec<Receipt>, Refusal>;

    /// Whether `key` may publish.
    fn knows(&self, key: &str) -> bool;
}

/// One value that somebody wants to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The topic, not yet checked.
    pub topic: String,
    /// A JSON object, as it came: numbers are taken from its text.
    pub data: String,
    /// The publisher's own time of it.
    pub ts: Option<Micros>,
    /// The publisher's own number of it, rising within a topic: what is not above the last one is
    /// a duplicate.
    pub seq: Option<u64>,
}

/// What became of a submission.
pub type Receipt = Result<Taken, Rejection>;

/// A submission that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It was issued under this number.
    Issued {
        /// The numbering.
        epoch: Epoch,
        /// The number in it.
        seq: u64,
    },
    /// It was there already, or says what the topic says already: nothing was issued.
    Duplicate,
}

/// Why a request to publish was refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody holds this key.
    WrongKey,
    /// More values than the feed takes in this time; they would fit after this long.
    TooFast(Duration),
}

/// Why a submission was not taken, with what was wrong, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// Its topic is none.
    Topic(String),
    /// Its topic may not be published with this key.
    Forbidden(String),
    /// Its values are none, or cannot be true.
    Data(String),
    /// It would be one topic too many.
    TooManyTopics(String),
}
