//! Values with a unit: durations, sizes, secrets, instants and a token bucket. Uses nothing of ours.

mod bucket;
mod clock;
mod duration;
mod secret;
mod size;

pub use bucket::TokenBucket;
pub use clock::{Micros, now_us};
pub use duration::Span;
pub use secret::{Secret, SecretSource};
pub use size::ByteSize;
