//! The wall clock as an argument, so that a test's paused time moves it too.

use std::{fmt, sync::Arc};

use crate::units::{Micros, now_us};

/// Tells the time of messages. Timeouts and schedules go by the monotonic clock instead.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Micros + Send + Sync>);

impl Clock {
    /// The real one.
    pub fn wall() -> Self {
        Self(Arc::new(now_us))
    }

    /// Microseconds since the Unix epoch.
    pub fn now(&self) -> Micros {
        (self.0)()
    }

    /// One that begins at `start` and moves with tokio's time.
    #[cfg(test)]
    pub fn tokio(start: Micros) -> Self {
        let began = tokio::time::Instant::now();
        Self(Arc::new(move || start + crate::units::Span(began.elapsed()).as_us()))
    }

    /// One that begins at `start` and moves by a microsecond whenever it is read.
    #[cfg(test)]
    pub fn counting(start: Micros) -> Self {
        let next = std::sync::atomic::AtomicI64::new(start);
        Self(Arc::new(move || next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
