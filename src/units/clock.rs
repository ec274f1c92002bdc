//! The wall clock, in the unit of the wire.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch, the unit of every time on the wire.
pub type Micros = i64;

/// The wall clock now. A clock set before 1970 reads as 0 rather than failing: this value dates
/// messages, it never drives a timeout.
pub fn now_us() -> Micros {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| Micros::try_from(elapsed.as_micros()).ok())
        .unwrap_or(0)
}
