//! The forms in which the same messages are sent.

use bytes::Bytes;
use serde::Serialize;

use super::{
    SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK,
    deflate::{self, Window},
    event,
    frame::{Builder, Opcode},
    msgpack,
};

/// How one client gets its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Format {
    /// The encoding that its subprotocol names.
    pub encoding: Encoding,
    /// The window in which longer messages are compressed, where that was agreed upon.
    pub deflate: Option<Window>,
}

/// An encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// JSON in text frames.
    #[default]
    Json,
    /// The same objects as MessagePack in binary frames.
    MessagePack,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    /// The subprotocol that stands for it.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => SUBPROTOCOL_JSON,
            Self::MessagePack => SUBPROTOCOL_MSGPACK,
        }
    }
}

impl Format {
    /// The frame of a message that `write` writes as JSON.
    pub fn frame(self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut builder = Builder::with_capacity(256);
        match self.encoding {
            Encoding::Json => {
                write(builder.payload());
                self.seal(Opcode::Text, builder)
            }
            Encoding::MessagePack => {
                let mut json = Vec::with_capacity(256);
                write(&mut json);
                msgpack::from_json(&json, builder.payload());
                self.seal(Opcode::Binary, builder)
            }
        }
    }

    /// The frame of a payload that needs no encoding.
    pub fn carry(self, opcode: Opcode, payload: &[u8]) -> Bytes {
        let mut builder = Builder::with_capacity(payload.len());
        builder.payload().extend_from_slice(payload);
        self.seal(opcode, builder)
    }

    /// Whether a JSON message of `payload` bytes is sent as it is.
    pub fn is_plain(self, payload: impl FnOnce() -> usize) -> bool {
        self.encoding == Encoding::Json
            && (self.deflate.is_none() || self.window_for(payload()).is_none())
    }

    /// Whether every JSON message is sent as it is.
    pub fn is_bare(self) -> bool {
        self.encoding == Encoding::Json && self.deflate.is_none()
    }

    fn window_for(self, payload: usize) -> Option<Window> {
        self.deflate.filter(|_| payload >= deflate::PAYLOAD_MIN)
    }

    fn seal(self, opcode: Opcode, plain: Builder) -> Bytes {
        if let Some(window) = self.window_for(plain.len()) {
            let mut packed = Builder::with_capacity(plain.len() * 3 / 4);
            if deflate::compress(plain.written(), window, packed.payload()) {
                return packed.finish_compressed(opcode);
            }
        }
        plain.finish(opcode)
    }

    /// The frame of a message.
    pub fn message<T: Serialize + ?Sized>(self, message: &T) -> Bytes {
        self.frame(|out| event::json(out, message))
    }
}
