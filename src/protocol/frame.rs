//! WebSocket frames as a server sends them: final, unmasked, built once and shared.

use bytes::{Buf, Bytes};

/// Room that a payload must leave before it for the longest header of a frame below 64 KiB.
const HEADER_ROOM: usize = 4;

const FIN: u8 = 0x80;
/// In the first frame of a message: it is compressed.
const RSV1: u8 = 0x40;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// UTF-8 text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The end; a status code and a reason.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
}

/// Builds one frame in one buffer: the payload is written behind room for the header, which is
/// filled in when the length is known, so that nothing is copied.
#[derive(Debug)]
pub struct Builder(Vec<u8>);

impl Builder {
    /// A frame whose payload will take about `payload` bytes.
    pub fn with_capacity(payload: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_ROOM + payload);
        buffer.extend_from_slice(&[0; HEADER_ROOM]);
        Self(buffer)
    }

    /// Where the payload goes. Only append.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Length of the payload so far.
    pub fn len(&self) -> usize {
        self.0.len() - HEADER_ROOM
    }

    /// True before anything was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written so far.
    pub fn written(&self) -> &[u8] {
        self.0.get(HEADER_ROOM..).unwrap_or_default()
    }

    /// The whole frame; its payload is the last [`Builder::len`] bytes.
    pub fn finish(self, opcode: Opcode) -> Bytes {
        self.build(FIN | opcode as u8)
    }

    /// As [`Builder::finish`], for a payload that is a whole compressed message.
    pub fn finish_compressed(self, opcode: Opcode) -> Bytes {
        self.build(FIN | RSV1 | opcode as u8)
    }

    fn build(mut self, first: u8) -> Bytes {
        let Ok(len) = u16::try_from(self.len()) else {
            let len = (self.len() as u64).to_be_bytes();
            self.0.splice(..HEADER_ROOM, [first, LENGTH_64].into_iter().chain(len));
            return Bytes::from(self.0);
        };
        let [high, low] = len.to_be_bytes();
        let (header, unused) = if len < u16::from(LENGTH_16) {
            ([0, 0, first, low], 2)
        } else {
            ([first, LENGTH_16, high, low], 0)
        };
        if let Some(room) = self.0.first_chunk_mut::<HEADER_ROOM>() {
            *room = header;
        }
        let mut frame = Bytes::from(self.0);
        frame.advance(unused);
        frame
    }
}

/// A frame of one payload that exists already.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut builder = Builder::with_capacity(payload.len());
    builder.payload().extend_from_slice(payload);
    builder.finish(opcode)
}

/// A close frame. `reason` is cut to what a control frame holds.
pub fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    frame(Opcode::Close, &payload)
}

/// The payload of a frame that was built here.
pub fn payload(frame: &Bytes) -> Bytes {
    frame.slice(header_len(frame).min(frame.len())..)
}

/// The payload of a frame that was built here, where it is a text.
pub fn text(frame: &[u8]) -> Option<&[u8]> {
    let is_text = frame.first() == Some(&(FIN | Opcode::Text as u8));
    frame.get(header_len(frame)..).filter(|_| is_text)
}

/// Each of the frames that stand one behind the other in `bytes`, all built here and whole.
pub fn each(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let payload = match bytes.get(1)? {
            &LENGTH_16 => {
                bytes.get(2..4)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))
            }
            &LENGTH_64 => {
                bytes.get(2..10)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))
            }
            short => usize::from(*short),
        };
        let (frame, rest) = bytes.split_at_checked(header_len(bytes) + payload)?;
        bytes = rest;
        Some(frame)
    })
}

fn header_len(frame: &[u8]) -> usize {
    match frame.get(1) {
        Some(&LENGTH_16) => 4,
        Some(&LENGTH_64) => 10,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    #[test]
    fn frames_that_stand_together_are_told_apart() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 3];
        let frames = lengths.map(|len| frame(Opcode::Text, &vec![b'x'; len]));
        let together: Vec<u8> = frames.iter().flatten().copied().collect();
        assert!(each(&together).eq(frames.iter().map(|frame| &frame[..])));
        assert_eq!(each(&[]).count() + each(&together[..1]).count(), 0);
    }

    /// Reads frames with a library that did not write them.
    fn read_back(bytes: Bytes) -> tokio_tungstenite::tungstenite::Message {
        struct Wire(std::io::Cursor<Bytes>);
        impl std::io::Read for Wire {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.0.read(buffer)
            }
        }
        impl std::io::Write for Wire {
            fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
                Ok(buffer.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let wire = Wire(std::io::Cursor::new(bytes));
        WebSocket::from_raw_socket(wire, Role::Client, None).read().unwrap()
    }

    #[test]
    fn frames_of_every_length_form_are_read_back_by_another_library() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let text = "x".repeat(len);
            let built = frame(Opcode::Text, text.as_bytes());
            assert_eq!(payload(&built), text.as_bytes());
            assert_eq!(super::text(&built), Some(text.as_bytes()));
            assert_eq!(read_back(built).into_text().unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_close_frame_carries_code_and_reason_within_a_control_frame() {
        let message = read_back(close(3001, "draining"));
        let tokio_tungstenite::tungstenite::Message::Close(Some(frame)) = message else {
            panic!("{message:?}")
        };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (3001, "draining"));
        assert!(close(1011, &"é".repeat(100)).len() <= 127);
        assert_eq!(text(&close(3001, "draining")), None);
    }
}
