//! A client of Server-Sent Events: the same delivery as over a WebSocket, behind an HTTP response.
//!
//! Delivery writes frames into a `pipe::Pipe`, the response's body takes events out of it. The
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

use bytes::Bytes;
use futures::Stream;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Sessions, greeting};
use crate::{
    delivery::{SubscribeRow, Subscriber, TransportKind},
    protocol::{
        code::{ErrorBody, ErrorCode},
        encoding::Format,
        event::Notice,
        params::Subscribe,
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
        let seat = self.delivery.seat(TransportKind::Sse).ok_or_else(|| {
            ErrorBody::new(ErrorCode::Internal, "there is no shard for this stream")
        })?;
        let pipe = Arc::new(Pipe::new());
        let (writer, now) = (Arc::new(SseWriter(pipe.clone())), Instant::now());
        let subscriber = Arc::new(seat.take(writer, Format::default(), now));
        // Before anything can fail: whoever drops it ends the session.
        let events = Events { pipe: pipe.clone(), subscriber: subscriber.clone() };
        let mut asked = opening.asked;
        let options = subscriber.options(&asked)?;
        greeting::welcome(self, &subscriber);
        if let Some(last) = &opening.last_event_id {
            match position::parse(last) {
                Some(resume) => asked.resume = position::concerning(resume, &asked.topics),
                None => subscriber.say(&unreadable(), now),
            }
        }
        let mut refused = None;
        subscriber.subscribe(&asked, &options, |rows| {
            refused = self.refusal(rows);
            pipe.identify(Positions::begin(rows, options.snapshot, asked.resume.as_ref()));
            subscriber.format().message(&Rows { topics: rows })
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

/// Says that an id tells nothing.
fn unreadable() -> Notice<'static> {
    Notice {
        code: ErrorCode::Unrecoverable.as_str(),
        message: Some("`Last-Event-ID` is none of this server's: the stream begins anew"),
        topic: None,
        reconnect_after_ms: None,
    }
}
