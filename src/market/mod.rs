//! What flows: symbols, decimals, topics and patterns, ticks and updates. Pure; uses nothing of
//! ours.

mod decimal;
pub mod fields;
mod pattern;
mod state;
mod symbol;
mod tick;
mod topic;
mod update;

pub use decimal::{Decimal, DecimalError};
pub use pattern::Pattern;
pub use state::{Breaker, Reason, State};
pub use symbol::Symbol;
pub use tick::{Data, Tick, Value};
pub use topic::{Topic, TopicError};
pub use update::{Epoch, Source, Update};
