//! Where the frames are in what a client sends, whatever pieces it comes in. Pure.
//!
//! tungstenite reads the frames; this only looks at their heads, for what it does not tell: how
//! many there are, and which are compressed.

/// The longest head: two bytes, a length of 64 bits, a mask.
const HEAD_MAX: usize = 14;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV_OTHERS: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const CONTROL: u8 = 0x08;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    bytes: [u8; HEAD_MAX],
    size: usize,
    /// Length of the payload.
    pub(super) len: u64,
}

/// A part of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A frame begins. One without payload ends as well.
    Head(Head),
    /// Its payload, or a part of it.
    Payload {
        bytes: &'a [u8],
        /// Where in the payload it stands.
        offset: u64,
        last: bool,
    },
}

/// Splits a stream into frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_MAX],
    have: usize,
    len: u64,
    left: u64,
    /// A message has begun whose last frame has not.
    fragmented: bool,
}

impl Frames {
    /// The next part of `input`, which is taken from it. Nothing when there is no more, or only
    /// the beginning of a head, which is remembered.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        if self.left > 0 {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
            let (bytes, rest) =
                input.split_at_checked(most).filter(|(bytes, _)| !bytes.is_empty())?;
            *input = rest;
            let offset = self.len - self.left;
            self.left -= bytes.len() as u64;
            return Some(Piece::Payload { bytes, offset, last: self.left == 0 });
        }
        while let Some((first, rest)) = input.split_first() {
            *self.head.get_mut(self.have)? = *first;
            self.have += 1;
            *input = rest;
            if let Some(head) = self.complete() {
                self.have = 0;
                (self.len, self.left) = (head.len, head.len);
                if !head.is_control() {
                    self.fragmented = !head.is_final();
                }
                return Some(Piece::Head(head));
            }
        }
        None
    }

    /// True when nothing has begun that is not complete.
    pub(super) fn is_between_messages(&self) -> bool {
        self.have == 0 && self.left == 0 && !self.fragmented
    }

    /// How many bytes of an unfinished head are remembered.
    #[cfg(test)]
    pub(super) fn unfinished(&self) -> usize {
        self.have
    }

    fn complete(&self) -> Option<Head> {
        let second = *self.head.get(1).filter(|_| self.have >= 2)?;
        let (extra, short) = match second & LENGTH {
            126 => (2, None),
            127 => (8, None),
            short => (0, Some(u64::from(short))),
        };
        let mask = if second & MASKED == 0 { 0 } else { 4 };
        let size = 2 + extra + mask;
        if self.have < size {
            return None;
        }
        let big_endian =
            |bytes: &[u8]| bytes.iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
        let len = short.or_else(|| self.head.get(2..2 + extra).map(big_endian))?;
        Some(Head { bytes: self.head, size, len })
    }
}

impl Head {
    /// As it was sent.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or_default()
    }

    fn first(&self) -> u8 {
        let [first, ..] = self.bytes;
        first
    }

    /// The last frame of its message.
    pub(super) fn is_final(&self) -> bool {
        self.first() & FIN != 0
    }

    /// What it carries.
    pub(super) fn opcode(&self) -> u8 {
        self.first() & OPCODE
    }

    /// A ping, pong or close.
    pub(super) fn is_control(&self) -> bool {
        self.first() & CONTROL != 0
    }

    /// Begins a compressed message, where that is agreed upon.
    pub(super) fn is_compressed(&self) -> bool {
        self.first() & RSV1 != 0
    }

    /// Has bits set that nobody gave a meaning.
    pub(super) fn has_other_bits(&self) -> bool {
        self.first() & RSV_OTHERS != 0
    }

    /// From a client every frame must be.
    pub(super) fn is_masked(&self) -> bool {
        let [_, second, ..] = self.bytes;
        second & MASKED != 0
    }

    /// A length may have 63 bits.
    pub(super) fn is_too_long(&self) -> bool {
        self.len >> 63 != 0
    }

    /// The payload's bytes `at` and following as they were meant.
    pub(super) fn unmask(&self, masked: &[u8], at: u64, out: &mut Vec<u8>) {
        let mask = self.bytes().last_chunk::<4>().filter(|_| self.is_masked());
        let mask = mask.copied().unwrap_or_default();
        let skip = usize::try_from(at % 4).unwrap_or_default();
        let keys = mask.iter().cycle().skip(skip);
        out.extend(masked.iter().zip(keys).map(|(byte, key)| byte ^ key));
    }
}

/// Appends a frame of a client whose mask changes nothing.
pub(super) fn append(out: &mut Vec<u8>, opcode: u8, is_final: bool, payload: &[u8]) {
    out.push(opcode | if is_final { FIN } else { 0 });
    if let Ok(short) = u8::try_from(payload.len())
        && short < 126
    {
        out.push(MASKED | short);
    } else if let Ok(medium) = u16::try_from(payload.len()) {
        out.push(MASKED | 126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(MASKED | 127);
        out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_found_in_whatever_pieces_they_come() {
        let mut stream = Vec::new();
        for len in [0, 1, 125, 126, 300, 65_536] {
            append(&mut stream, 2, true, &vec![7; len]);
        }
        for size in [1, 2, 3, 7, 100, 1 << 20] {
            let (mut frames, mut found, mut payload) = (Frames::default(), Vec::new(), 0);
            for mut chunk in stream.chunks(size) {
                while let Some(piece) = frames.next(&mut chunk) {
                    match piece {
                        Piece::Head(head) => found.push(head.len),
                        Piece::Payload { bytes, .. } => payload += bytes.len(),
                    }
                }
            }
            assert_eq!(found, [0, 1, 125, 126, 300, 65_536]);
            assert_eq!((payload, frames.unfinished()), (66_088, 0));
        }
    }

    #[test]
    fn a_payload_is_unmasked_from_any_place_on() {
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let mut out = Vec::new();
        let (mut frames, mut input) = (Frames::default(), &bytes[..]);
        let Some(Piece::Head(head)) = frames.next(&mut input) else { panic!() };
        head.unmask(&input[..3], 0, &mut out);
        head.unmask(&input[3..], 3, &mut out);
        assert_eq!(out, b"Hello");
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_without_losing_one(
            bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1..50_usize
        ) {
            let (mut frames, mut seen) = (Frames::default(), 0);
            for mut chunk in bytes.chunks(size) {
                while let Some(piece) = frames.next(&mut chunk) {
                    seen += match piece {
                        Piece::Head(head) => head.bytes().len(),
                        Piece::Payload { bytes, .. } => bytes.len(),
                    };
                }
            }
            prop_assert_eq!(seen + frames.unfinished(), bytes.len());
        }
    }
}
