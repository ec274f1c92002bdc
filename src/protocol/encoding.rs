//! The forms in which the same messages are sent.

use bytes::Bytes;
use serde::Serialize;

use super::{
    event,
    frame::{Builder, Opcode},
};

/// How one client gets its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Format {
    /// The encoding that its subprotocol names.
    pub encoding: Encoding,
}

/// An encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// JSON in text frames.
    #[default]
    Json,
}

impl Format {
    /// The frame of a message that `write` writes as JSON.
    pub fn frame(self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut builder = Builder::with_capacity(256);
        write(builder.payload());
        builder.finish(Opcode::Text)
    }

    /// The frame of a message.
    pub fn message<T: Serialize + ?Sized>(self, message: &T) -> Bytes {
        self.frame(|out| event::json(out, message))
    }
}
