//! The cases: what is sent after a handshake, and how the connection ends.

use crate::support::raw::{close, frame, head};

pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

pub enum Expect {
    /// A close frame with this code, or without one.
    Close(Option<u16>),
    /// The connection goes on.
    Alive,
    /// This pong comes, and the connection goes on.
    Pong(Vec<u8>),
}

use Expect::{Alive, Pong};

impl Case {
    /// The label under which the server counts its end.
    pub fn counted(&self) -> u16 {
        match self.expect {
            Expect::Close(Some(code @ (1002 | 1007 | 1009 | 3013))) => code,
            // A close of the client is normal, whatever reason it gives.
            Expect::Close(_) | Alive | Pong(_) => 1000,
        }
    }
}

fn closes(code: u16) -> Expect {
    Expect::Close(Some(code))
}

pub fn all() -> Vec<Case> {
    let groups =
        [control(), bits(), fragments(), text(), lengths(), floods(), closing(), close_codes()];
    groups.into_iter().flatten().map(|(name, bytes, expect)| Case { name, bytes, expect }).collect()
}

type Group = Vec<(&'static str, Vec<u8>, Expect)>;

fn control() -> Group {
    vec![
        ("a fragmented ping", frame(0x09, b"x"), closes(1002)),
        ("a fragmented pong", frame(0x0a, b"x"), closes(1002)),
        ("a fragmented close", frame(0x08, b""), closes(1002)),
        ("a ping of 126 bytes", frame(0x89, &[b'x'; 126]), closes(1002)),
        ("a pong of 126 bytes", frame(0x8a, &[b'x'; 126]), closes(1002)),
        ("a close of 126 bytes", frame(0x88, &[3; 126]), closes(1002)),
        ("a ping of a kibibyte", frame(0x89, &[b'x'; 1024]), closes(1002)),
        ("a ping of 125 bytes", frame(0x89, &[b'x'; 125]), Pong(vec![b'x'; 125])),
        ("an empty ping", frame(0x89, b""), Pong(Vec::new())),
        ("a ping of no UTF-8", frame(0x89, b"\0\xff\xfe"), Pong(b"\0\xff\xfe".into())),
        ("a pong that nobody asked for", frame(0x8a, b"unasked"), Alive),
        ("an unmasked text", [&head(0x81, 1, false)[..], b"x"].concat(), closes(1002)),
        ("an unmasked ping", head(0x89, 0, false), closes(1002)),
        ("an unmasked close", [&head(0x88, 2, false)[..], &[3, 232]].concat(), closes(1002)),
    ]
}

fn bits() -> Group {
    vec![
        ("RSV1", frame(0xc1, b"x"), closes(1002)),
        ("RSV2", frame(0xa1, b"x"), closes(1002)),
        ("RSV3", frame(0x91, b"x"), closes(1002)),
        ("RSV1 to 3", frame(0xf1, b"x"), closes(1002)),
        ("RSV1 on a ping", frame(0xc9, b""), closes(1002)),
        ("RSV3 on a close", frame(0x98, b""), closes(1002)),
        ("RSV1 on a continuation", [frame(0x01, b"x"), frame(0xc0, b"x")].concat(), closes(1002)),
        ("opcode 3", frame(0x83, b"x"), closes(1002)),
        ("opcode 4", frame(0x84, b""), closes(1002)),
        ("opcode 5", frame(0x85, b"x"), closes(1002)),
        ("opcode 6", frame(0x86, b""), closes(1002)),
        ("opcode 7", frame(0x87, b"x"), closes(1002)),
        ("opcode B", frame(0x8b, b"x"), closes(1002)),
        ("opcode C", frame(0x8c, b""), closes(1002)),
        ("opcode D", frame(0x8d, b"x"), closes(1002)),
        ("opcode E", frame(0x8e, b""), closes(1002)),
        ("opcode F", frame(0x8f, b"x"), closes(1002)),
        ("opcode 3 in fragments", frame(0x03, b"x"), closes(1002)),
    ]
}

fn fragments() -> Group {
    let open = || frame(0x01, b"{");
    vec![
        ("a continuation of nothing", frame(0x80, b"x"), closes(1002)),
        ("a continuation of nothing, not final", frame(0x00, b"x"), closes(1002)),
        (
            "a continuation behind a whole message",
            [frame(0x81, b"{}"), frame(0x80, b"x")].concat(),
            closes(1002),
        ),
        ("a text inside a message", [open(), frame(0x81, b"{}")].concat(), closes(1002)),
        ("a binary inside a message", [open(), frame(0x82, b"x")].concat(), closes(1002)),
        ("another beginning inside a message", [open(), open()].concat(), closes(1002)),
        ("two fragments", [open(), frame(0x80, b"}")].concat(), Alive),
        (
            "a ping inside a message",
            [open(), frame(0x89, b"mid"), frame(0x80, b"}")].concat(),
            Pong(b"mid".into()),
        ),
        ("empty fragments", [frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")].concat(), Alive),
        ("a close inside a message", [open(), close(1000, b"")].concat(), closes(1000)),
        ("an empty text", frame(0x81, b""), Alive),
        ("an empty binary", frame(0x82, b""), Alive),
    ]
}

fn text() -> Group {
    vec![
        ("a lone continuation byte", frame(0x81, b"\x80"), closes(1007)),
        ("an overlong slash", frame(0x81, b"\xc0\xaf"), closes(1007)),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80"), closes(1007)),
        ("beyond the last code point", frame(0x81, b"\xf4\x90\x80\x80"), closes(1007)),
        ("half a character at the end", frame(0x81, b"ok\xc3"), closes(1007)),
        (
            "no UTF-8 in the second fragment",
            [frame(0x01, b"ok"), frame(0x80, b"\xff")].concat(),
            closes(1007),
        ),
        (
            "a character broken by fragments",
            [frame(0x01, b"\xc3"), frame(0x80, b"\x28")].concat(),
            closes(1007),
        ),
        (
            "a character across fragments",
            [frame(0x01, b"\"\xc3"), frame(0x80, b"\xa9\"")].concat(),
            Alive,
        ),
        ("no UTF-8, but binary", frame(0x82, b"\xff\xfe"), Alive),
        ("NUL and control characters", frame(0x81, b"\0\x01\x1b[2J"), Alive),
    ]
}

fn lengths() -> Group {
    vec![
        ("a length of 2^63", head(0x82, 1 << 63, true), closes(1002)),
        ("a length of 2^64-1", head(0x82, u64::MAX, true), closes(1002)),
        ("a length of 2^63 on a ping", head(0x89, 1 << 63, true), closes(1002)),
        ("a length of 2^63-1", head(0x82, (1 << 63) - 1, true), closes(1009)),
        ("a length of 4 GiB", head(0x81, 1 << 32, true), closes(1009)),
        ("a length above the bound by one", head(0x81, (64 << 10) + 1, true), closes(1009)),
        ("a message of the bound", frame(0x81, &[b' '; 64 << 10]), Alive),
        ("a message of a mebibyte", frame(0x82, &vec![0; 1 << 20]), closes(1009)),
        (
            "a mebibyte in fragments of 32 KiB",
            [frame(0x02, &[0; 32 << 10]), frame(0x00, &[0; 32 << 10]).repeat(31)].concat(),
            closes(1009),
        ),
        (
            "five bytes whose length takes two",
            [&[0x81, 0xfe, 0, 4, 0, 0, 0, 0][..], b"null"].concat(),
            Alive,
        ),
    ]
}

fn floods() -> Group {
    vec![
        (
            "a mebibyte in fragments of a byte",
            [frame(0x01, b"x"), frame(0x00, b"x").repeat((1 << 20) - 2), frame(0x80, b"x")]
                .concat(),
            closes(3013),
        ),
        (
            "endless empty fragments",
            [frame(0x01, b""), frame(0x00, b"").repeat(500_000)].concat(),
            closes(3013),
        ),
        ("100,000 pings", frame(0x89, b"x").repeat(100_000), closes(3013)),
        ("100,000 pongs", frame(0x8a, b"").repeat(100_000), closes(3013)),
        ("10,000 empty messages", frame(0x81, b"").repeat(10_000), closes(3013)),
        ("64 KiB in 1,000 fragments", in_pieces(64 << 10, 1000), Alive),
    ]
}

/// A text of spaces in so many frames.
fn in_pieces(len: usize, pieces: usize) -> Vec<u8> {
    let mut frames = vec![frame(0x01, &vec![b' '; len % pieces])];
    frames.extend((1..pieces).map(|_| frame(0x00, &vec![b' '; len / pieces])));
    frames.push(frame(0x80, b""));
    frames.concat()
}

fn closing() -> Group {
    let end = || close(1000, b"bye");
    vec![
        ("a close without a body", frame(0x88, b""), Expect::Close(None)),
        ("a close of one byte", frame(0x88, &[3]), closes(1002)),
        ("a close with a long reason", close(1000, &[b'x'; 123]), closes(1000)),
        ("a reason of no UTF-8", close(1000, b"\xff\xfe"), closes(1007)),
        ("half a character as a reason", close(1000, b"\xc3"), closes(1007)),
        (
            "a text after the close",
            [end(), frame(0x81, br#"{"id":1,"method":"ping"}"#)].concat(),
            closes(1000),
        ),
        ("a ping after the close", [end(), frame(0x89, b"x")].concat(), closes(1000)),
        ("a close after the close", [end(), close(1001, b"")].concat(), closes(1000)),
        ("nonsense after the close", [end(), vec![0xff; 5000]].concat(), closes(1000)),
    ]
}

fn close_codes() -> Group {
    let refused = [
        ("close 0", 0),
        ("close 999", 999),
        ("close 1004", 1004),
        ("close 1005", 1005),
        ("close 1006", 1006),
        ("close 1015", 1015),
        ("close 1016", 1016),
        ("close 2999", 2999),
        ("close 5000", 5000),
        ("close 65535", 65_535),
    ];
    let accepted = [
        ("close 1000", 1000),
        ("close 1001", 1001),
        ("close 1003", 1003),
        ("close 1011", 1011),
        ("close 3000", 3000),
        ("close 4999", 4999),
    ];
    let refused = refused.map(|(name, code)| (name, close(code, b""), closes(1002)));
    let accepted = accepted.map(|(name, code)| (name, close(code, b""), closes(code)));
    refused.into_iter().chain(accepted).collect()
}
