//! A socket that takes what a test lets it take, and a reader of what it took that shares no code
//! with what wrote it.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::Value as Json;

use crate::delivery::SocketWriter;

/// The test's end of a socket.
#[derive(Debug, Clone, Default)]
pub(super) struct Wire(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    bytes: Vec<u8>,
    room: usize,
    per_write: Option<usize>,
}

/// A frame of a server, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    Answer(u64),
    Snapshot {
        topic: String,
        seq: u64,
        data: Json,
        state: String,
    },
    Update {
        topic: String,
        seq: u64,
        data: Json,
    },
    Gap {
        topic: String,
        from: u64,
        to: u64,
        dropped: u64,
        reason: String,
    },
    Status {
        topic: String,
        state: String,
    },
    /// Something about a subscription, ahead of data as an answer is.
    Notice {
        code: String,
        pattern: String,
    },
}

impl Wire {
    /// Lets it take `bytes` more.
    pub(super) fn allow(&self, bytes: usize) {
        let mut taken = self.0.lock();
        taken.room = taken.room.saturating_add(bytes);
    }

    /// Takes no more than `bytes` from now on.
    pub(super) fn leave(&self, bytes: usize) {
        self.0.lock().room = bytes;
    }

    /// Lets one call take no more than `bytes`.
    pub(super) fn at_most_per_write(&self, bytes: usize) {
        self.0.lock().per_write = Some(bytes.max(1));
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().bytes.clone()
    }

    /// Every whole message. What is left over is a frame that is still on its way.
    pub(super) fn messages(&self) -> Vec<Message> {
        let bytes = self.bytes();
        let (mut rest, mut messages) = (&bytes[..], Vec::new());
        while let Some((payload, after)) = split_frame(rest) {
            messages.push(read(payload));
            rest = after;
        }
        messages
    }
}

impl SocketWriter for Wire {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = self.0.lock();
        if taken.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = taken.room.min(taken.per_write.unwrap_or(usize::MAX));
        let offered = slices.iter().flat_map(|slice| slice.iter().copied());
        let before = taken.bytes.len();
        taken.bytes.extend(offered.take(most));
        let count = taken.bytes.len() - before;
        taken.room -= count;
        Ok(count)
    }
}

/// Splits one frame off, by RFC 6455: FIN set, text, no mask, the shortest length form.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, &short) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first, 0x81, "neither the beginning of a frame nor text");
    assert_eq!(short & 0x80, 0, "a server does not mask");
    let number = |bytes: &[u8]| bytes.iter().fold(0, |high, low| high << 8 | usize::from(*low));
    let (header, len, least) = match short {
        126 => (4, number(bytes.get(2..4)?), 126),
        127 => (10, number(bytes.get(2..10)?), 1 << 16),
        len => (2, usize::from(len), 0),
    };
    assert!(len >= least, "a length in too long a form");
    Some((bytes.get(header..header + len)?, &bytes[header + len..]))
}

fn read(payload: &[u8]) -> Message {
    let json: Json = serde_json::from_slice(payload).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    let number = |name: &str| json[name].as_u64().unwrap();
    let Some(kind) = json.get("type") else {
        return Message::Answer(number("answer"));
    };
    let topic = text("topic");
    if kind == "notice" {
        return Message::Notice { code: text("code"), pattern: topic };
    }
    match kind.as_str().unwrap() {
        "update" => Message::Update { topic, seq: number("seq"), data: json["data"].clone() },
        "snapshot" => Message::Snapshot {
            topic,
            seq: number("seq"),
            data: json["data"].clone(),
            state: text("state"),
        },
        "gap" => Message::Gap {
            topic,
            from: number("from"),
            to: number("to"),
            dropped: number("dropped"),
            reason: text("reason"),
        },
        "status" => Message::Status { topic, state: text("state") },
        other => panic!("{other}"),
    }
}

impl Message {
    /// As the tests write it down: `u5` is update 5, `s5` a snapshot, `g3-4/2` a gap of which 2
    /// were dropped, `live` a status, `a1` the first answer.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::Answer(number) => format!("a{number}"),
            Self::Snapshot { seq, .. } => format!("s{seq}"),
            Self::Update { seq, .. } => format!("u{seq}"),
            Self::Gap { from, to, dropped, .. } => format!("g{from}-{to}/{dropped}"),
            Self::Status { state, .. } => state.clone(),
            Self::Notice { code, .. } => code.clone(),
        }
    }

    pub(super) fn topic(&self) -> Option<&str> {
        match self {
            Self::Answer(_) | Self::Notice { .. } => None,
            Self::Snapshot { topic, .. }
            | Self::Update { topic, .. }
            | Self::Gap { topic, .. }
            | Self::Status { topic, .. } => Some(topic),
        }
    }
}
