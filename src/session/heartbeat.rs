//! When a session must speak, and when it must end. Pure: time is an argument.

use std::time::{Duration, Instant};

use crate::{delivery::Flow, protocol::code::Close};

/// The deadlines of one session.
#[derive(Debug)]
pub(super) struct Timers {
    ping_interval: Duration,
    heartbeat: Duration,
    write_deadline: Duration,
    heard: Instant,
    next_ping: Instant,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Heartbeat,
    Close(Close),
}

impl Timers {
    /// `spread`, from 0 to 1, says where in the interval the first ping falls, so that the pings of
    /// clients that came together do not stay together.
    pub(super) fn new(
        ping_interval: Duration,
        heartbeat: Duration,
        write_deadline: Duration,
        spread: f64,
        now: Instant,
    ) -> Self {
        let first = ping_interval.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0);
        Self { ping_interval, heartbeat, write_deadline, heard: now, next_ping: now + first }
    }

    /// The client is alive.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What is due now. A ping that is due is taken as sent.
    pub(super) fn due(&mut self, flow: &Flow, now: Instant) -> Due {
        if flow.waiting && now >= flow.progress + self.write_deadline {
            return Due::Close(Close::SlowConsumer);
        }
        if now >= self.silence_ends() {
            return Due::Close(Close::NoPong);
        }
        if now >= self.next_ping {
            self.next_ping = now + self.ping_interval;
            return Due::Ping;
        }
        if !flow.waiting && now >= flow.said + self.heartbeat {
            return Due::Heartbeat;
        }
        Due::Nothing
    }

    /// When something may be due next.
    pub(super) fn next(&self, flow: &Flow) -> Instant {
        let speak = if flow.waiting {
            flow.progress + self.write_deadline
        } else {
            flow.said + self.heartbeat
        };
        let next = self.next_ping.min(self.silence_ends()).min(speak);
        flow.next_held.map_or(next, |held| next.min(held))
    }

    /// Two pings may go unanswered, the second for a quarter of the interval.
    fn silence_ends(&self) -> Instant {
        self.heard + self.ping_interval.mul_f64(2.25)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn flow(start: Instant) -> Flow {
        Flow {
            blocked: false,
            broken: false,
            progress: start,
            said: start,
            waiting: false,
            next_held: None,
            control_bytes: 0,
        }
    }

    fn timers(start: Instant) -> Timers {
        Timers::new(20 * SECOND, 15 * SECOND, 5 * SECOND, 1.0, start)
    }

    #[test]
    fn a_silent_client_is_pinged_and_closed_within_45_seconds() {
        let start = Instant::now();
        let (mut timers, mut flow) = (timers(start), flow(start));
        let mut seen = Vec::new();
        for second in 1..=60 {
            let now = start + second * SECOND;
            match timers.due(&flow, now) {
                Due::Nothing => {}
                Due::Heartbeat => flow.said = now,
                due => seen.push((second, due)),
            }
            if seen.last().is_some_and(|(_, due)| matches!(due, Due::Close(_))) {
                break;
            }
        }
        assert_eq!(seen, [(20, Due::Ping), (40, Due::Ping), (45, Due::Close(Close::NoPong))]);
    }

    #[test]
    fn a_client_that_answers_lives() {
        let start = Instant::now();
        let (mut timers, flow) = (timers(start), flow(start));
        for second in 1..=600 {
            let now = start + second * SECOND;
            match timers.due(&flow, now) {
                Due::Close(close) => panic!("{close:?} at {second}"),
                Due::Ping => timers.heard(now),
                _ => {}
            }
        }
    }

    #[test]
    fn the_write_deadline_counts_from_the_last_progress() {
        let start = Instant::now();
        let (mut timers, mut flow) = (timers(start), flow(start));
        flow.waiting = true;
        flow.progress = start + 10 * SECOND;
        assert_eq!(timers.due(&flow, start + 14 * SECOND), Due::Nothing);
        assert_eq!(timers.next(&flow), start + 15 * SECOND);
        assert_eq!(timers.due(&flow, start + 15 * SECOND), Due::Close(Close::SlowConsumer));
    }

    #[test]
    fn a_heartbeat_is_due_when_nothing_was_said() {
        let start = Instant::now();
        let (mut timers, flow) = (timers(start), flow(start));
        assert_eq!(timers.next(&flow), start + 15 * SECOND);
        assert_eq!(timers.due(&flow, start + 15 * SECOND), Due::Heartbeat);
    }
}
