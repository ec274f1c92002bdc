//! Frames from a client, by tungstenite: masking, UTF-8, fragments, control frames, limits.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use crate::protocol::code::Close;

/// What is read at once. tungstenite zeroes this much at every read, so its default of 128 KiB
/// costs more than everything else together; requests are short.
const READ_BUFFER: usize = 512;

/// Reads one client.
pub(super) struct Inbound {
    context: WebSocketContext,
}

/// What a client sent.
pub(super) enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message, which this subprotocol does not have.
    Binary,
    /// A ping, pong or a part of a close: it is alive.
    Alive,
    /// It closes.
    Closed,
    /// Nothing more for now.
    Nothing,
    /// It broke the rules.
    Broken(Close),
    /// The connection is gone.
    Gone,
}

/// The socket as tungstenite sees it. What it writes (pongs and close frames, each whole) goes to
/// the outbox, so that it can never land inside a frame that is partly written.
struct Wire<'a> {
    stream: &'a TcpStream,
    answers: &'a mut Vec<Bytes>,
}

impl Inbound {
    pub(super) fn new(read: Vec<u8>, message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // Each control frame is written at once and whole.
            .write_buffer_size(0)
            .max_write_buffer_size(1024)
            .max_message_size(Some(message_bytes))
            .max_frame_size(Some(message_bytes));
        Self { context: WebSocketContext::from_partially_read(read, Role::Server, Some(config)) }
    }

    /// The next message. Answers that the protocol itself demands are added to `answers`.
    pub(super) fn next(&mut self, stream: &TcpStream, answers: &mut Vec<Bytes>) -> Received {
        let mut wire = Wire { stream, answers };
        match self.context.read(&mut wire) {
            Ok(Message::Text(text)) => Received::Text(text),
            Ok(Message::Binary(_)) => Received::Binary,
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                // Writes the pong.
                drop(self.context.flush(&mut wire));
                Received::Alive
            }
            Ok(Message::Close(_)) => {
                // Writes the close in answer; that this ends the context is no news.
                drop(self.context.flush(&mut wire));
                Received::Closed
            }
            Err(error) => received(&error),
        }
    }
}

fn received(error: &Error) -> Received {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
        Error::Capacity(_) => Received::Broken(Close::MessageTooLarge),
        Error::Utf8(_) => Received::Broken(Close::NotUtf8),
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => Received::Gone,
        Error::Protocol(_) => Received::Broken(Close::Protocol),
        _ => Received::Gone,
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
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
