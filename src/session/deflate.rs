//! What a client sends where permessage-deflate was agreed upon: compressed messages are inflated
//! and framed again, so that tungstenite, which knows no extensions, can check all that is left to
//! check. Pure.
//!
//! Memory: an inflater (some 45 KiB) exists only while a compressed message is under way, and what
//! it makes is handed on in pieces of at most a message.

use flate2::{Decompress, FlushDecompress, Status};

use super::frames::{self, Head, Piece};
use crate::protocol::{code::Close, deflate::TAIL};

/// Room that is added to the output when it is full.
const STEP: usize = 4096;

/// Frames of a client with compressed messages inflated.
#[derive(Debug)]
pub(super) struct Inflated {
    message_bytes: usize,
    head: Option<Head>,
    open: Open,
    /// The payload as it was meant; kept for its memory.
    unmasked: Vec<u8>,
}

/// The data message that is under way.
#[derive(Debug)]
enum Open {
    None,
    Plain,
    Compressed(Box<Message>),
}

/// A compressed message.
#[derive(Debug)]
struct Message {
    inflater: Decompress,
    /// Its kind, until its first frame was handed on; then a continuation's.
    opcode: u8,
    /// Bytes of it before and after inflating.
    taken: usize,
    made: usize,
    out: Vec<u8>,
}

impl Inflated {
    /// No message may have more than `message_bytes` when it is inflated.
    pub(super) fn new(message_bytes: usize) -> Self {
        Self { message_bytes, head: None, open: Open::None, unmasked: Vec::new() }
    }

    /// Takes a part of what the client sent and appends what to read instead.
    ///
    /// # Errors
    /// [`Close::Protocol`] for what RFC 6455 or 7692 forbids, [`Close::NotUtf8`] (1007, data that
    /// does not fit the message's kind) for what does not inflate, [`Close::MessageTooLarge`]
    /// for what inflates to too much.
    pub(super) fn take(&mut self, piece: &Piece<'_>, out: &mut Vec<u8>) -> Result<(), Close> {
        match piece {
            Piece::Head(head) => {
                self.begin(head)?;
                self.head = Some(*head);
                if !self.is_compressed(head) {
                    out.extend_from_slice(head.bytes());
                    self.end_of(head, head.len == 0);
                    Ok(())
                } else if head.len == 0 {
                    self.inflate(head, &[], 0, true, out)
                } else {
                    Ok(())
                }
            }
            Piece::Payload { bytes, offset, last } => {
                let Some(head) = self.head else { return Ok(()) };
                if self.is_compressed(&head) {
                    return self.inflate(&head, bytes, *offset, *last, out);
                }
                out.extend_from_slice(bytes);
                self.end_of(&head, *last);
                Ok(())
            }
        }
    }

    fn is_compressed(&self, head: &Head) -> bool {
        !head.is_control() && matches!(self.open, Open::Compressed(_))
    }

    /// What RFC 7692 makes of a head. The rest is left to tungstenite, but for what it could not
    /// see behind a message of which it has got nothing yet.
    fn begin(&mut self, head: &Head) -> Result<(), Close> {
        let starts = head.opcode() != 0;
        let misplaced = starts != matches!(self.open, Open::None);
        let broken = if head.is_control() {
            head.is_compressed()
        } else {
            misplaced || (head.is_compressed() && !starts)
        };
        if broken || head.has_other_bits() || !head.is_masked() || head.is_too_long() {
            return Err(Close::Protocol);
        }
        if !head.is_control() && starts {
            self.open = if head.is_compressed() {
                Open::Compressed(Box::new(Message {
                    inflater: Decompress::new(false),
                    opcode: head.opcode(),
                    taken: 0,
                    made: 0,
                    out: Vec::new(),
                }))
            } else {
                Open::Plain
            };
        }
        Ok(())
    }

    fn end_of(&mut self, head: &Head, last: bool) {
        if last && head.is_final() && !head.is_control() {
            self.open = Open::None;
        }
    }

    fn inflate(
        &mut self,
        head: &Head,
        bytes: &[u8],
        offset: u64,
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let Open::Compressed(message) = &mut self.open else { return Ok(()) };
        self.unmasked.clear();
        head.unmask(bytes, offset, &mut self.unmasked);
        message.taken += bytes.len();
        // Blocks that inflate to nothing are data as well: stored bytes take 5 more in 64 KiB.
        if message.taken > self.message_bytes + self.message_bytes / 8 + 64 {
            return Err(Close::MessageTooLarge);
        }
        message.out.clear();
        let is_final = last && head.is_final();
        message.inflate(&self.unmasked, self.message_bytes)?;
        if is_final {
            message.inflate(&TAIL, self.message_bytes)?;
        }
        if is_final || !message.out.is_empty() {
            frames::append(out, message.opcode, is_final, &message.out);
            message.opcode = 0;
        }
        self.end_of(head, last);
        Ok(())
    }
}

impl Message {
    fn inflate(&mut self, mut input: &[u8], most: usize) -> Result<(), Close> {
        loop {
            if self.out.len() == self.out.capacity() {
                self.out.reserve(STEP);
            }
            let (taken, had) = (self.inflater.total_in(), self.out.len());
            let flush = FlushDecompress::None;
            let status = self
                .inflater
                .decompress_vec(input, &mut self.out, flush)
                .map_err(|_| Close::NotUtf8)?;
            let taken = usize::try_from(self.inflater.total_in() - taken).unwrap_or(usize::MAX);
            input = input.get(taken..).unwrap_or_default();
            let made = self.out.len() - had;
            self.made += made;
            if self.made > most {
                return Err(Close::MessageTooLarge);
            }
            if status == Status::StreamEnd {
                // A sender may end with a final block and begin another stream behind it.
                self.inflater.reset(false);
            } else if taken == 0 && made == 0 {
                // No progress although there is room: it waits for more input, or is stuck.
                return if input.is_empty() { Ok(()) } else { Err(Close::NotUtf8) };
            }
            if input.is_empty() && self.out.len() < self.out.capacity() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
