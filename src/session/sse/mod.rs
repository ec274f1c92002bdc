//! A client of Server-Sent Events: the same delivery as over a WebSocket, behind an HTTP response.
//!
//! Delivery writes frames into a [`pipe::Pipe`], the response's body takes events out of it. The
//! body is pulled only while the connection takes something, so what must happen when it does not
//! (the write deadline, the end) is the business of a task.

mod deadlines;
mod pipe;
mod position;
mod run;

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Sessions, commands::message, greeting};
use crate::{
    delivery::{Options, SubscribeRow, Subscriber, TransportKind},
    protocol::{
        code::{ErrorBody, ErrorCode},
        event::Notice,
        params::{Resume, Subscribe},
    },
};
use pipe::{Pipe, SseWriter, Taken};
use position::Positions;

/// A stream to be opened.
#[derive(Debug)]
pub struct Opening {
    /// What to subscribe. Its `resume` is taken from `last_event_id`.
    pub asked: Subscribe,
    /// The id of the last event that the client has got.
    pub last_event_id: Option<String>,
    /// The client.
    pub peer: IpAddr,
    /// Ends the connection when cancelled; cancelled when the connection has ended.
    pub connection: CancellationToken,
}

/// The events of one client, as the body of a response. Dropping it ends the session.
#[derive(Debug)]
pub struct Events {
    pipe: Arc<Pipe>,
    subscriber: Arc<Subscriber>,
}

/// How a stream goes on from an earlier one.
#[derive(Debug, Default)]
struct Start {
    /// Delivery begins there.
    resumed: Option<Resume>,
    /// It was asked to, and cannot.
    missed: Option<Resume>,
    /// The id tells nothing.
    unreadable: bool,
}

#[derive(Serialize)]
struct Rows<'a> {
    topics: &'a [SubscribeRow],
}

impl Sessions {
    /// Subscribes and begins to deliver. The first events are `welcome` and `result`, which holds
    /// the rows that the answer to `subscribe` holds.
    ///
    /// # Errors
    /// `draining`, `too_many_connections`, whatever is wrong with the options, and the first row's
    /// error where no topic could be subscribed.
    pub fn stream(self: &Arc<Self>, opening: Opening) -> Result<Events, ErrorBody> {
        if self.is_draining() {
            return Err(ErrorBody::new(ErrorCode::Draining, "the server is about to stop"));
        }
        let permit = self
            .admission
            .admit(opening.peer)
            .map_err(|full| ErrorBody::new(ErrorCode::TooManyConnections, full.to_string()))?;
        let mut asked = opening.asked;
        let (options, start) = begin(&mut asked, opening.last_event_id.as_deref())?;
        let seat = self.delivery.seat(TransportKind::Sse).ok_or_else(|| {
            ErrorBody::new(ErrorCode::Internal, "there is no shard for this stream")
        })?;
        let pipe = Arc::new(Pipe::new());
        let now = Instant::now();
        let subscriber = Arc::new(seat.take(Box::new(SseWriter(pipe.clone())), now));
        // Before anything can fail: whoever drops it ends the session.
        let events = Events { pipe: pipe.clone(), subscriber: subscriber.clone() };
        subscriber.send(greeting::welcome(self), now);
        let mut refused = None;
        subscriber.subscribe(&asked.topics, &options, |rows| {
            refused = self.refusal(rows);
            pipe.identify(Positions::begin(rows, options.snapshot, start.resumed.as_ref()));
            answer(rows, options.snapshot, &start)
        });
        if let Some(error) = refused {
            return Err(error);
        }
        let (sessions, connected) = (self.clone(), self.metrics.connected(TransportKind::Sse));
        seat.spawn("stream", async move {
            run::run(&sessions, &subscriber, &pipe, &opening.connection).await;
            drop((permit, connected));
        });
        Ok(events)
    }

    /// The error that stands for all, when no row is subscribed. Else those that there are stand in
    /// the rows, and are counted here.
    fn refusal(&self, rows: &[SubscribeRow]) -> Option<ErrorBody> {
        let mut errors = rows.iter().filter_map(|row| row.error.as_ref());
        if !rows.iter().any(|row| row.ok)
            && let Some(first) = errors.next()
        {
            return Some(first.clone());
        }
        errors.for_each(|error| self.metrics.error(error.code));
        None
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pipe.register(context.waker());
        let now = Instant::now();
        match self.pipe.take(now) {
            Taken::Chunk { bytes, refill } => {
                if refill {
                    self.subscriber.writable(now);
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Taken::Nothing => Poll::Pending,
            Taken::End => Poll::Ready(None),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.pipe.leave();
        self.subscriber.end();
    }
}

/// The options, and from where to go on. Where this server cannot go on, the stream begins anew and
/// tells what is missing.
fn begin(asked: &mut Subscribe, last: Option<&str>) -> Result<(Options, Start), ErrorBody> {
    let mut start = Start::default();
    if let Some(last) = last {
        let read = position::parse(last);
        start.unreadable = read.is_none();
        asked.resume = read.and_then(|resume| position::concerning(resume, &asked.topics));
    }
    let refused = match Options::from_request(asked) {
        Ok(options) => {
            start.resumed = asked.resume.clone();
            return Ok((options, start));
        }
        Err(refused) => refused,
    };
    start.missed = asked.resume.take();
    if start.missed.is_none() {
        return Err(refused);
    }
    Options::from_request(asked).map(|options| (options, start))
}

/// The `result`, and in the same piece, so that nothing comes between, what it cannot tell.
fn answer(rows: &[SubscribeRow], snapshot: bool, start: &Start) -> Bytes {
    let result = message(&Rows { topics: rows });
    if start.missed.is_none() && !start.unreadable {
        return result;
    }
    let mut piece = BytesMut::from(&result[..]);
    if start.unreadable {
        piece.extend_from_slice(&message(&Notice {
            code: ErrorCode::Unrecoverable.as_str(),
            message: Some("`Last-Event-ID` is none of this server's: the stream begins anew"),
            topic: None,
            reconnect_after_ms: None,
        }));
    }
    for gap in start.missed.iter().flat_map(|missed| position::missed(rows, snapshot, missed)) {
        piece.extend_from_slice(&message(&gap));
    }
    piece.freeze()
}
