//! Sending only some fields of `data`.
//!
//! Projections are interned: subscribers that ask for the same fields share one, and with it the
//! encoded frames. Their number is bounded, since each distinct one costs an encoding per update.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::protocol::code::{ErrorBody, ErrorCode};

/// The most distinct projections of one server.
const DISTINCT_MAX: usize = 64;
/// The most fields of one.
const FIELDS_MAX: usize = 32;
/// The longest name of a field.
const NAME_BYTES_MAX: usize = 64;

/// A set of fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Projection {
    /// Tells it apart from the others of its server.
    pub(super) id: u64,
    /// Sorted, without repetition.
    pub(super) fields: Vec<String>,
}

/// The projections in use.
#[derive(Debug, Default)]
pub(super) struct Projections {
    known: Mutex<Vec<Weak<Projection>>>,
    next_id: AtomicU64,
}

impl Projections {
    /// The projection on `fields`.
    ///
    /// # Errors
    /// `bad_request` for no fields, too many, or one set of fields too many in the server.
    pub(super) fn intern(&self, fields: &[String]) -> Result<Arc<Projection>, ErrorBody> {
        let wrong = |message: String| Err(ErrorBody::new(ErrorCode::BadRequest, message));
        let mut fields = fields.to_vec();
        fields.sort_unstable();
        fields.dedup();
        if fields.is_empty() || fields.len() > FIELDS_MAX {
            return wrong(format!("`fields` must name 1 to {FIELDS_MAX} fields of `data`"));
        }
        if fields.iter().any(|field| field.is_empty() || field.len() > NAME_BYTES_MAX) {
            return wrong(format!("a name in `fields` has 1 to {NAME_BYTES_MAX} bytes"));
        }
        let mut known = self.known.lock();
        known.retain(|projection| projection.strong_count() > 0);
        let mut alive = known.iter().filter_map(Weak::upgrade);
        if let Some(projection) = alive.find(|projection| projection.fields == fields) {
            return Ok(projection);
        }
        if known.len() >= DISTINCT_MAX {
            return wrong(format!(
                "all clients together may use {DISTINCT_MAX} different sets of `fields`; use one \
                 that is common, or none"
            ));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let projection = Arc::new(Projection { id, fields });
        known.push(Arc::downgrade(&projection));
        Ok(projection)
    }
}

impl Projection {
    /// `data` with only these fields, in its own order.
    pub(super) fn apply(&self, data: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(data.len());
        out.push(b'{');
        for_each_field(data, |name, raw| {
            if self.fields.iter().any(|field| field == name) {
                if out.len() > 1 {
                    out.push(b',');
                }
                crate::protocol::event::json(&mut out, name);
                out.push(b':');
                out.extend_from_slice(raw.get().as_bytes());
            }
        });
        out.push(b'}');
        out.into()
    }
}

/// The number in a field of `data`, for comparing; never for a value that is sent.
pub(super) fn number(data: &[u8], field: &str) -> Option<f64> {
    let mut found = None;
    for_each_field(data, |name, raw| {
        if name == field {
            found =
                raw.get().trim_matches('"').parse().ok().filter(|value: &f64| value.is_finite());
        }
    });
    found
}

/// Visits the fields of a `data` object in order. It was encoded here, so it is an object.
fn for_each_field(data: &[u8], visit: impl FnMut(&str, &RawValue)) {
    struct Fields<F>(F);
    impl<'de, F: FnMut(&str, &RawValue)> Visitor<'de> for Fields<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((name, raw)) =
                map.next_entry::<std::borrow::Cow<'de, str>, &'de RawValue>()?
            {
                (self.0)(&name, raw);
            }
            Ok(())
        }
    }
    let read = serde_json::Deserializer::from_slice(data).deserialize_map(Fields(visit));
    if let Err(error) = read {
        tracing::error!(%error, "an encoded update could not be read back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(fields: &[&str]) -> Vec<String> {
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    #[test]
    fn only_the_fields_asked_for_are_sent_in_their_own_order() {
        let projections = Projections::default();
        let projection = projections.intern(&strings(&["sources", "price", "no_such"])).unwrap();
        let data = br#"{"price":"1.50","bid":"1.4","sources":3}"#;
        assert_eq!(&projection.apply(data)[..], br#"{"price":"1.50","sources":3}"#);
        assert_eq!(&projection.apply(br#"{"bid":"1"}"#)[..], b"{}");
    }

    #[test]
    fn equal_sets_are_one_and_their_number_is_bounded_while_they_live() {
        let projections = Projections::default();
        let one = projections.intern(&strings(&["a", "b"])).unwrap();
        let same = projections.intern(&strings(&["b", "a", "b"])).unwrap();
        assert!(Arc::ptr_eq(&one, &same));
        let others: Vec<_> =
            (1..DISTINCT_MAX).map(|n| projections.intern(&[format!("f{n}")]).unwrap()).collect();
        assert!(projections.intern(&strings(&["one.too.many"])).is_err());
        drop(others);
        assert!(projections.intern(&strings(&["one.too.many"])).is_ok());
        assert!(projections.intern(&[]).is_err());
    }

    #[test]
    fn numbers_are_read_from_strings_and_integers() {
        let data = br#"{"price":"1.50","sources":3,"label":"greed"}"#;
        assert_eq!(number(data, "price"), Some(1.5));
        assert_eq!(number(data, "sources"), Some(3.0));
        assert_eq!(number(data, "label"), None);
        assert_eq!(number(data, "ask"), None);
    }
}
