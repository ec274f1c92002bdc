//! Which updates are to be offered to which client: marked topic by topic, as they come, and taken
//! client by client, so that each client's lock and lines of memory are fetched once for all that it
//! gets. The order in which a client gets them is the order in which they were marked.

use slab::Slab;

/// The place of no mark.
const NONE: u32 = u32::MAX;

/// Lists of marks, one for each client that has any. Keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Marks {
    links: Slab<Link>,
    /// By client number: the first and the last of its marks.
    ends: Vec<Option<(u32, u32)>>,
}

/// A run of updates that is to be offered to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The client's view of the updates' topic.
    pub(super) view: u32,
    /// The number of the run.
    pub(super) run: u32,
}

#[derive(Debug)]
struct Link {
    mark: Mark,
    next: u32,
}

impl Marks {
    /// Adds one at the end of the list of `client`. False where there is no room for it.
    pub(super) fn push(&mut self, client: u32, mark: Mark) -> bool {
        // More than that the turns never have.
        let Ok(place) = u32::try_from(self.links.vacant_key()) else { return false };
        let index = client as usize;
        if self.ends.len() <= index {
            self.ends.resize(index + 1, None);
        }
        let Some(ends) = self.ends.get_mut(index) else { return false };
        self.links.insert(Link { mark, next: NONE });
        match ends {
            Some((_, last)) => {
                if let Some(link) = self.links.get_mut(*last as usize) {
                    link.next = place;
                }
                *last = place;
            }
            None => *ends = Some((place, place)),
        }
        true
    }

    /// Moves the marks of `client` to `out`, in order.
    pub(super) fn take(&mut self, client: u32, out: &mut Vec<Mark>) {
        let ends = self.ends.get_mut(client as usize).and_then(Option::take);
        let mut next = ends.map_or(NONE, |(first, _)| first);
        while let Some(link) = self.links.try_remove(next as usize) {
            out.push(link.mark);
            next = link.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_client_gets_its_marks_once_and_in_order(
            steps in prop::collection::vec(
                prop_oneof![
                    4 => (0_u32..6, 0_u32..4).prop_map(|(client, view)| (client, Some(view))),
                    1 => (0_u32..6).prop_map(|client| (client, None)),
                ],
                0..200,
            ),
        ) {
            let mut marks = Marks::default();
            let mut expected: BTreeMap<u32, Vec<Mark>> = BTreeMap::new();
            let takes = (0..6).map(|client| (client, None));
            for (run, (client, view)) in (0..).zip(steps.into_iter().chain(takes)) {
                if let Some(view) = view {
                    let mark = Mark { view, run };
                    prop_assert!(marks.push(client, mark));
                    expected.entry(client).or_default().push(mark);
                } else {
                    let mut got = Vec::new();
                    marks.take(client, &mut got);
                    prop_assert_eq!(got, expected.remove(&client).unwrap_or_default());
                }
            }
            prop_assert!(marks.links.is_empty());
        }
    }
}
