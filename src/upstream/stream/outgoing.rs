//! What waits to be sent on a connection, no faster than the venue allows. Pure: time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The most messages that wait. More than any configuration has to say, so that an upstream that
/// makes us answer and answer cannot fill the memory.
const WAITING_MAX: usize = 4096;

/// Messages in the order in which they are sent.
#[derive(Debug)]
pub struct Outgoing {
    gap: Duration,
    free: Instant,
    waiting: VecDeque<String>,
}

impl Outgoing {
    /// Sends `messages`, the first at once and the others `gap` apart.
    pub fn new(messages: Vec<String>, gap: Duration, now: Instant) -> Self {
        Self { gap, free: now, waiting: messages.into() }
    }

    /// Adds messages; false, and adds none, when too many would wait.
    #[must_use]
    pub fn extend(&mut self, messages: Vec<String>) -> bool {
        let fits = self.waiting.len() + messages.len() <= WAITING_MAX;
        if fits {
            self.waiting.extend(messages);
        }
        fits
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next message may be sent; `None` when nothing waits.
    pub fn due(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.free)
    }

    /// The message that is to be sent now.
    pub fn take(&mut self, now: Instant) -> Option<String> {
        if now < self.free {
            return None;
        }
        let message = self.waiting.pop_front()?;
        self.free = now + self.gap;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let message = |_| "x".to_owned();
        let mut outgoing = Outgoing::new(Vec::new(), Duration::ZERO, Instant::now());
        assert!(outgoing.extend((0..WAITING_MAX).map(message).collect()));
        assert!(!outgoing.extend(vec!["x".into()]));
    }

    proptest! {
        #[test]
        fn no_second_has_more_messages_than_the_gap_allows(
            gap_ms in 1_u64..500,
            steps_ms in proptest::collection::vec(0_u64..400, 1..300),
            count in 1_usize..200,
        ) {
            let (gap, start) = (Duration::from_millis(gap_ms), Instant::now());
            let messages: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let mut outgoing = Outgoing::new(messages.clone(), gap, start);
            let (mut now, mut sent) = (start, Vec::new());
            for step_ms in steps_ms {
                now += Duration::from_millis(step_ms);
                if let Some(message) = outgoing.take(now) {
                    prop_assert!(sent.last().is_none_or(|(at, _)| now - *at >= gap));
                    sent.push((now, message));
                }
            }
            let texts: Vec<_> = sent.into_iter().map(|(_, message)| message).collect();
            prop_assert_eq!(&messages[..texts.len()], &texts[..]);
        }
    }
}
