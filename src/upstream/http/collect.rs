//! A body as it comes in.

use bytes::Bytes;

/// The parts of a body, put together when its length is known. A buffer that grows by doubling
/// leaves behind what it has outgrown, once more for each of several feeds; chunks that were kept as
/// they come would cost us far more than an upstream that sends single bytes.
#[derive(Debug, Default)]
pub(super) struct Collected {
    parts: Vec<Vec<u8>>,
    len: usize,
}

/// The smallest and the largest part.
const PART_MIN: usize = 1 << 10;
const PART_MAX: usize = 64 << 10;

impl Collected {
    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a chunk.
    pub(super) fn add(&mut self, mut chunk: &[u8]) {
        self.len += chunk.len();
        while !chunk.is_empty() {
            let part = match self.parts.last_mut() {
                Some(part) if part.len() < part.capacity() => part,
                _ => {
                    let size = chunk.len().clamp(PART_MIN, PART_MAX);
                    self.parts.push_mut(Vec::with_capacity(size))
                }
            };
            let (fits, rest) = chunk.split_at(chunk.len().min(part.capacity() - part.len()));
            part.extend_from_slice(fits);
            chunk = rest;
        }
    }

    /// The whole body.
    pub(super) fn whole(self) -> Bytes {
        self.parts.concat().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_whole_is_its_chunks_in_order(
            sizes in proptest::collection::vec(prop_oneof![0..20_usize, 0..200_000_usize], 0..20),
        ) {
            let bytes: Vec<u8> = (0..=250).cycle().take(sizes.iter().sum()).collect();
            let (mut collected, mut rest) = (Collected::default(), bytes.as_slice());
            for size in sizes {
                let (chunk, later) = rest.split_at(size);
                collected.add(chunk);
                rest = later;
            }
            prop_assert_eq!(collected.len(), bytes.len());
            prop_assert_eq!(collected.whole(), bytes);
        }
    }

    #[test]
    fn single_bytes_cost_hardly_more_than_they_are() {
        let mut collected = Collected::default();
        (0..100_000).for_each(|_| collected.add(b"x"));
        let held: usize = collected.parts.iter().map(Vec::capacity).sum();
        assert!(held < 110_000 && collected.parts.len() < 100, "{held}");
    }
}
