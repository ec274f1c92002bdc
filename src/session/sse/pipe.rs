//! Between delivery, which writes WebSocket frames, and the body of an HTTP response, which is
//! pulled: one bounded buffer of Server-Sent Events.
//!
//! Delivery counts an update as delivered when the buffer has taken it. Beyond that point stand
//! this buffer, hyper's and the kernel's, each bounded.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::position::Positions;
use crate::{
    delivery::{Flow, SocketWriter},
    protocol::frame,
};

/// What waits for the connection at most, unless one message alone is longer.
const WAITING_MAX: usize = 64 << 10;
/// What is handed to the connection at once: the smallest progress that a slow client is seen to
/// make.
const CHUNK: usize = 16 << 10;
/// The beginning of every message that is not the answer to the request.
const TYPED: &[u8] = br#"{"type":""#;
/// After this many milliseconds a browser connects anew.
const RETRY: &[u8] = b"retry: 2000\n";

/// The buffer.
#[derive(Debug)]
pub(super) struct Pipe {
    state: Mutex<State>,
    reader: AtomicWaker,
    changed: Notify,
}

/// What delivery writes to.
#[derive(Debug)]
pub(super) struct SseWriter(pub(super) Arc<Pipe>);

/// What the body gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Bytes. `refill` says that delivery was refused for want of room, which there is now.
    Chunk { bytes: Bytes, refill: bool },
    /// Nothing now.
    Nothing,
    /// Nothing more.
    End,
}

#[derive(Debug)]
struct State {
    /// Events that wait, but for the empty line that ends the last of them: its `id` is still to
    /// come.
    events: Vec<u8>,
    /// What is being handed to the connection.
    handed: Bytes,
    positions: Option<Positions>,
    /// Since when the connection has taken nothing, though something waits.
    since: Option<Instant>,
    refused: bool,
    /// Somebody waits for it to become empty.
    watched: bool,
    finished: bool,
    gone: bool,
}

impl Pipe {
    pub(super) fn new() -> Self {
        let state = State {
            events: RETRY.to_vec(),
            handed: Bytes::new(),
            positions: None,
            since: Some(Instant::now()),
            refused: false,
            watched: false,
            finished: false,
            gone: false,
        };
        Self { state: Mutex::new(state), reader: AtomicWaker::new(), changed: Notify::new() }
    }

    /// From now on events tell in their ids how far the stream has come.
    pub(super) fn identify(&self, positions: Option<Positions>) {
        self.state.lock().positions = positions;
    }

    /// The next bytes for the connection.
    pub(super) fn take(&self, now: Instant) -> Taken {
        let mut state = self.state.lock();
        let bytes = state.take();
        state.since = state.is_waiting().then_some(now);
        if state.watched {
            self.changed.notify_one();
        }
        match bytes {
            Some(bytes) => Taken::Chunk { bytes, refill: std::mem::take(&mut state.refused) },
            None if state.finished => Taken::End,
            None => Taken::Nothing,
        }
    }

    /// Who is to be woken when there is something to take.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.reader.register(waker);
    }

    /// The connection is gone: nothing is accepted any more.
    pub(super) fn leave(&self) {
        let mut state = self.state.lock();
        state.gone = true;
        (state.events, state.handed) = (Vec::new(), Bytes::new());
        drop(state);
        self.changed.notify_one();
    }

    /// Whether the connection is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.state.lock().gone
    }

    /// Nothing follows what waits.
    pub(super) fn finish(&self) {
        self.state.lock().finished = true;
        self.reader.wake();
    }

    /// How writing goes, this buffer included.
    pub(super) fn flow(&self, flow: Flow) -> Flow {
        let state = self.state.lock();
        Flow {
            broken: flow.broken || state.gone,
            waiting: flow.waiting || state.since.is_some(),
            progress: state.since.unwrap_or(flow.progress),
            ..flow
        }
    }

    /// From now on [`Pipe::changed`] also tells when something was taken.
    pub(super) fn watch(&self) {
        self.state.lock().watched = true;
    }

    /// Waits until the connection is gone or, once watched, has taken something.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl SocketWriter for SseWriter {
    /// Takes whole frames only, so that an event is never in parts.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        if state.gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut taken = 0;
        for frame in slices.iter().flat_map(|slice| frame::each(slice)) {
            if !state.has_room(frame.len()) {
                state.refused = true;
                break;
            }
            if let Some(message) = frame::text(frame) {
                state.push(message);
            }
            taken += frame.len();
        }
        if taken > 0 && state.since.is_none() {
            state.since = Some(Instant::now());
        }
        let refused = state.refused;
        drop(state);
        if taken == 0 && refused {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.reader.wake();
        Ok(taken)
    }
}

impl State {
    fn is_waiting(&self) -> bool {
        !self.events.is_empty() || !self.handed.is_empty()
    }

    fn has_room(&self, more: usize) -> bool {
        !self.is_waiting() || self.events.len() + self.handed.len() + more <= WAITING_MAX
    }

    /// Adds the event of a message.
    fn push(&mut self, message: &[u8]) {
        let out = &mut self.events;
        if !out.is_empty() {
            out.push(b'\n');
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind(message));
        // A message is JSON on one line: our encoder writes no line breaks, and escapes those in
        // texts.
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(message);
        out.push(b'\n');
        if let Some(positions) = &mut self.positions {
            positions.sent(message);
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.handed.is_empty() {
            if self.events.is_empty() {
                return None;
            }
            let mut events = std::mem::take(&mut self.events);
            if let Some(positions) = &self.positions {
                let before = events.len();
                events.extend_from_slice(b"id: ");
                let empty = events.len();
                positions.write(&mut events);
                if events.len() == empty {
                    events.truncate(before);
                } else {
                    events.push(b'\n');
                }
            }
            events.push(b'\n');
            self.handed = events.into();
        }
        let len = self.handed.len().min(CHUNK);
        Some(self.handed.split_to(len))
    }
}

/// The type of a message. The answer to the request has none.
fn kind(message: &[u8]) -> &[u8] {
    let named =
        message.strip_prefix(TYPED).and_then(|rest| rest.split(|byte| *byte == b'"').next());
    named.unwrap_or(b"result")
}

#[cfg(test)]
mod tests;
