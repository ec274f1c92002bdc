//! Compressing messages for permessage-deflate (RFC 7692), each on its own: without a context that
//! is taken over from one message to the next, the same compressed bytes serve every client.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

/// Shorter payloads are sent as they are. Below this an update of the usual kind shrinks by less
/// than 50 bytes, which no network notices, while compressing it costs some 3 µs and every client
/// about as much again.
pub const PAYLOAD_MIN: usize = 256;

/// What ends a deflate block that is flushed; not sent, since the other side knows it.
pub const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// How far back a compressor may refer: a power of two from 9 (512 bytes) to 15 (32 KiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window(u8);

impl Window {
    /// 32 KiB.
    pub const LARGEST: Self = Self(15);
    const SMALLEST: Self = Self(9);

    /// A window of `2^bits` bytes. Nothing for 8, which RFC 7692 has but zlib does not.
    pub fn new(bits: u8) -> Option<Self> {
        (Self::SMALLEST.0..=Self::LARGEST.0).contains(&bits).then_some(Self(bits))
    }

    /// Its logarithm.
    pub fn bits(self) -> u8 {
        self.0
    }
}

thread_local! {
    // A compressor has some 200 KiB of tables and its making costs ten times its use. Each is reset
    // before use, so that nothing of one message can reach another: this is memory, not state.
    static COMPRESSORS: RefCell<[Option<Compress>; 7]> = const { RefCell::new([const { None }; 7]) };
}

/// Appends `payload` compressed to `out`, whose spare room is all that may be used. False when it
/// does not fit, and then `out` is as before.
pub fn compress(payload: &[u8], window: Window, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let done = COMPRESSORS.with_borrow_mut(|compressors| {
        let place = usize::from(window.0 - Window::SMALLEST.0);
        // The fastest level: the time is the shard's, and a better one saves little of so little.
        let make = || Compress::new_with_window_bits(Compression::fast(), false, window.0);
        let compressor = compressors.get_mut(place)?.get_or_insert_with(make);
        compressor.reset();
        compressor.compress_vec(payload, out, FlushCompress::Sync).ok()?;
        let all_read = usize::try_from(compressor.total_in()) == Ok(payload.len());
        // With no room left, the flush may not have ended.
        let all_written = out.len() < out.capacity() && out.ends_with(&TAIL);
        (all_read && all_written && out.len() >= start + TAIL.len()).then_some(())
    });
    match done {
        Some(()) => out.truncate(out.len() - TAIL.len()),
        None => out.truncate(start),
    }
    done.is_some()
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};
    use proptest::prelude::*;

    use super::*;

    fn decompressed(packed: &[u8], bits: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 << 20);
        let packed = [packed, &TAIL].concat();
        let mut reader = Decompress::new_with_window_bits(false, bits);
        reader.decompress_vec(&packed, &mut out, FlushDecompress::Sync).unwrap();
        out
    }

    #[test]
    fn what_was_compressed_is_read_back_within_the_window() {
        let text = r#"{"type":"update","topic":"price.BTC-USD","data":{"price":"68900.50"}}"#;
        let text = text.repeat(200);
        for bits in 9..=15 {
            let mut out = Vec::with_capacity(text.len());
            assert!(compress(text.as_bytes(), Window::new(bits).unwrap(), &mut out));
            assert!(out.len() < text.len() / 4, "{bits}: {}", out.len());
            assert_eq!(decompressed(&out, bits), text.as_bytes());
        }
        assert_eq!((Window::new(8), Window::new(16)), (None, None));
    }

    proptest! {
        #[test]
        fn any_payload_is_read_back_or_left_alone(
            payload in prop::collection::vec(any::<u8>(), 0..2000),
            room in 0..3000_usize,
        ) {
            let mut out = Vec::with_capacity(room + 3);
            out.extend_from_slice(b"abc");
            if compress(&payload, Window::LARGEST, &mut out) {
                prop_assert_eq!(decompressed(&out[3..], 15), payload);
            } else {
                prop_assert_eq!(out, b"abc");
            }
        }
    }
}
