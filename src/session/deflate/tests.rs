//! Compressed messages in every shape, whole and in pieces.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;
use crate::session::frames::Frames;

const MOST: usize = 64 << 10;

/// A frame as a client would send it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    frames::append(&mut plain, first & 0x7f, first & 0x80 != 0, payload);
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let head = plain.len() - payload.len();
    plain[head - 4..head].copy_from_slice(&mask);
    for (at, byte) in plain[head..].iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    plain
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() * 2 + 100);
    Compress::new(Compression::default(), false)
        .compress_vec(data, &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

/// What tungstenite gets to read, and how it ended.
fn read(stream: &[u8], size: usize) -> (Vec<u8>, Result<(), Close>) {
    let (mut frames, mut inflated) = (Frames::default(), Inflated::new(MOST));
    let mut out = Vec::new();
    for mut chunk in stream.chunks(size) {
        while let Some(piece) = frames.next(&mut chunk) {
            if let Err(close) = inflated.take(&piece, &mut out) {
                return (out, Err(close));
            }
        }
    }
    (out, Ok(()))
}

/// Messages and control frames in a stream without compression: opcode and payload of each.
fn messages(stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut frames, mut input) = (Frames::default(), stream);
    let (mut done, mut open): (Vec<_>, Option<(u8, Vec<u8>)>) = (Vec::new(), None);
    while let Some(Piece::Head(head)) = frames.next(&mut input) {
        assert!(head.is_masked() && !head.is_compressed());
        let mut payload = Vec::new();
        if head.len > 0 {
            let Some(Piece::Payload { bytes, .. }) = frames.next(&mut input) else { panic!() };
            head.unmask(bytes, 0, &mut payload);
        }
        match head.opcode() {
            control if head.is_control() => done.push((control, payload)),
            0 => open.as_mut().unwrap().1.extend(payload),
            opcode => assert!(open.replace((opcode, payload)).is_none()),
        }
        if head.is_final() && !head.is_control() {
            done.extend(open.take());
        }
    }
    assert!(input.is_empty() && open.is_none());
    done
}

#[test]
fn the_examples_of_rfc_7692_are_read() {
    let hello: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stored: &[u8] = &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let with_final_block: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two_blocks: &[u8] =
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    for payload in [hello, stored, with_final_block, two_blocks] {
        let (out, end) = read(&frame(0xc1, payload), 1000);
        assert_eq!((messages(&out), end), (vec![(1, b"Hello".to_vec())], Ok(())));
    }
    let fragmented = [frame(0x41, &hello[..3]), frame(0x89, b"p"), frame(0x80, &hello[3..])];
    let (out, end) = read(&fragmented.concat(), 1000);
    let expected = vec![(9, b"p".to_vec()), (1, b"Hello".to_vec())];
    assert_eq!((messages(&out), end), (expected, Ok(())));
}

#[test]
fn empty_compressed_messages_and_fragments_are_read() {
    for stream in [
        frame(0xc1, &[0]),
        frame(0xc1, &[]),
        [frame(0x41, &[]), frame(0x00, &[0]), frame(0x80, &[])].concat(),
    ] {
        let (out, end) = read(&stream, 1);
        assert_eq!((messages(&out), end), (vec![(1, Vec::new())], Ok(())));
    }
}

#[test]
fn a_bomb_stops_at_the_bound() {
    let bomb = deflated(&vec![0; 50 << 20]);
    let (out, end) = read(&frame(0xc2, &bomb), 1000);
    assert_eq!(end, Err(Close::MessageTooLarge));
    assert!(out.len() <= MOST + 1000, "{}", out.len());
    let exact = deflated(&vec![0; MOST]);
    assert_eq!(read(&frame(0xc2, &exact), 1000).1, Ok(()));
    let more = deflated(&vec![0; MOST + 1]);
    assert_eq!(read(&frame(0xc2, &more), 1000).1, Err(Close::MessageTooLarge));
}

#[test]
fn endless_blocks_that_inflate_to_nothing_stop_at_the_bound_too() {
    let blocks = [0, 0, 0, 0xff, 0xff].repeat(20_000);
    let (out, end) = read(&frame(0x41, &blocks), 1000);
    assert_eq!((out.len(), end), (0, Err(Close::MessageTooLarge)));
}

#[test]
fn what_the_rfcs_forbid_is_a_protocol_error_and_what_does_not_inflate_is_1007() {
    let hello = deflated(b"Hello");
    let mut unmasked = frame(0xc1, &hello);
    unmasked[1] &= 0x7f;
    for (stream, close) in [
        ([frame(0x41, &hello), frame(0xc0, &hello)].concat(), Close::Protocol),
        ([frame(0x41, &hello), frame(0xc1, &hello)].concat(), Close::Protocol),
        ([frame(0x41, &[]), frame(0x81, b"x")].concat(), Close::Protocol),
        ([frame(0x01, b"x"), frame(0xc1, &hello)].concat(), Close::Protocol),
        (frame(0x80, b"x"), Close::Protocol),
        (frame(0xc9, b""), Close::Protocol),
        (frame(0xe1, &hello), Close::Protocol),
        (frame(0xd1, &hello), Close::Protocol),
        (unmasked, Close::Protocol),
        (frame(0xc1, &[0x07, 1, 2, 3]), Close::NotUtf8),
        (frame(0xc1, b"no deflate data at all"), Close::NotUtf8),
    ] {
        assert_eq!(read(&stream, 1000).1, Err(close), "{stream:02x?}");
    }
}

/// A message: compressed, kind, data, and where it is cut into frames.
fn any_message() -> impl Strategy<Value = (bool, u8, Vec<u8>, Vec<usize>)> {
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        "[a-c]{0,2000}".prop_map(String::into_bytes),
    ];
    (any::<bool>(), 1..=2_u8, data, prop::collection::vec(0..300_usize, 0..4))
}

proptest! {
    #[test]
    fn any_messages_in_any_pieces_are_the_same(
        sent in prop::collection::vec(any_message(), 0..6), size in 1..700_usize
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for (compressed, kind, data, cuts) in sent {
            let payload = if compressed { deflated(&data) } else { data.clone() };
            let (mut rest, mut first) = (&payload[..], kind | u8::from(compressed) << 6);
            for cut in cuts {
                let (part, more) = rest.split_at(cut.min(rest.len()));
                stream.extend(frame(first, part));
                stream.extend(frame(0x89, b"between"));
                expected.push((9, b"between".to_vec()));
                (rest, first) = (more, 0);
            }
            stream.extend(frame(first | 0x80, rest));
            expected.push((kind, data));
        }
        let (out, end) = read(&stream, size);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(messages(&out), expected);
    }

    #[test]
    fn any_bytes_never_panic_and_never_grow_beyond_the_bound(
        payloads in prop::collection::vec(
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..8
        ),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        size in 1..100_usize,
    ) {
        let mut stream: Vec<u8> =
            payloads.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        stream.extend(noise);
        let (out, _) = read(&stream, size);
        prop_assert!(out.len() <= stream.len() + 9 * (MOST + 14));
    }
}
