//! The stream loop, one for every venue that has a WebSocket: connect, subscribe, read, validate,
//! publish; and while the stream is down, the poll loop of the same feed, so that its topics hardly
//! notice.
//!
//! What it decides by is pure and in files of its own: `outgoing` (what is sent, no faster than the
//! venue allows), `watchdog` (stalls, signs of life, a connection's age), `retry` (when to connect
//! again); what messages mean is the provider's.
//!
//! Polls stand in from a moment after the stream is lost until it brings a value that is accepted. A
//! poll that is then on its way is dropped, so that an older answer never follows a newer message.

mod connect;
mod line;
mod outgoing;
mod retry;
mod watchdog;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

pub use self::{
    connect::{Dial, Network},
    line::{Factory, Line, Parts},
};
use super::{feed::Feed, poll::Poll, supervise::Work};
use crate::hub::Transport;

/// The longest that a feed waits for its stream before it polls.
const GRACE_MAX: Duration = Duration::from_secs(5);

/// One feed's stream, with its polls.
pub struct Stream {
    feed: Arc<Feed>,
    line: Line,
    poll: Poll,
    grace: Duration,
}

impl Stream {
    /// What comes by `line`, and every `interval` by `poll` while the line is down.
    pub fn new(feed: Arc<Feed>, line: Line, poll: Poll, interval: Duration) -> Self {
        Self { feed, line, poll, grace: interval.min(GRACE_MAX) }
    }
}

/// Polls from `first` on, for ever.
async fn stand_in(feed: &Feed, poll: &mut Poll, first: Instant) {
    sleep_until(first).await;
    tracing::info!(feed = %feed.name(), "polls stand in for the stream");
    feed.comes_by(Transport::Rest);
    poll.hold(first);
    poll.run().await;
}

impl Work for Stream {
    async fn run(&mut self) {
        let Self { feed, line, poll, grace } = self;
        line.begin();
        let mut wait = *grace;
        loop {
            let first = Instant::now() + wait;
            tokio::select! {
                biased;
                () = line.until_delivers() => {}
                () = stand_in(feed, poll, first) => {}
            }
            poll.relieved();
            let good = line.deliver().await;
            // A stream that comes and goes must not keep the polls waiting each time.
            wait = if good { *grace } else { Duration::ZERO };
        }
    }

    fn panicked(&mut self, message: &str) {
        self.line.panicked();
        self.poll.interrupted(message);
    }

    async fn stopped(&mut self) {
        self.line.hang_up().await;
    }
}

#[cfg(test)]
mod tests;
