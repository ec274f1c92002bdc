//! What is due on a connection that stands. Pure: time is an argument.

use std::time::{Duration, Instant};

/// The shortest that a connection may be without data: the tickers of venues come once a second.
pub const STALL_MIN: Duration = Duration::from_secs(3);

/// The longest that a connection may be without data, however old a value may become: venues say
/// something more often than that.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Time between our signs of life: short enough that the answer confirms what is quiet before it
/// is stale.
const PING_MIN: Duration = Duration::from_secs(1);
const PING_MAX: Duration = Duration::from_secs(15);

/// How long after the beginning every symbol has had its chance to be heard.
const ROLL_AFTER: Duration = Duration::from_secs(10);

/// How long before its end by the venue's rules a connection is left.
const BEFORE_END: Duration = Duration::from_secs(10 * 60);

/// How long before that at the latest, though no other has taken over.
const LIMIT_MARGIN: Duration = Duration::from_secs(10);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A sign of life of ours.
    Ping,
    /// To see which symbols have not been heard.
    Roll,
    /// The end: nothing has been heard for too long, whatever pings and heartbeats say.
    Stalled,
    /// The end: the venue would close the connection soon.
    Old,
}

/// Watches over one connection.
#[derive(Debug, Clone)]
pub struct Watchdog {
    stall_after: Duration,
    ping_every: Duration,
    heard: Instant,
    ping: Instant,
    roll: Option<Instant>,
    end: Option<Instant>,
    /// When the venue ends it at the earliest.
    limit: Option<Instant>,
}

impl Watchdog {
    /// Watches from `now` on. Of connections that begin together, `random` (0 to 1) spreads the
    /// ends.
    pub fn new(
        now: Instant,
        stale_after: Duration,
        lifetime: Option<Duration>,
        random: f64,
    ) -> Self {
        let ping_every = (stale_after / 3).clamp(PING_MIN, PING_MAX);
        let end = lifetime.map(|lifetime| {
            let early = BEFORE_END.mul_f64(1.0 + random.clamp(0.0, 1.0)).min(lifetime / 2);
            now + (lifetime - early)
        });
        Self {
            stall_after: stale_after.clamp(STALL_MIN, STALL_MAX),
            ping_every,
            heard: now,
            ping: now + ping_every,
            roll: Some(now + ROLL_AFTER),
            end,
            limit: lifetime.map(|lifetime| now + (lifetime - LIMIT_MARGIN.min(lifetime / 2))),
        }
    }

    /// How long it may be without data.
    pub fn stall_after(&self) -> Duration {
        self.stall_after
    }

    /// Data came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The connection is to be left when another can take over, and in any case in a while: before
    /// the venue ends it.
    pub fn leave(&mut self, now: Instant) {
        let last = now + BEFORE_END;
        self.end = Some(self.limit.map_or(last, |limit| limit.min(last)));
    }

    /// When something is due.
    pub fn next(&self) -> Instant {
        let first = self.ping.min(self.heard + self.stall_after);
        let others = self.roll.into_iter().chain(self.end);
        others.fold(first, Instant::min)
    }

    /// What is due now. A ping and a roll are due once when their time comes.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if now >= self.heard + self.stall_after {
            return Some(Due::Stalled);
        }
        if self.end.is_some_and(|end| now >= end) {
            return Some(Due::Old);
        }
        if self.roll.is_some_and(|roll| now >= roll) {
            self.roll = None;
            return Some(Due::Roll);
        }
        if now >= self.ping {
            self.ping = now + self.ping_every;
            return Some(Due::Ping);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What is due in each of the next `secs` seconds, with data in those of `data`.
    fn watched(watchdog: &mut Watchdog, now: Instant, secs: u32, data: &[u32]) -> Vec<(u32, Due)> {
        let mut seen = Vec::new();
        for sec in 0..=secs {
            let now = now + SECOND * sec;
            if data.contains(&sec) {
                watchdog.heard(now);
            }
            while watchdog.next() <= now {
                let Some(due) = watchdog.due(now) else { break };
                seen.push((sec, due));
                if matches!(due, Due::Stalled | Due::Old) {
                    return seen;
                }
            }
        }
        seen
    }

    #[test]
    fn a_connection_without_data_is_stalled_though_it_is_pinged() {
        let now = Instant::now();
        let mut watchdog = Watchdog::new(now, 12 * SECOND, None, 0.5);
        let seen = watched(&mut watchdog, now, 60, &[3]);
        assert_eq!(
            seen,
            [(4, Due::Ping), (8, Due::Ping), (10, Due::Roll), (12, Due::Ping), (15, Due::Stalled)]
        );
    }

    #[test]
    fn however_soon_a_value_is_stale_a_venue_may_draw_breath() {
        let now = Instant::now();
        let mut watchdog = Watchdog::new(now, SECOND / 2, None, 0.5);
        let seen = watched(&mut watchdog, now, 60, &[1]);
        assert_eq!(seen.last(), Some(&(4, Due::Stalled)));
    }

    #[test]
    fn however_long_a_value_lasts_half_a_minute_without_any_is_too_long() {
        let now = Instant::now();
        let mut watchdog = Watchdog::new(now, 3600 * SECOND, None, 0.5);
        let seen = watched(&mut watchdog, now, 60, &[]);
        assert_eq!(seen.last(), Some(&(30, Due::Stalled)));
    }

    #[test]
    fn a_connection_is_left_before_the_venue_ends_it() {
        let now = Instant::now();
        let day = 86_400 * SECOND;
        for (random, minutes) in [(0.0, 10), (1.0, 20)] {
            let mut watchdog = Watchdog::new(now, day, Some(day), random);
            let end = now + day - 60 * SECOND * minutes;
            watchdog.heard(end - SECOND);
            assert_ne!(watchdog.due(end - SECOND), Some(Due::Old));
            assert_eq!(watchdog.due(end), Some(Due::Old));
        }
    }

    #[test]
    fn a_connection_that_nothing_follows_is_kept_until_just_before_the_venue_ends_it() {
        let now = Instant::now();
        let day = 86_400 * SECOND;
        // Whether its age is the reason or an announcement in the middle of its life.
        for (left, end) in [(day - 600 * SECOND, day - 10 * SECOND), (3600 * SECOND, 4200 * SECOND)]
        {
            let mut watchdog = Watchdog::new(now, day, Some(day), 0.0);
            watchdog.leave(now + left);
            watchdog.heard(now + end - SECOND);
            assert_ne!(watchdog.due(now + end - SECOND), Some(Due::Old));
            assert_eq!(watchdog.due(now + end), Some(Due::Old));
        }
    }
}
