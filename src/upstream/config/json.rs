//! What a feed with `provider = "json"` is told about an API.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::units::SecretSource;

/// `topics`: how many, of a `synthetic` feed; which, of a `json` feed; which are allowed, of a
/// `push` feed.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Topics {
    /// A number of topics.
    Count(usize),
    /// `[[feeds.topics]]`.
    Tables(Vec<TopicConfig>),
    /// Patterns.
    Patterns(Vec<String>),
}

/// One `[[feeds.topics]]`: where in an answer a topic's values are. Paths are JSONPath (RFC 9535).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// The topic; `{symbol}` in it is the symbol of each element.
    pub topic: String,
    /// Path to the elements of which each makes a topic; absent means the answer as a whole.
    pub each: Option<String>,
    /// Where in an element its symbol is.
    pub symbol: Option<SymbolConfig>,
    /// Path in an element, by the name of the field.
    pub fields: BTreeMap<String, String>,
    /// Where in an element its time is.
    pub ts: Option<TimeConfig>,
}

/// Where an element's symbol is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SymbolConfig {
    /// Path in the element to a market (`BTC/USD`), to a base if there is a `quote`, or to an id of
    /// the feed's `ids`.
    pub path: String,
    /// What the base that stands there is paid in.
    pub quote: Option<String>,
}

/// Where an element's time is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeConfig {
    /// Path in the element.
    pub path: String,
    /// How it is written.
    pub unit: TimeUnit,
}

/// How an API writes a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds since the Unix epoch.
    S,
    /// Milliseconds since the Unix epoch.
    Ms,
    /// Microseconds since the Unix epoch.
    Us,
    /// RFC 3339; a date, or a date and time without zone, is meant in UTC.
    Rfc3339,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Method {
    /// Asks.
    #[serde(rename = "GET")]
    Get,
    /// Sends JSON and takes the answer to it.
    #[serde(rename = "POST")]
    Post,
}

/// The value of a header or a query key: written out, or a secret that is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "SettingForm")]
pub enum Setting {
    /// As it is sent.
    Plain(String),
    /// Where the secret is kept that is sent.
    Secret(SecretSource),
}

/// Untagged for the same reason as the form of a secret: an error must not repeat what it found.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "write the value, or say where a secret is kept, as { env = \"NAME\" } or \
                 { file = \"/run/secrets/name\" }"
)]
enum SettingForm {
    Text(String),
    Whole(i64),
    Yes(bool),
    Secret(SecretSource),
}

impl From<SettingForm> for Setting {
    fn from(form: SettingForm) -> Self {
        match form {
            SettingForm::Text(text) => Self::Plain(text),
            SettingForm::Whole(number) => Self::Plain(number.to_string()),
            SettingForm::Yes(yes) => Self::Plain(yes.to_string()),
            SettingForm::Secret(source) => Self::Secret(source),
        }
    }
}

/// By hand, because an untagged enum loses the key and the line of what is wrong within.
impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TopicsVisitor)
    }
}

struct TopicsVisitor;

impl<'de> Visitor<'de> for TopicsVisitor {
    type Value = Topics;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("how many topics, or [[feeds.topics]] for each")
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Topics, E> {
        let count = usize::try_from(count);
        count.map(Topics::Count).map_err(|_| E::custom("is below zero"))
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Topics, E> {
        let count = usize::try_from(count);
        count.map(Topics::Count).map_err(|_| E::custom("is too many"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Topics, A::Error> {
        let (mut tables, mut patterns) = (Vec::new(), Vec::new());
        while let Some(element) = seq.next_element()? {
            match element {
                Element::Table(table) => tables.push(table),
                Element::Pattern(pattern) => patterns.push(pattern),
            }
        }
        match (tables.is_empty(), patterns.is_empty()) {
            (false, false) => Err(de::Error::custom("are all tables or all patterns")),
            (true, false) => Ok(Topics::Patterns(patterns)),
            (_, true) => Ok(Topics::Tables(tables)),
        }
    }
}

/// One element of `topics`.
enum Element {
    Table(TopicConfig),
    Pattern(String),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table that says what to publish, or a pattern of topics")
    }

    fn visit_str<E: de::Error>(self, pattern: &str) -> Result<Element, E> {
        Ok(Element::Pattern(pattern.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element, A::Error> {
        TopicConfig::deserialize(MapAccessDeserializer::new(map)).map(Element::Table)
    }
}
