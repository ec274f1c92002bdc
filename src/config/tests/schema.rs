//! The built-in file documents every key there is. The keys come from the types themselves: a
//! deserializer that holds nothing notes which fields each struct asks for.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use crate::{
    config::{Config, DEFAULT},
    upstream::config::TopicConfig,
};

/// Walks along `way` into a type and notes the fields of the struct that stands at its end.
struct Probe<'a> {
    way: &'a [&'static str],
    fields: &'a mut Vec<&'static str>,
}

/// Every walk ends with this: there is nothing to read.
#[derive(Debug)]
struct End;

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("end of the walk")
    }
}

impl std::error::Error for End {}

impl de::Error for End {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = End;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, End> {
        Err(End)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, End> {
        if self.way.is_empty() {
            self.fields.extend(fields);
            return Err(End);
        }
        visitor.visit_map(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        visitor.visit_seq(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, End> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Probe<'_> {
    type Error = End;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, End> {
        let Some((first, rest)) = self.way.split_first() else {
            return Err(End);
        };
        self.way = rest;
        seed.deserialize(de::value::StrDeserializer::new(first)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, End> {
        seed.deserialize(Probe { way: self.way, fields: self.fields })
    }
}

impl<'de> SeqAccess<'de> for Probe<'_> {
    type Error = End;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, End> {
        let probe = Probe { way: self.way, fields: self.fields };
        seed.deserialize(probe).map(Some)
    }
}

/// Every key of every struct of the configuration, by its way from the root. What a value may be
/// besides a number the walk cannot see: `feeds.topics` is a root of its own.
fn keys() -> Vec<Vec<&'static str>> {
    let mut found = keys_of::<Config>(&[]);
    found.extend(keys_of::<TopicConfig>(&["feeds", "topics"]));
    found
}

/// The keys of every struct in `T`, which stands at `root`.
fn keys_of<T: for<'de> Deserialize<'de>>(root: &[&'static str]) -> Vec<Vec<&'static str>> {
    let mut found = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(way) = open.pop() {
        let mut fields = Vec::new();
        let probe = Probe { way: &way, fields: &mut fields };
        assert!(T::deserialize(probe).is_err());
        for field in fields {
            let below: Vec<&'static str> = way.iter().copied().chain([field]).collect();
            found.push(root.iter().chain(&below).copied().collect());
            open.push(below);
        }
    }
    found
}

/// The built-in file's lines by section. Commented headers and keys count: they document too.
fn sections() -> Vec<(String, String)> {
    let mut sections = vec![(String::new(), String::new())];
    for line in DEFAULT.lines() {
        let bare = line.trim_start_matches(['#', ' ']);
        let header = bare.strip_prefix('[').filter(|_| bare.ends_with(']') && !bare.contains('='));
        match header {
            Some(name) => sections.push((name.trim_matches(['[', ']']).into(), String::new())),
            None => {
                let (_, text) = sections.last_mut().unwrap();
                text.push_str(bare);
                text.push('\n');
            }
        }
    }
    sections
}

/// Whether a section, or an inline table in it, shows `key = …`.
fn shows(text: &str, key: &str) -> bool {
    text.match_indices(key).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let word = before.is_none_or(|c| matches!(c, '\n' | ' ' | '{' | '('));
        let after = text[at + key.len()..].trim_start_matches(' ');
        word && after.starts_with('=')
    })
}

fn documented(way: &[&str]) -> bool {
    let (key, above) = way.split_last().unwrap();
    let sections = sections();
    if sections.iter().any(|(name, _)| *name == way.join(".")) {
        return true;
    }
    (0..=above.len()).rev().any(|depth| {
        let name = above[..depth].join(".");
        let mut texts = sections.iter().filter(|(section, _)| *section == name);
        depth > 0 && texts.any(|(_, text)| shows(text, key))
    })
}

#[test]
fn the_walk_reaches_every_struct() {
    let keys = keys();
    for way in [
        vec!["server", "listen"],
        vec!["limits", "per_ip"],
        vec!["sandbox", "faults", "retry_after"],
        vec!["feeds", "budget", "per_month"],
        vec!["feeds", "topics", "symbol", "quote"],
        vec!["consolidate", "prefer"],
    ] {
        assert!(keys.contains(&way), "{way:?} of {keys:?}");
    }
}

#[test]
fn the_built_in_file_documents_every_key() {
    let missing: Vec<String> =
        keys().iter().filter(|way| !documented(way)).map(|way| way.join(".")).collect();
    assert!(missing.is_empty(), "config/default.toml does not say: {missing:?}");
}

#[test]
fn a_key_that_is_not_documented_would_be_found() {
    assert!(!documented(&["server", "no_such_key"]));
    assert!(!documented(&["feeds", "listen"]));
    assert!(!documented(&["no_such_section"]));
}
