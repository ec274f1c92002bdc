//! Patterns over topics, as NATS subjects have them.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{Topic, TopicError};

/// A topic in which a token may be `*` (exactly one token) and the last may be `>` (one or more).
/// A plain topic is the pattern that matches itself. Cheap to clone.
/// Ordered by its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    text: Arc<str>,
    wildcard: bool,
}

impl Pattern {
    /// Reads a topic or pattern exactly as it is written.
    ///
    /// # Errors
    /// [`TopicError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        Self::check(text).map(|wildcard| Self { text: text.into(), wildcard })
    }

    /// Whether `text` has a wildcard, once it is known to obey the grammar.
    pub(super) fn check(text: &str) -> Result<bool, TopicError> {
        if text.len() > Topic::MAX_BYTES {
            return Err(TopicError::TooLong);
        }
        let (mut wildcard, mut tail) = (false, false);
        for (index, token) in text.split('.').enumerate() {
            if index == Topic::MAX_TOKENS {
                return Err(TopicError::TooManyTokens);
            }
            if tail {
                return Err(TopicError::TailNotLast);
            }
            match token {
                "" => return Err(TopicError::EmptyToken),
                "*" => wildcard = true,
                ">" => (wildcard, tail) = (true, true),
                token => token.bytes().try_for_each(token_byte)?,
            }
        }
        Ok(wildcard)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// False for a plain topic.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The topic that this is, when it has no wildcard.
    pub fn as_topic(&self) -> Option<Topic> {
        if self.wildcard { None } else { Topic::parse(&self.text).ok() }
    }

    /// What every topic that is meant begins with.
    pub fn beginning(&self) -> &str {
        self.text.split(['*', '>']).next().unwrap_or_default()
    }

    /// Whether `topic` is one of those meant.
    pub fn matches(&self, topic: &str) -> bool {
        if !self.wildcard {
            return &*self.text == topic;
        }
        let mut tokens = topic.split('.');
        for mine in self.text.split('.') {
            match (mine, tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (mine, Some(theirs)) if mine == theirs => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Orders by how specific a pattern is, most specific greatest: token by token from the left, an
    /// exact token above `*`, and `*` above `>`. Meant for patterns that match one common topic.
    pub fn cmp_specificity(&self, other: &Self) -> Ordering {
        let rank = |token: &str| match token {
            ">" => 0,
            "*" => 1,
            _ => 2,
        };
        let (mut mine, mut theirs) = (self.text.split('.'), other.text.split('.'));
        loop {
            match (mine.next(), theirs.next()) {
                (Some(a), Some(b)) if rank(a) == rank(b) => {}
                (Some(a), Some(b)) => return rank(a).cmp(&rank(b)),
                (a, b) => return a.is_some().cmp(&b.is_some()),
            }
        }
    }
}

impl Pattern {
    /// Comes to the patterns that match `topic`, the most specific first, until one of them is what
    /// `look` wants. None is come to of which `leads` says that nothing known begins as it does: so
    /// it costs what is known of the few that match, and not what is known in all.
    pub fn search<T>(
        topic: &str,
        leads: &impl Fn(&str) -> bool,
        look: &mut impl FnMut(&str) -> Option<T>,
    ) -> Option<T> {
        descend(&mut String::with_capacity(Topic::MAX_BYTES), topic, leads, look)
    }
}

/// Goes on from `start` with each token that the first of `rest` matches.
fn descend<T>(
    start: &mut String,
    rest: &str,
    leads: &impl Fn(&str) -> bool,
    look: &mut impl FnMut(&str) -> Option<T>,
) -> Option<T> {
    let (token, rest) = rest.split_once('.').map_or((rest, None), |(a, b)| (a, Some(b)));
    let length = start.len();
    for token in [token, "*"] {
        start.push_str(token);
        let found = match rest {
            None => look(start),
            Some(rest) => {
                start.push('.');
                if leads(start) { descend(start, rest, leads, look) } else { None }
            }
        };
        start.truncate(length);
        if found.is_some() {
            return found;
        }
    }
    start.push('>');
    let found = look(start);
    start.truncate(length);
    found
}

impl Hash for Pattern {
    /// As its text, which stands for it where one is looked up.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Pattern {
    fn borrow(&self) -> &str {
        &self.text
    }
}

fn token_byte(byte: u8) -> Result<(), TopicError> {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
        Ok(())
    } else {
        Err(TopicError::BadCharacter)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn wildcards_match_as_nats_subjects_do() {
        let cases = [
            ("price.*", "price.BTC-USD", true),
            ("price.*", "price.BTC-USD.binance", false),
            ("price.*", "price", false),
            ("price.>", "price.BTC-USD", true),
            ("price.>", "price.BTC-USD.binance", true),
            ("price.>", "price", false),
            ("*.*.binance", "price.BTC-USD.binance", true),
            (">", "anything.at.all", true),
            ("*", "one", true),
            ("*", "one.two", false),
            ("price.BTC-USD", "price.BTC-USD", true),
            ("price.BTC-USD", "price.BTC-USDT", false),
        ];
        for (text, topic, expected) in cases {
            assert_eq!(pattern(text).matches(topic), expected, "{text} {topic}");
        }
    }

    #[test]
    fn a_wildcard_stands_alone_and_a_tail_stands_last() {
        for (text, error) in [
            ("price.B*", TopicError::BadCharacter),
            ("price.**", TopicError::BadCharacter),
            ("price.>.x", TopicError::TailNotLast),
            ("", TopicError::EmptyToken),
            ("*.*.*.*.*.*.*.*.*", TopicError::TooManyTokens),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn specificity_is_compared_from_the_left() {
        let most_to_least = ["a.b.c", "a.b.*", "a.b.>", "a.*.c", "a.>", "*.b.c", ">"];
        for pair in most_to_least.windows(2) {
            let (more, less) = (pattern(pair[0]), pattern(pair[1]));
            assert_eq!(more.cmp_specificity(&less), Ordering::Greater, "{pair:?}");
            assert_eq!(less.cmp_specificity(&more), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn a_search_does_not_go_on_where_nothing_leads() {
        let mut seen = Vec::new();
        let leads = |start: &str| !start.starts_with('*');
        let mut look = |text: &str| {
            seen.push(text.to_owned());
            None::<()>
        };
        assert_eq!(Pattern::search("a.b.c", &leads, &mut look), None);
        let expected = ["a.b.c", "a.b.*", "a.b.>", "a.*.c", "a.*.*", "a.*.>", "a.>", ">"];
        assert_eq!(seen, expected);
    }

    proptest! {
        #[test]
        fn a_search_finds_the_most_specific_of_those_that_match(
            topic in "[ab](\\.[ab]){0,3}",
            texts in proptest::collection::btree_set("[ab*](\\.[ab*]){0,3}(\\.>)?|>", 0..40),
        ) {
            let known: BTreeSet<_> = texts.iter().map(|text| pattern(text)).collect();
            let leads = |start: &str| known.iter().any(|known| known.as_str().starts_with(start));
            let found = Pattern::search(&topic, &leads, &mut |text| known.get(text).cloned());
            let matching = known.iter().filter(|known| known.matches(&topic));
            prop_assert_eq!(found.as_ref(), matching.max_by(|a, b| a.cmp_specificity(b)));
        }

        #[test]
        fn a_topic_matches_itself_and_its_generalisations(
            tokens in proptest::collection::vec("[a-z]{1,3}", 1..8),
            star in 0usize..8,
            cut in 0usize..8,
        ) {
            let topic = tokens.join(".");
            prop_assert!(pattern(&topic).matches(&topic));
            let mut starred = tokens.clone();
            let at = star % starred.len();
            starred[at] = "*".into();
            prop_assert!(pattern(&starred.join(".")).matches(&topic));
            let mut tailed = tokens[..cut % tokens.len()].to_vec();
            tailed.push(">".into());
            prop_assert!(pattern(&tailed.join(".")).matches(&topic));
        }

        #[test]
        fn reading_never_panics(text in ".{0,200}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert!(pattern.as_str().len() <= Topic::MAX_BYTES);
            }
        }
    }
}
