//! An update with its frame: encoded once, shared by everyone who gets it.

use std::cell::Cell;

use bytes::Bytes;

use crate::{
    market::{Data, Update},
    protocol::{
        event,
        frame::{self, Builder, Opcode},
    },
    units::Micros,
};

use super::TopicId;

/// An update that has been numbered and encoded.
#[derive(Debug)]
pub struct Issued {
    /// The topic's number in this hub.
    pub id: TopicId,
    /// What was issued.
    pub update: Update,
    frame: Bytes,
}

/// Room that is kept from one draft to the next.
const KEPT: usize = 16 << 10;

thread_local! {
    /// What the next draft is written into: most are as long as the last.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Everything of an update's message that does not depend on its sequence number, encoded before
/// the topic is locked.
#[derive(Debug)]
pub(super) struct Draft {
    tail: Vec<u8>,
    data_at: usize,
}

impl Draft {
    pub(super) fn new(data: &Data, ts: Option<Micros>, rx: Micros, source: &str) -> Self {
        let mut tail = ROOM.take();
        event::update_tail(&mut tail, ts, rx, source);
        let data_at = tail.len();
        event::data(&mut tail, data);
        tail.push(b'}');
        Self { tail, data_at }
    }

    /// The `data` object.
    pub(super) fn data(&self) -> &[u8] {
        self.tail.get(self.data_at..self.tail.len() - 1).unwrap_or_default()
    }

    /// The whole frame, and the `data` object in it.
    pub(super) fn frame(&self, head: &[u8], seq: u64) -> (Bytes, Bytes) {
        let mut builder = Builder::with_capacity(head.len() + 20 + self.tail.len());
        let payload = builder.payload();
        payload.extend_from_slice(head);
        payload.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
        payload.extend_from_slice(&self.tail);
        let frame = builder.finish(Opcode::Text);
        let end = frame.len() - 1;
        let start = end - (self.tail.len() - 1 - self.data_at);
        let data = frame.slice(start..end);
        (frame, data)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.tail.capacity() <= KEPT {
            self.tail.clear();
            ROOM.set(std::mem::take(&mut self.tail));
        }
    }
}

impl Issued {
    pub(super) fn new(id: TopicId, update: Update, frame: Bytes) -> Self {
        Self { id, update, frame }
    }

    /// The `update` message as a JSON text frame.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The `update` message as JSON, without a frame around it.
    pub fn json(&self) -> Bytes {
        frame::payload(&self.frame)
    }

    /// What it takes in memory, about: the frame and the structures around it.
    pub fn footprint(&self) -> usize {
        const OVERHEAD: usize = size_of::<Issued>() + 64;
        self.frame.len() + OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_that_share_room_hold_nothing_of_each_other() {
        for length in [3, 300, 100_000, 30, 0] {
            let data = Data::new().with("pad", "x".repeat(length));
            let draft = Draft::new(&data, None, 7, "s");
            let (other, expected) = (Draft::new(&data, None, 8, "t"), draft.data().to_vec());
            let json = String::from_utf8(expected).unwrap();
            assert_eq!(json.len(), r#"{"pad":""}"#.len() + length);
            let (frame, data) = draft.frame(b"<", 5);
            assert_eq!(data, json);
            let message = format!(r#"<5,"ts":null,"rx":7,"source":"s","data":{json}}}"#);
            assert_eq!(frame::payload(&frame), message);
            assert_eq!(other.data(), draft.data());
        }
    }
}
