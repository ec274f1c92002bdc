//! What holds for any answer at all.

use proptest::prelude::*;

use super::*;

/// Decodes for every feed of every provider and checks what holds for any answer at all.
fn holds_for(body: &[u8]) -> Result<(), TestCaseError> {
    for name in PROVIDERS {
        for feed in cases(name).feeds.values() {
            let mut provider = provider(&feed.config);
            let answer = response(body.to_vec());
            let request = Request::default();
            let topics = provider.topics();
            match provider.decode(&request, &answer) {
                Ok(batch) => {
                    for tick in &batch.ticks {
                        prop_assert!(topics.contains(&tick.topic) && !tick.data.is_empty());
                    }
                    prop_assert!(batch.ticks.len() <= topics.len());
                    prop_assert!(batch.missing.iter().all(|text| text.len() < 300));
                }
                Err(error) => {
                    prop_assert!(error.message.chars().count() <= 150);
                    prop_assert!(!error.message.chars().any(char::is_control));
                }
            }
            let _prepared = provider.prepared(&request, &answer);
        }
    }
    Ok(())
}

/// Every body in the fixtures.
fn bodies() -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for name in PROVIDERS {
        for case in cases(name).cases {
            bodies.push(match case.body {
                Some(file) => fs::read(fixture(name, &file)).unwrap(),
                None => case.text.into_bytes(),
            });
        }
    }
    bodies
}

/// One of `texts` with some of its bytes replaced, added or removed, or cut short.
pub(super) fn damaged(texts: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = (any::<prop::sample::Index>(), any::<u8>(), 0..4);
    let damages = prop::collection::vec(damage, 1..6);
    (prop::sample::select(texts), damages).prop_map(|(mut text, damages)| {
        for (place, byte, kind) in damages {
            if text.is_empty() {
                break;
            }
            let at = place.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 => drop(text.remove(at)),
                _ => text.truncate(at),
            }
        }
        text
    })
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    for part in ["[", "{\"data\":", "{\"data\":[", "[{\"id\":"] {
        holds_for(part.repeat(100_000).as_bytes()).unwrap();
    }
}

proptest! {
    #[test]
    fn no_bytes_break_a_provider(body in prop::collection::vec(any::<u8>(), 0..300)) {
        holds_for(&body)?;
    }

    #[test]
    fn no_json_like_text_breaks_a_provider(
        body in "[\\[{\"]{1,3}[\\[\\]{}\":,a-zA-Z0-9.eE+ \\\\u-]{0,200}"
    ) {
        holds_for(body.as_bytes())?;
    }

    #[test]
    fn no_damaged_answer_breaks_a_provider(body in damaged(bodies())) {
        holds_for(&body)?;
    }
}
