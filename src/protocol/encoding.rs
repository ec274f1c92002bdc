//! The forms in which the same messages are sent.

use bytes::Bytes;
use serde::Serialize;

use super::{
    SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, event,
    frame::{Builder, Opcode},
    msgpack,
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
                builder.finish(Opcode::Text)
            }
            Encoding::MessagePack => {
                let mut json = Vec::with_capacity(256);
                write(&mut json);
                msgpack::from_json(&json, builder.payload());
                builder.finish(Opcode::Binary)
            }
        }
    }

    /// The frame of a message.
    pub fn message<T: Serialize + ?Sized>(self, message: &T) -> Bytes {
        self.frame(|out| event::json(out, message))
    }
}
