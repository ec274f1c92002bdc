//! When a stream must say something, and when it has waited for its client long enough. Pure.

use std::time::{Duration, Instant};

use crate::delivery::Flow;

/// The deadlines of one stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// A heartbeat comes when nothing else was sent for this long.
    pub(super) heartbeat: Duration,
    /// The stream ends when the connection takes nothing for this long, though something waits.
    pub(super) write: Duration,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Heartbeat,
    End,
}

impl Deadlines {
    /// What is due now.
    pub(super) fn due(&self, flow: &Flow, now: Instant) -> Due {
        if flow.waiting {
            return if now >= flow.progress + self.write { Due::End } else { Due::Nothing };
        }
        if now >= flow.said + self.heartbeat { Due::Heartbeat } else { Due::Nothing }
    }

    /// When something may be due next. That something begins to wait is not told, only seen: so it
    /// is looked for once in the time it may wait.
    pub(super) fn next(&self, flow: &Flow, now: Instant) -> Instant {
        let next = if flow.waiting {
            flow.progress + self.write
        } else {
            (flow.said + self.heartbeat).min(now + self.write)
        };
        flow.next_held.map_or(next, |held| next.min(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn flow(start: Instant, waiting: bool) -> Flow {
        Flow {
            blocked: false,
            broken: false,
            progress: start,
            said: start,
            waiting,
            next_held: None,
            control_bytes: 0,
        }
    }

    #[test]
    fn a_heartbeat_is_due_in_silence_and_the_end_when_nothing_is_taken() {
        let deadlines = Deadlines { heartbeat: 15 * SECOND, write: 5 * SECOND };
        let start = Instant::now();
        let (silent, stuck) = (flow(start, false), flow(start, true));
        assert_eq!(deadlines.due(&silent, start + 14 * SECOND), Due::Nothing);
        assert_eq!(deadlines.due(&silent, start + 15 * SECOND), Due::Heartbeat);
        assert_eq!(deadlines.due(&stuck, start + 4 * SECOND), Due::Nothing);
        assert_eq!(deadlines.due(&stuck, start + 5 * SECOND), Due::End);
        assert_eq!(deadlines.next(&silent, start), start + 5 * SECOND);
        assert_eq!(deadlines.next(&silent, start + 12 * SECOND), start + 15 * SECOND);
        assert_eq!(deadlines.next(&stuck, start + SECOND), start + 5 * SECOND);
        let held = Flow { next_held: Some(start + SECOND), ..silent };
        assert_eq!(deadlines.next(&held, start), start + SECOND);
    }
}
