//! Where the delivery of a topic begins: at its last value, or where an earlier connection left off.

use std::{sync::Arc, time::Instant};

use super::{client::ClientState, offer::Offer, options::Options, stage::Memory};
use crate::{
    hub::{Head, Issued, Slot},
    protocol::params::{Mode, Position, Resume, Trigger},
};

/// A topic that begins to reach a client, or whose subscription got other options.
pub(super) struct Beginning<'a> {
    pub(super) slot: &'a Arc<Slot>,
    pub(super) head: &'a Head,
    pub(super) view: u32,
    /// The topic did not reach the client before.
    pub(super) fresh: bool,
    /// The options are not those that it was delivered by before.
    pub(super) changed: bool,
}

/// Where a client says it left off.
#[derive(Debug, Clone, Copy)]
struct LeftOff<'a> {
    epoch: Option<&'a str>,
    seq: u64,
}

fn left_off<'a>(resume: &'a Resume, names: [&str; 2]) -> Option<LeftOff<'a>> {
    let position = names.iter().find_map(|name| resume.seq.get(*name))?;
    Some(match position {
        Position::Seq(seq) => LeftOff { epoch: resume.epoch.as_deref(), seq: *seq },
        Position::In { epoch, seq } => LeftOff { epoch: Some(epoch), seq: *seq },
    })
}

/// Whether the client says that it left off before the first number of a topic that has none yet.
pub(super) fn is_at_zero(resume: &Resume, names: [&str; 2], epoch: &str) -> bool {
    left_off(resume, names)
        .is_some_and(|position| position.epoch == Some(epoch) && position.seq == 0)
}

impl ClientState {
    /// Begins to deliver. True when it goes on without a hole from where the client left off;
    /// otherwise it begins with a snapshot.
    ///
    /// Only for a topic that did not reach the client yet: one that does has left off nowhere.
    pub(super) fn begin(
        &mut self,
        beginning: &Beginning<'_>,
        options: &Options,
        resume: Option<&Resume>,
        asked: &str,
        now: Instant,
    ) -> bool {
        let Beginning { slot, head, view, fresh, changed } = beginning;
        if *fresh || *changed {
            self.remember(*view, options, head.last.as_ref());
        }
        let names = [slot.topic().as_str(), asked];
        let reached = resume
            .filter(|_| *fresh)
            .and_then(|resume| left_off(resume, names))
            .filter(|position| position.epoch == Some(&*head.epoch) && position.seq <= head.seq)
            .is_some_and(|position| self.go_on(beginning, options, position.seq, now));
        let wanted = options.snapshot || resume.is_some();
        if let Some(last) = head.last.as_ref().filter(|_| !reached && wanted) {
            if self.outbox.cut(*view) {
                self.remember(*view, options, Some(last));
            }
            self.outbox.push_snapshot(*view, last.clone());
        }
        reached
    }

    /// Delivers what came after `seq`. False when history does not reach back that far. A trigger
    /// that fires on an edge also needs the update at `seq`: without it, whether the next one turns
    /// the filter true is not known.
    fn go_on(
        &mut self,
        beginning: &Beginning<'_>,
        options: &Options,
        seq: u64,
        now: Instant,
    ) -> bool {
        let Beginning { slot, head, view, .. } = beginning;
        if seq == head.seq {
            return true;
        }
        // The edge of a trigger is where the client left off, not where the topic is now.
        let (kept, _) = slot.history(seq.max(1), 2);
        let at = |wanted: u64| kept.iter().find(|issued| issued.update.seq == wanted);
        let on_edge = options.trigger == Trigger::Edge && options.filter.is_some();
        if at(seq + 1).is_none() || (on_edge && seq > 0 && at(seq).is_none()) {
            return false;
        }
        self.remember(*view, options, at(seq));
        match (options.mode, &head.last) {
            (Mode::Latest, Some(last)) => {
                self.outbox.skip(*view, head.seq - seq - 1);
                self.outbox.offer(*view, &Offer::new(last.clone()), now);
            }
            _ => self.outbox.replay(*view, seq + 1, head.seq),
        }
        true
    }

    /// Sets what the stages remember of a topic, when `last` was its last update.
    pub(super) fn remember(&mut self, view: u32, options: &Options, last: Option<&Arc<Issued>>) {
        let last = last.cloned().map(Offer::new);
        if let Some(topic) = self.outbox.views.get_mut(view as usize) {
            topic.memory = Memory::new(options, last.as_ref());
        }
    }
}
