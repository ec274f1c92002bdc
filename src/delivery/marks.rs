//! Which of a batch of updates go to which client: marked topic by topic, as they come, and taken
//! client by client, so that each client's lock and lines of memory are fetched once for all that it
//! gets. The order in which a client gets them is the order in which they were marked.

/// The place of no mark.
const NONE: u32 = u32::MAX;

/// Lists of marks, one for each client that has any. Keeps its memory from batch to batch.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: Vec<Link>,
    /// By client number: the first and the last of its marks.
    ends: Vec<Option<(u32, u32)>>,
    clients: Vec<u32>,
}

/// An update that is to be offered to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The client's view of the update's topic.
    pub(super) view: u32,
    /// The number of the update in its batch.
    pub(super) offer: u32,
}

#[derive(Debug)]
struct Link {
    mark: Mark,
    next: u32,
}

impl Marks {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Adds one at the end of the list of `client`.
    pub(super) fn push(&mut self, client: u32, mark: Mark) {
        // More than that a batch never has.
        let Ok(place) = u32::try_from(self.marks.len()) else { return };
        self.marks.push(Link { mark, next: NONE });
        let index = client as usize;
        if self.ends.len() <= index {
            self.ends.resize(index + 1, None);
        }
        let Some(ends) = self.ends.get_mut(index) else { return };
        match ends {
            Some((_, last)) => {
                if let Some(link) = self.marks.get_mut(*last as usize) {
                    link.next = place;
                }
                *last = place;
            }
            None => {
                *ends = Some((place, place));
                self.clients.push(client);
            }
        }
    }

    /// The clients that have marks, in the order of their first.
    pub(super) fn clients(&self) -> &[u32] {
        &self.clients
    }

    /// The marks of `client`, in order.
    pub(super) fn of(&self, client: u32) -> impl Iterator<Item = Mark> {
        let ends = self.ends.get(client as usize).copied().flatten();
        let mut next = ends.map_or(NONE, |(first, _)| first);
        std::iter::from_fn(move || {
            let link = self.marks.get(next as usize)?;
            next = link.next;
            Some(link.mark)
        })
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        for client in self.clients.drain(..) {
            if let Some(ends) = self.ends.get_mut(client as usize) {
                *ends = None;
            }
        }
        self.marks.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_client_gets_its_marks_in_order(
            batches in prop::collection::vec(prop::collection::vec((0_u32..6, 0_u32..4), 0..40), 1..4),
        ) {
            let mut marks = Marks::default();
            for batch in batches {
                let mut expected: BTreeMap<u32, Vec<Mark>> = BTreeMap::new();
                for (offer, (client, view)) in (0..).zip(&batch) {
                    let mark = Mark { view: *view, offer };
                    marks.push(*client, mark);
                    expected.entry(*client).or_default().push(mark);
                }
                prop_assert_eq!(marks.len(), batch.len());
                let got = marks.clients().iter().map(|key| (*key, marks.of(*key).collect()));
                prop_assert_eq!(got.collect::<BTreeMap<_, Vec<_>>>(), expected);
                marks.clear();
                prop_assert_eq!(marks.len() + marks.clients().len() + marks.of(0).count(), 0);
            }
        }
    }
}
