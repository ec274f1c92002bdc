//! MessagePack: the same messages, transcoded from and to JSON text without a tree in between, so
//! that the two encodings cannot drift apart.

use std::fmt;

use rmp::{Marker, decode, encode};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::code::{ErrorBody, ErrorCode};

/// How deep a client's message may be nested. The deepest request that means something has 5
/// levels.
const DEPTH_MAX: usize = 32;

/// Appends the MessagePack form of the JSON text `json`, fields in their order. Integers become
/// integers, other numbers 64-bit floats. Written by us, the text is JSON; were it not, an error
/// would be logged and nil appended, since half a message must not be sent.
pub fn from_json(json: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut reader = serde_json::Deserializer::from_slice(json);
    if let Err(error) = Transcode(out).deserialize(&mut reader).and_then(|()| reader.end()) {
        tracing::error!(%error, "a message could not be transcoded");
        out.truncate(start);
        out.push(Marker::Null.to_u8());
    }
}

/// The JSON text of one message from a client. It is at most six times as long as `packed`, which
/// a string of control characters is.
///
/// # Errors
/// `bad_json` for what is not one MessagePack value, `bad_request` for one that JSON does not have:
/// raw bytes, extensions, keys that are no strings, numbers that are not finite, too deep a nest.
pub fn to_json(packed: &[u8]) -> Result<String, ErrorBody> {
    let mut decoder = Decoder { rest: packed, out: Vec::with_capacity(packed.len() * 2) };
    decoder.value(DEPTH_MAX)?;
    if !decoder.rest.is_empty() {
        return Err(malformed("there is more behind the message"));
    }
    String::from_utf8(decoder.out).map_err(|_| malformed("a string is not UTF-8"))
}

/// Writes what a deserializer finds.
struct Transcode<'a>(&'a mut Vec<u8>);

/// The header of a map or array, whose length is known only at its end.
struct Open {
    at: usize,
    len: u32,
}

impl Open {
    /// Leaves the one byte that up to 15 elements need.
    fn new(out: &mut Vec<u8>) -> Self {
        out.push(0);
        Self { at: out.len() - 1, len: 0 }
    }

    fn close<E: serde::de::Error>(
        self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>, u32) -> Result<Marker, encode::ValueWriteError>,
    ) -> Result<(), E> {
        let mut header = Vec::with_capacity(5);
        write(&mut header, self.len).map_err(E::custom)?;
        out.splice(self.at..=self.at, header);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Transcode<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Transcode<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        encode::write_nil(self.0).map_err(E::custom)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        encode::write_bool(self.0, value).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        encode::write_sint(self.0, value).map(drop).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        encode::write_uint(self.0, value).map(drop).map_err(E::custom)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        encode::write_f64(self.0, value).map_err(E::custom)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        encode::write_str(self.0, value).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut open = Open::new(self.0);
        while seq.next_element_seed(Transcode(self.0))?.is_some() {
            open.len += 1;
        }
        open.close(self.0, encode::write_array_len)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut open = Open::new(self.0);
        while map.next_key_seed(Transcode(self.0))?.is_some() {
            map.next_value_seed(Transcode(self.0))?;
            open.len += 1;
        }
        open.close(self.0, encode::write_map_len)
    }
}

/// Writes what a client packed as JSON.
struct Decoder<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
}

impl Decoder<'_> {
    fn value(&mut self, depth: usize) -> Result<(), ErrorBody> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Err(wrong(format!("nested deeper than {DEPTH_MAX}")));
        };
        let Some((&first, rest)) = self.rest.split_first() else { return Err(truncated()) };
        match Marker::from_u8(first) {
            Marker::Null => self.put(rest, b"null"),
            Marker::True => self.put(rest, b"true"),
            Marker::False => self.put(rest, b"false"),
            Marker::F32 => {
                let value = decode::read_f32(&mut self.rest).map_err(|_| truncated())?;
                return self.float(f64::from(value));
            }
            Marker::F64 => {
                let value = decode::read_f64(&mut self.rest).map_err(|_| truncated())?;
                return self.float(value);
            }
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                return self.text();
            }
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => return self.array(deeper),
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => return self.map(deeper),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                return Err(wrong("raw bytes have no place in a request; pack strings as str"));
            }
            Marker::Reserved => return Err(malformed("0xc1 begins nothing")),
            Marker::FixPos(_)
            | Marker::FixNeg(_)
            | Marker::U8
            | Marker::U16
            | Marker::U32
            | Marker::U64
            | Marker::I8
            | Marker::I16
            | Marker::I32
            | Marker::I64 => return self.integer(),
            _ => return Err(wrong("extensions have no place in a request")),
        }
        Ok(())
    }

    fn integer(&mut self) -> Result<(), ErrorBody> {
        let value: i128 = decode::read_int(&mut self.rest).map_err(|_| truncated())?;
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        Ok(())
    }

    fn float(&mut self, value: f64) -> Result<(), ErrorBody> {
        if !value.is_finite() {
            return Err(wrong("numbers must be finite"));
        }
        super::event::json(&mut self.out, &value);
        Ok(())
    }

    fn text(&mut self) -> Result<(), ErrorBody> {
        let len = decode::read_str_len(&mut self.rest).map_err(|_| truncated())?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (text, rest) = self.rest.split_at_checked(len).ok_or_else(truncated)?;
        let text = std::str::from_utf8(text).map_err(|_| malformed("a string is not UTF-8"))?;
        super::event::json(&mut self.out, text);
        self.rest = rest;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), ErrorBody> {
        let len = decode::read_array_len(&mut self.rest).map_err(|_| truncated())?;
        self.out.push(b'[');
        for index in 0..len {
            self.comma(index);
            self.value(depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, depth: usize) -> Result<(), ErrorBody> {
        let len = decode::read_map_len(&mut self.rest).map_err(|_| truncated())?;
        self.out.push(b'{');
        for index in 0..len {
            self.comma(index);
            let marker = self.rest.first().map(|first| Marker::from_u8(*first));
            match marker {
                Some(Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => {}
                None => return Err(truncated()),
                Some(_) => return Err(wrong("keys must be strings")),
            }
            self.text()?;
            self.out.push(b':');
            self.value(depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn comma(&mut self, index: u32) {
        if index > 0 {
            self.out.push(b',');
        }
    }
}

impl<'a> Decoder<'a> {
    fn put(&mut self, rest: &'a [u8], text: &[u8]) {
        self.rest = rest;
        self.out.extend_from_slice(text);
    }
}

fn malformed(what: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadJson, format!("not MessagePack: {what}"))
}

fn truncated() -> ErrorBody {
    malformed("the message ends too early")
}

fn wrong(what: impl Into<String>) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadRequest, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn packed(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        from_json(json.as_bytes(), &mut out);
        out
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn json_is_packed_in_the_shortest_form_and_in_its_own_order() {
        for (json, expected) in [
            ("null", "c0"),
            ("[true,false]", "92c3c2"),
            (r#"{"b":1,"a":-1}"#, "82a16201a161ff"),
            ("1790000000150123", "cf00065bfeda282a6b"),
            ("-9223372036854775808", "d38000000000000000"),
            ("1.5", "cb3ff8000000000000"),
            (r#""é\n""#, "a3c3a90a"),
        ] {
            assert_eq!(hex(&packed(json)), expected, "{json}");
        }
        let many = format!("[{}]", ["7"; 70_000].join(","));
        assert_eq!(packed(&many)[..6], [0xdd, 0, 1, 0x11, 0x70, 7]);
        let sixteen = format!("[{}]", ["7"; 16].join(","));
        assert_eq!(packed(&sixteen)[..4], [0xdc, 0, 16, 7]);
    }

    #[test]
    fn what_is_not_json_becomes_nil_rather_than_half_a_message() {
        assert_eq!(hex(&packed(r#"{"a":1"#)), "c0");
        assert_eq!(hex(&packed("1 2")), "c0");
    }

    #[test]
    fn a_request_is_unpacked() {
        let json =
            r#"{"id":1,"method":"subscribe","params":{"topics":["a\u0000"],"x":-2.5,"y":null}}"#;
        assert_eq!(to_json(&packed(json)).unwrap(), json);
        assert_eq!(
            to_json(&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]).unwrap(),
            u64::MAX.to_string()
        );
        assert_eq!(to_json(&[0xca, 0x3f, 0xc0, 0, 0]).unwrap(), "1.5");
    }

    #[test]
    fn what_a_request_cannot_hold_is_refused() {
        let deep = [vec![0x91; 40], vec![0xc0]].concat();
        for (bytes, code) in [
            (&b""[..], "bad_json"),
            (b"\xc1", "bad_json"),
            (b"\xc0\xc0", "bad_json"),
            (b"\xa5abc", "bad_json"),
            (b"\xa1\xff", "bad_json"),
            (b"\xdd\xff\xff\xff\xff", "bad_json"),
            (b"\xdf\xff\xff\xff\xff\xa1a", "bad_json"),
            (b"\xdb\xff\xff\xff\xff", "bad_json"),
            (b"\xc4\x01a", "bad_request"),
            (b"\xd4\x01a", "bad_request"),
            (b"\x81\x01\x01", "bad_request"),
            (b"\xcb\x7f\xf0\0\0\0\0\0\0", "bad_request"),
            (&deep, "bad_request"),
        ] {
            assert_eq!(to_json(bytes).unwrap_err().code.as_str(), code, "{}", hex(bytes));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(|yes| json!(yes)),
            any::<i64>().prop_map(|int| json!(int)),
            any::<u64>().prop_map(|int| json!(int)),
            any::<i32>().prop_map(|n| json!(f64::from(n) / 64.0)),
            ".{0,40}".prop_map(|text| json!(text)),
        ];
        leaf.prop_recursive(5, 60, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
                prop::collection::vec((".{0,8}", inner), 0..20)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same(value in any_json()) {
            let text = value.to_string();
            prop_assert_eq!(to_json(&packed(&text)).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_read_without_panic_and_without_growing_much(
            bytes in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            if let Ok(text) = to_json(&bytes) {
                prop_assert!(text.len() <= bytes.len() * 6 + 24);
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
            }
        }
    }
}
