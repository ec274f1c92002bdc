//! Messages from a client, by tungstenite: masking, UTF-8, fragments, control frames, limits.

use std::{
    io::{self, Read, Write},
    time::Instant,
};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::ProtocolError,
    protocol::{Role, WebSocketConfig, WebSocketContext, frame::coding::CloseCode},
};

use super::{
    deflate::Inflated,
    frames::{Frames, Piece},
};
use crate::{protocol::code::Close, units::TokenBucket};

/// What is read at once. tungstenite zeroes this much at every read, so its default of 128 KiB
/// costs more than everything else together; requests are short.
const READ_BUFFER: usize = 512;
/// Reads that give tungstenite nothing, before others get their turn.
const EMPTY_READS: usize = 16;
/// What is kept for the next message; memory beyond it is given back.
const KEPT: usize = 4096;

/// What a client may send.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The largest message, also after inflating.
    pub message_bytes: usize,
    /// Frames a second, twice as many at once. tungstenite does not tell of fragments, so a
    /// message of endless empty ones would cost time and show nowhere.
    pub frames_per_s: f64,
    /// Whether permessage-deflate was agreed upon.
    pub deflate: bool,
}

/// Reads one client. Most clients say nothing most of the time: what reading takes in memory is made
/// when something comes and given back between two messages.
#[derive(Debug)]
pub struct Inbound {
    rules: Rules,
    rate: TokenBucket,
    open: Option<Box<Open>>,
}

/// What reading takes.
#[derive(Debug)]
struct Open {
    context: WebSocketContext,
    source: Source,
}

/// What a client sent.
#[derive(Debug)]
pub enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A ping, pong or a part of a close: it is alive.
    Alive,
    /// It closes, and is answered: [`Close::Protocol`] when it gave a code that must not be sent.
    Closed(Close),
    /// Nothing more for now.
    Nothing,
    /// It broke the rules.
    Broken(Close),
    /// The connection is gone.
    Gone,
}

/// Where tungstenite's bytes come from.
#[derive(Debug)]
struct Source {
    frames: Frames,
    /// Bytes for tungstenite, from the first that it has not got.
    ready: Vec<u8>,
    given: usize,
    /// What the client did wrong, once `ready` is given.
    broken: Option<Close>,
    deflate: Option<Box<Deflate>>,
}

/// The detour of a connection with permessage-deflate.
#[derive(Debug)]
struct Deflate {
    inflated: Inflated,
    /// Bytes of the socket, from the first that was not looked at.
    raw: Vec<u8>,
    seen: usize,
}

/// The socket as tungstenite sees it. What it writes (pongs and close frames, each whole) goes to
/// the outbox, so that it can never land inside a frame that is partly written.
struct Wire<'a> {
    stream: &'a TcpStream,
    source: &'a mut Source,
    rate: &'a mut TokenBucket,
    answers: &'a mut Vec<Bytes>,
}

impl Inbound {
    /// `read` is what came behind the handshake.
    pub fn new(read: Vec<u8>, rules: Rules, now: Instant) -> Self {
        let mut rate = TokenBucket::new(rules.frames_per_s, rules.frames_per_s * 2.0, now);
        let open = (!read.is_empty()).then(|| Open::new(read, &rules, &mut rate, now));
        Self { rules, rate, open }
    }

    /// The next message. Answers that the protocol itself demands are added to `answers`.
    pub fn next(&mut self, stream: &TcpStream, answers: &mut Vec<Bytes>) -> Received {
        let Self { rules, rate, open } = self;
        let reading =
            open.get_or_insert_with(|| Open::new(Vec::new(), rules, rate, Instant::now()));
        let received = reading.next(stream, rate, answers);
        if matches!(received, Received::Nothing) && reading.source.is_idle() {
            *open = None;
        }
        received
    }
}

impl Open {
    fn new(read: Vec<u8>, rules: &Rules, rate: &mut TokenBucket, now: Instant) -> Box<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // Each control frame is written at once and whole.
            .write_buffer_size(0)
            .max_write_buffer_size(1024)
            .max_message_size(Some(rules.message_bytes))
            .max_frame_size(Some(rules.message_bytes));
        let context = WebSocketContext::new(Role::Server, Some(config));
        Box::new(Self { context, source: Source::new(read, rules, rate, now) })
    }

    fn next(
        &mut self,
        stream: &TcpStream,
        rate: &mut TokenBucket,
        answers: &mut Vec<Bytes>,
    ) -> Received {
        let mut wire = Wire { stream, source: &mut self.source, rate, answers };
        match self.context.read(&mut wire) {
            Ok(Message::Text(text)) => Received::Text(text),
            Ok(Message::Binary(bytes)) => Received::Binary(bytes),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                // Writes the pong.
                drop(self.context.flush(&mut wire));
                Received::Alive
            }
            Ok(Message::Close(frame)) => {
                // Writes the close in answer; that this ends the context is no news.
                drop(self.context.flush(&mut wire));
                let refused = frame.is_some_and(|frame| frame.code == CloseCode::Protocol);
                Received::Closed(if refused { Close::Protocol } else { Close::Normal })
            }
            Err(error) => received(&error, wire.source.broken),
        }
    }
}

fn received(error: &Error, broken: Option<Close>) -> Received {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
        Error::Io(_) => broken.map_or(Received::Gone, Received::Broken),
        Error::Capacity(_) => Received::Broken(Close::MessageTooLarge),
        Error::Utf8(_) => Received::Broken(Close::NotUtf8),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Received::Gone,
        Error::Protocol(_) => Received::Broken(Close::Protocol),
        _ => Received::Gone,
    }
}

impl Source {
    fn new(mut read: Vec<u8>, rules: &Rules, rate: &mut TokenBucket, now: Instant) -> Self {
        let deflate = rules.deflate.then(|| {
            let (inflated, raw) = (Inflated::new(rules.message_bytes), std::mem::take(&mut read));
            Box::new(Deflate { inflated, raw, seen: 0 })
        });
        let mut source =
            Self { frames: Frames::default(), ready: Vec::new(), given: 0, broken: None, deflate };
        let good = source.watch(&read, rate, now);
        read.truncate(good);
        source.ready = read;
        source
    }

    /// True when all that came was handed on, and nothing of it is incomplete.
    fn is_idle(&self) -> bool {
        let raw = self.deflate.as_ref().is_some_and(|deflate| !deflate.raw.is_empty());
        self.frames.is_between_messages() && self.ready.is_empty() && !raw && self.broken.is_none()
    }

    /// Gives `buffer` what is ready, where something is.
    fn give(&mut self, buffer: &mut [u8]) -> usize {
        let ready = self.ready.get(self.given..).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        if self.given == self.ready.len() {
            self.given = 0;
            self.ready.clear();
            self.ready.shrink_to(KEPT);
        }
        count
    }

    /// Counts the frames in what the socket gave, and finds what tungstenite takes for something
    /// else. Returns how much of it may be handed on.
    fn watch(&mut self, bytes: &[u8], rate: &mut TokenBucket, now: Instant) -> usize {
        let (mut rest, mut count) = (bytes, 0_u32);
        while let Some(piece) = self.frames.next(&mut rest) {
            let Piece::Head(head) = piece else { continue };
            count += 1;
            if head.is_too_long() {
                self.broken = Some(Close::Protocol);
                let end = bytes.len() - rest.len();
                return end.saturating_sub(head.bytes().len());
            }
        }
        self.charge(count, rate, now);
        if self.broken.is_some() { 0 } else { bytes.len() }
    }

    fn charge(&mut self, frames: u32, rate: &mut TokenBucket, now: Instant) {
        if !rate.take(f64::from(frames), now) {
            self.broken = Some(Close::RateLimited);
        }
    }

    /// Makes something ready out of the raw bytes, or takes them all.
    fn inflate(&mut self, rate: &mut TokenBucket, now: Instant) {
        let Some(deflate) = &mut self.deflate else { return };
        let mut rest = deflate.raw.get(deflate.seen..).unwrap_or_default();
        let (mut count, before) = (0_u32, rest.len());
        while self.ready.is_empty()
            && let Some(piece) = self.frames.next(&mut rest)
        {
            count += u32::from(matches!(piece, Piece::Head(_)));
            if let Err(close) = deflate.inflated.take(&piece, &mut self.ready) {
                self.broken = Some(close);
                break;
            }
        }
        deflate.seen += before - rest.len();
        if deflate.seen == deflate.raw.len() {
            deflate.seen = 0;
            deflate.raw.clear();
        }
        self.charge(count, rate, now);
    }
}

impl Wire<'_> {
    fn read_inflated(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..EMPTY_READS {
            let raw = self.source.deflate.as_ref().is_some_and(|deflate| !deflate.raw.is_empty());
            if !raw {
                let mut bytes = [0; READ_BUFFER];
                let count = self.stream.try_read(&mut bytes)?;
                if count == 0 {
                    return Ok(0);
                }
                if let Some(deflate) = &mut self.source.deflate {
                    deflate.raw.extend_from_slice(bytes.get(..count).unwrap_or_default());
                }
            }
            self.source.inflate(self.rate, Instant::now());
            let given = self.source.give(buffer);
            if given > 0 {
                return Ok(given);
            }
            if self.source.broken.is_some() {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        // The socket still counts as readable, so that it is asked again.
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let given = self.source.give(buffer);
        if given > 0 || buffer.is_empty() {
            return Ok(given);
        }
        if self.source.broken.is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.source.deflate.is_some() {
            return self.read_inflated(buffer);
        }
        let count = self.stream.try_read(buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        let good = self.source.watch(read, self.rate, Instant::now());
        if good == 0 && count > 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(good)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.answers.push(Bytes::copy_from_slice(frame));
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
