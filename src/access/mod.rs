//! Who may do how much. In memory.

mod admission;
mod config;

pub use admission::{Admission, Full, Permit};
pub use config::Limits;
