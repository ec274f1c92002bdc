//! When a feed may be polled next, all considered: schedule, back-off, breaker and what the
//! upstream asked for. Pure: time and random numbers (0 to 1) are arguments.

use std::time::{Duration, Instant};

use super::{backoff::Backoff, breaker::CircuitBreaker, schedule::Schedule};
use crate::market::Breaker;

/// The pace of one feed.
#[derive(Debug, Clone)]
pub struct Pace {
    schedule: Schedule,
    backoff: Backoff,
    breaker: CircuitBreaker,
}

impl Pace {
    /// Polls each `interval` from `first` on.
    pub fn new(interval: Duration, stale_after: Duration, first: Instant) -> Self {
        Self {
            schedule: Schedule::new(interval, stale_after, first),
            backoff: Backoff::new(interval),
            breaker: CircuitBreaker::default(),
        }
    }

    /// Polls less often while answers say nothing new.
    pub fn adaptive(self) -> Self {
        Self { schedule: self.schedule.adaptive(), ..self }
    }

    /// The interval in force.
    pub fn in_force(&self) -> Duration {
        self.schedule.in_force()
    }

    /// A poll was answered, with nothing new where it is `unchanged`.
    pub fn answered(&mut self, unchanged: bool) {
        self.schedule.answered(unchanged);
    }

    /// When the next poll is due.
    pub fn due(&self) -> Instant {
        self.schedule.due()
    }

    /// Whether a poll that is due may go out. Where it may not, it becomes due when it may.
    pub fn allow(&mut self, now: Instant) -> bool {
        match self.breaker.allow(now) {
            Ok(()) => true,
            Err(until) => {
                self.schedule.hold(until);
                false
            }
        }
    }

    /// A poll went well.
    pub fn succeeded(&mut self, now: Instant, hint: Option<Duration>, random: f64) {
        self.breaker.succeeded();
        self.backoff.reset();
        self.schedule.succeeded(now, hint, random);
    }

    /// A poll failed.
    pub fn failed(&mut self, now: Instant, random: f64) {
        self.breaker.failed(now);
        self.schedule.answered(false);
        self.schedule.failed(now, self.backoff.failed(random));
        if let Some(until) = self.breaker.open_until() {
            self.schedule.hold(until);
        }
    }

    /// A poll that was let through has not been made: the next may be at once.
    pub fn withdrawn(&mut self, now: Instant) {
        self.breaker.withdrawn(now);
        self.schedule.at_once(now);
    }

    /// The upstream wants nothing before `until`.
    pub fn hold(&mut self, until: Instant) {
        self.schedule.hold(until);
    }

    /// What is polled for comes in another way: a poll that was let through is not heard of again,
    /// and what failed before counts no more. A time that was asked for is kept.
    pub fn relieved(&mut self) {
        self.breaker.succeeded();
        self.backoff.reset();
    }

    /// Preparation is done: the first poll proper need not wait.
    pub fn at_once(&mut self, now: Instant) {
        self.schedule.at_once(now);
    }

    /// The breaker's state.
    pub fn breaker(&self) -> Breaker {
        self.breaker.state()
    }
}
