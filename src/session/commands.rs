//! What a client asks, and the answers.

use std::time::Instant;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Sessions, metrics::Metrics};
use crate::{
    delivery::{SubscribeRow, Subscriber},
    protocol::{
        code::{ErrorBody, ErrorCode},
        command::{self, Command, Request, Unreadable},
        encoding::Encoding,
        event::{Reply, RequestId},
        msgpack,
        params::{Replay, SnapshotQuery, Subscribe, TopicNames, TopicQuery},
    },
    units::{TokenBucket, now_us},
};

/// Answers one client's requests.
pub(super) struct Commands<'a> {
    sessions: &'a Sessions,
    subscriber: &'a Subscriber,
    requests: TokenBucket,
    /// Pings and pongs, which cost little but not nothing.
    controls: TokenBucket,
    /// Requests refused since the last that was not.
    refused: u32,
}

/// What follows from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Continue,
    /// It keeps asking though it was told not to.
    Flood,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RowsOf{T}")]
pub(super) struct Rows<'a, T> {
    topics: &'a [T],
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TopicsPageOf{T}")]
pub(super) struct TopicsPage<T> {
    topics: Vec<T>,
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SnapshotsPageOf{T}")]
pub(super) struct SnapshotsPage<T> {
    snapshots: Vec<T>,
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SubscriptionsOf{T}")]
pub(super) struct Subscriptions<T> {
    subscriptions: Vec<T>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Pong {
    time: i64,
}

impl<'a> Commands<'a> {
    pub(super) fn new(sessions: &'a Sessions, subscriber: &'a Subscriber, now: Instant) -> Self {
        let rate = f64::from(sessions.settings.limits.requests_per_s);
        let requests = TokenBucket::new(rate, rate * 2.0, now);
        let controls = TokenBucket::new(rate * 5.0, rate * 10.0, now);
        Self { sessions, subscriber, requests, controls, refused: 0 }
    }

    /// Answers one text message.
    pub(super) async fn handle_text(&mut self, text: &str, now: Instant) -> Verdict {
        match self.subscriber.format().encoding {
            Encoding::Json => self.handle(|| command::parse(text), now).await,
            Encoding::MessagePack => {
                let error = misplaced("this subprotocol has binary messages only");
                self.handle(|| Err(error), now).await
            }
        }
    }

    /// Answers one binary message.
    pub(super) async fn handle_binary(&mut self, bytes: &[u8], now: Instant) -> Verdict {
        match self.subscriber.format().encoding {
            Encoding::Json => {
                let error = misplaced("this subprotocol has text messages only");
                self.handle(|| Err(error), now).await
            }
            Encoding::MessagePack => self.handle(|| unpacked(bytes), now).await,
        }
    }

    /// Answers what `read` reads, if it may be asked now.
    async fn handle(
        &mut self,
        read: impl FnOnce() -> Result<Request, Unreadable>,
        now: Instant,
    ) -> Verdict {
        if !self.requests.take(1.0, now) {
            return self.refuse(read, now);
        }
        self.refused = 0;
        match read() {
            Ok(request) => {
                self.metrics().request(request.command.method());
                self.answer(&request.id, request.command, now).await;
            }
            Err(unreadable) => {
                if let Some(method) = unreadable.method {
                    self.metrics().request(method);
                }
                self.fail(&unreadable.id, &unreadable.error, now);
            }
        }
        Verdict::Continue
    }

    /// Too fast: told so at first, cut off when twice a full burst was refused in a row.
    fn refuse(
        &mut self,
        read: impl FnOnce() -> Result<Request, Unreadable>,
        now: Instant,
    ) -> Verdict {
        self.refused += 1;
        let rate = self.sessions.settings.limits.requests_per_s;
        if self.refused > rate.saturating_mul(4) {
            return Verdict::Flood;
        }
        let id = read().map_or_else(|unread| unread.id, |request| request.id);
        let message = format!("at most {rate} requests a second, and twice as many at once");
        self.fail(&id, &ErrorBody::new(ErrorCode::RateLimited, message), now);
        Verdict::Continue
    }

    /// A ping or pong.
    pub(super) fn handle_control(&mut self, now: Instant) -> Verdict {
        if self.controls.take(1.0, now) { Verdict::Continue } else { Verdict::Flood }
    }

    async fn answer(&self, id: &RequestId, command: Command, now: Instant) {
        let outcome = match command {
            Command::Subscribe(asked) => self.subscribe(id, &asked).await,
            Command::Unsubscribe(asked) => self.unsubscribe(id, &asked),
            Command::Subscriptions => {
                let subscriptions = self.subscriber.subscriptions();
                Ok(Some(self.reply(id, &Subscriptions { subscriptions })))
            }
            Command::Topics(query) => self.topics(id, &query),
            Command::Snapshot(query) => self.snapshot(id, &query),
            Command::Replay(asked) => self.replay(id, &asked),
            Command::Ping => Ok(Some(self.reply(id, &Pong { time: now_us() }))),
            Command::Auth(_) => {
                let message = "this server has no keys: everyone is anonymous";
                Err(ErrorBody::new(ErrorCode::Unauthorized, message))
            }
        };
        match outcome {
            Ok(Some(frame)) => self.subscriber.send(frame, now),
            Ok(None) => {}
            Err(error) => self.fail(id, &error, now),
        }
    }

    async fn subscribe(
        &self,
        id: &RequestId,
        asked: &Subscribe,
    ) -> Result<Option<Bytes>, ErrorBody> {
        self.check_count(&asked.topics)?;
        let options = self.subscriber.options(asked)?;
        let reply = |rows: &[SubscribeRow]| {
            for error in rows.iter().filter_map(|row| row.error.as_ref()) {
                self.metrics().error(error.code);
            }
            self.reply(id, &Rows { topics: rows })
        };
        self.subscriber.subscribe_in_turns(asked, &options, reply).await;
        Ok(None)
    }

    fn unsubscribe(&self, id: &RequestId, asked: &TopicNames) -> Result<Option<Bytes>, ErrorBody> {
        self.check_count(&asked.topics)?;
        let rows = self.subscriber.unsubscribe(&asked.topics);
        for error in rows.iter().filter_map(|row| row.error.as_ref()) {
            self.metrics().error(error.code);
        }
        Ok(Some(self.reply(id, &Rows { topics: &rows })))
    }

    fn topics(&self, id: &RequestId, query: &TopicQuery) -> Result<Option<Bytes>, ErrorBody> {
        let reader = self.sessions.delivery.reader();
        let (pattern, cursor) = (query.pattern.as_deref(), query.cursor.as_deref());
        let page = reader.topics(pattern, query.limit, cursor, now_us())?;
        Ok(Some(self.reply(id, &TopicsPage { topics: page.rows, next: page.next })))
    }

    fn snapshot(&self, id: &RequestId, query: &SnapshotQuery) -> Result<Option<Bytes>, ErrorBody> {
        self.check_count(&query.topics)?;
        let reader = self.sessions.delivery.reader();
        let page =
            reader.snapshot(&query.topics, query.limit, query.cursor.as_deref(), now_us())?;
        Ok(Some(self.reply(id, &SnapshotsPage { snapshots: page.rows, next: page.next })))
    }

    fn replay(&self, id: &RequestId, asked: &Replay) -> Result<Option<Bytes>, ErrorBody> {
        let reader = self.sessions.delivery.reader();
        let replayed = reader.replay(&asked.topic, asked.from, asked.to, asked.limit)?;
        Ok(Some(self.reply(id, &replayed)))
    }

    fn check_count(&self, topics: &[String]) -> Result<(), ErrorBody> {
        let most = self.sessions.settings.limits.topics_per_request;
        if topics.len() <= most {
            return Ok(());
        }
        let message = format!("{} topics in one request; at most {most} may be", topics.len());
        Err(ErrorBody::new(ErrorCode::TooManyTopics, message))
    }

    fn fail(&self, id: &RequestId, error: &ErrorBody, now: Instant) {
        self.metrics().error(error.code);
        self.subscriber.say(&failure(id, error), now);
    }

    fn reply<T: Serialize>(&self, id: &RequestId, result: &T) -> Bytes {
        self.subscriber.format().message(&Reply { id, result: Some(result), error: None })
    }

    fn metrics(&self) -> &'a Metrics {
        &self.sessions.metrics
    }
}

/// A message of the kind that the subprotocol does not have.
fn misplaced(message: &str) -> Unreadable {
    unreadable(ErrorBody::new(ErrorCode::BadRequest, message))
}

/// A request in MessagePack.
fn unpacked(bytes: &[u8]) -> Result<Request, Unreadable> {
    let json = msgpack::to_json(bytes).map_err(unreadable)?;
    command::parse(&json)
}

fn unreadable(error: ErrorBody) -> Unreadable {
    Unreadable { id: RequestId::Unknown, method: None, error }
}

/// An error in answer to a request.
pub(super) fn failure<'a>(id: &'a RequestId, error: &'a ErrorBody) -> Reply<'a, ()> {
    Reply { id, result: None, error: Some(error) }
}
