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

/// What compressing needs: some 200 KiB of tables for each window in use, whose making costs ten
/// times their use, and room to compress into.
struct Pool {
    compressors: [Option<Compress>; 7],
    packed: Vec<u8>,
}

/// Room that a pool keeps between messages.
const KEPT: usize = 64 << 10;

thread_local! {
    // A compressor is reset before use, so that nothing of one message can reach another: this is
    // memory, not state.
    static POOL: RefCell<Pool> =
        const { RefCell::new(Pool { compressors: [const { None }; 7], packed: Vec::new() }) };
}

/// Appends `payload` compressed to `out`. False when that would not make it shorter, and then `out`
/// is as before.
pub fn compress(payload: &[u8], window: Window, out: &mut Vec<u8>) -> bool {
    POOL.with_borrow_mut(|pool| {
        let done = pool.compress(payload, window).is_some();
        let shorter = done && pool.packed.len() < payload.len();
        if shorter {
            out.extend_from_slice(&pool.packed);
        }
        pool.packed.clear();
        pool.packed.shrink_to(KEPT);
        shorter
    })
}

impl Pool {
    fn compress(&mut self, payload: &[u8], window: Window) -> Option<()> {
        let slot = self.compressors.get_mut(usize::from(window.0 - Window::SMALLEST.0))?;
        // It is put back only when it has done its work to the end: in zlib-rs 0.6.8 a reset does
        // not clear all of what an interrupted flush leaves, and a later message would panic.
        let mut compressor = slot.take().unwrap_or_else(|| {
            // The fastest level: the time is the shard's, and a better one saves little of so little.
            Compress::new_with_window_bits(Compression::fast(), false, window.0)
        });
        compressor.reset();
        // At this level a byte takes 9 bits at most.
        self.packed.reserve(payload.len() + payload.len() / 8 + 64);
        compressor.compress_vec(payload, &mut self.packed, FlushCompress::Sync).ok()?;
        let all_read = usize::try_from(compressor.total_in()) == Ok(payload.len());
        // With no room left, the flush may not have ended.
        let all_written = self.packed.len() < self.packed.capacity();
        if all_read && all_written {
            *slot = Some(compressor);
        }
        let end = self.packed.len().checked_sub(TAIL.len())?;
        let ended = all_read && all_written && self.packed.ends_with(&TAIL);
        self.packed.truncate(end);
        ended.then_some(())
    }
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

    #[test]
    fn any_number_of_payloads_that_do_not_shrink_leave_the_next_one_unharmed() {
        let mut noise = 1_u64;
        let mut byte = || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise.to_le_bytes()[3]
        };
        for size in [256, 300, 4096, 70_000] {
            for _ in 0..500 {
                let payload: Vec<u8> = (0..size).map(|_| byte()).collect();
                assert!(!compress(&payload, Window::LARGEST, &mut Vec::new()));
            }
            let (text, mut out) = ("abc".repeat(1000), Vec::new());
            assert!(compress(text.as_bytes(), Window::LARGEST, &mut out));
            assert_eq!(decompressed(&out, 15), text.as_bytes());
        }
        let kept = POOL.with_borrow(|pool| pool.packed.capacity());
        assert!(kept <= KEPT, "{kept}");
    }

    proptest! {
        #[test]
        fn any_payload_is_read_back_or_left_alone(
            payload in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..2000),
                "[a-c]{0,1500}".prop_map(String::into_bytes),
            ],
            bits in 9..=15_u8,
        ) {
            let mut out = b"abc".to_vec();
            if compress(&payload, Window::new(bits).unwrap(), &mut out) {
                prop_assert!(out.len() < payload.len() + 3);
                prop_assert_eq!(decompressed(&out[3..], bits), payload);
            } else {
                prop_assert_eq!(out, b"abc");
            }
        }
    }
}
