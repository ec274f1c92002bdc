//! The ways out: a broadcast channel for each reader, and what wakes it.
//!
//! The channel's own wake-up comes with the first event. A reader that begins on another core while
//! the rest of an answer is still being published gets it in pieces, writes each of them by itself,
//! and is woken again for the next. So events and wake-ups are apart: who publishes several values
//! wakes the readers when it is done.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::{Either, ready};
use tokio::sync::{
    Notify,
    broadcast::{self, error::TryRecvError},
};

use super::{Event, untold::Untold};

/// Events that wait in an outlet. A shard that falls further behind learns so and catches up from
/// the rings.
const CAPACITY: usize = 4096;
/// Events after which readers are woken although more may follow at once: some 30 µs of publishing.
const UNTOLD_MAX: usize = 64;

/// The ways out of a hub.
#[derive(Debug)]
pub(super) struct Outlets {
    all: Box<[Outlet]>,
    untold: Untold,
    /// About how many events readers were not woken for.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Outlet {
    events: broadcast::Sender<Event>,
    ready: Arc<Ready>,
}

/// How a reader is woken.
#[derive(Debug, Default)]
struct Ready {
    notify: Notify,
    /// The core on which it began to wait: the system lets it go on there if it can.
    core: AtomicUsize,
}

/// The reader's end of an outlet. Only one may wait for an outlet at a time.
#[derive(Debug)]
pub struct Inbox {
    events: broadcast::Receiver<Event>,
    ready: Arc<Ready>,
}

/// Values that are published together: readers are woken when it is dropped, or when there are many.
/// What others publish in the meantime goes with them. Must not be held over an await, and cannot be
/// sent to where one would be.
#[derive(Debug)]
#[must_use = "what is published after it was dropped is not published together"]
pub struct Batch<'a> {
    outlets: &'a Outlets,
    _stays: PhantomData<*const ()>,
}

impl Outlets {
    pub(super) fn new(count: usize) -> Self {
        let outlet = |_| Outlet { events: broadcast::channel(CAPACITY).0, ready: Arc::default() };
        Self {
            all: (0..count).map(outlet).collect(),
            untold: Untold::new(),
            count: AtomicUsize::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn open(&self, outlet: usize) -> Option<Inbox> {
        let outlet = self.all.get(outlet)?;
        Some(Inbox { events: outlet.events.subscribe(), ready: outlet.ready.clone() })
    }

    pub(super) fn batch(&self) -> Batch<'_> {
        self.untold.begin();
        Batch { outlets: self, _stays: PhantomData }
    }

    /// Sends to the outlets whose bits are set.
    pub(super) fn send(&self, interested: u64, event: impl Fn() -> Event) {
        let mut sent = 0;
        for (index, outlet) in self.all.iter().enumerate() {
            if interested & (1 << index) != 0 {
                // An error means that nobody listens at this outlet (yet, or any more).
                drop(outlet.events.send(event()));
                sent |= 1 << index;
            }
        }
        if sent == 0 {
            return;
        }
        let told = self.untold.sent(sent);
        if told != 0 {
            return self.wake(told);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 >= UNTOLD_MAX {
            self.count.store(0, Ordering::Relaxed);
            self.wake(self.untold.take());
        }
    }

    fn wake(&self, bits: u64) {
        if bits != 0 {
            self.wake_from(current_core(), bits);
        }
    }

    /// Wakes the readers of `bits`, those that wait on `core`, the caller's own, last. They find it
    /// taken: woken first, one of them moves to the core of another, which then finds that taken;
    /// or it takes the core from the caller, and who was not woken yet waits until it is done.
    fn wake_from(&self, core: usize, bits: u64) {
        // Looked at once: a reader that begins to wait elsewhere meanwhile must not be forgotten.
        let here = self.chosen(bits).filter(|(_, outlet)| outlet.ready.core() == core);
        let here = here.fold(0, |here, (bit, _)| here | bit);
        for (_, outlet) in self.chosen(bits & !here).chain(self.chosen(here)) {
            outlet.ready.notify.notify_one();
        }
    }

    /// The outlets of `bits`, each with its own.
    fn chosen(&self, bits: u64) -> impl Iterator<Item = (u64, &Outlet)> {
        let outlets = self.all.iter().enumerate().map(|(index, outlet)| (1 << index, outlet));
        outlets.filter(move |(bit, _)| bits & bit != 0)
    }
}

impl Ready {
    fn core(&self) -> usize {
        self.core.load(Ordering::Relaxed)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let outlets = self.outlets;
        outlets.count.store(0, Ordering::Relaxed);
        outlets.wake(outlets.untold.end());
    }
}

impl Inbox {
    /// The next event.
    ///
    /// # Errors
    /// `Empty` when there is none now; `Lagged` when some were lost, once; `Closed` when the hub is
    /// gone.
    pub fn try_recv(&mut self) -> Result<Event, TryRecvError> {
        self.events.try_recv()
    }

    /// Comes when there is something to receive, or may be. Cancelling it loses nothing.
    pub fn ready(&self) -> impl Future<Output = ()> + '_ {
        // Several wake-ups may have become one, and their reader may not have taken everything.
        if self.events.is_empty() {
            self.ready.core.store(current_core(), Ordering::Relaxed);
            Either::Left(self.ready.notify.notified())
        } else {
            Either::Right(ready(()))
        }
    }
}

/// The core on which the caller runs. Where the system does not tell, all seem to run on one.
fn current_core() -> usize {
    #[cfg(target_os = "linux")]
    return rustix::thread::sched_getcpu();
    #[cfg(not(target_os = "linux"))]
    0
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Wake, Waker};

    use futures::FutureExt;
    use parking_lot::Mutex;

    use super::*;
    use crate::{
        hub::{Slot, StatusChange},
        market::{Epoch, Topic},
    };

    fn event() -> Event {
        let slot = Arc::new(Slot::new(0, Topic::parse("a.b").unwrap(), Epoch::from("e1")));
        let transition = slot.head(0).status;
        Event::Status(Arc::new(StatusChange { slot, number: 1, transition }))
    }

    fn is_woken(inbox: &Inbox) -> bool {
        inbox.ready.notify.notified().now_or_never().is_some()
    }

    fn received(inbox: &mut Inbox) -> usize {
        std::iter::from_fn(|| inbox.try_recv().ok()).count()
    }

    #[test]
    fn whoever_has_not_taken_everything_need_not_be_woken_for_the_rest() {
        let outlets = Outlets::new(1);
        let mut inbox = outlets.open(0).unwrap();
        (0..2).for_each(|_| outlets.send(1, event));
        assert!(is_woken(&inbox) && !is_woken(&inbox));
        assert!(inbox.try_recv().is_ok());
        assert!(inbox.ready().now_or_never().is_some());
        assert!(inbox.try_recv().is_ok());
        assert!(inbox.ready().now_or_never().is_none());
    }

    /// Writes down that its reader was woken, and has every reader wait on another core from then on.
    struct Woken(usize, Arc<Mutex<Vec<usize>>>, Vec<Arc<Ready>>);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.1.lock().push(self.0);
            self.2.iter().for_each(|ready| ready.core.store(usize::MAX, Ordering::Relaxed));
        }
    }

    /// The order in which readers that wait on `cores` are woken from `core`.
    fn order(cores: [usize; 3], core: usize) -> Vec<usize> {
        let (outlets, order) = (Outlets::new(3), Arc::<Mutex<Vec<usize>>>::default());
        let inboxes: Vec<_> = (0..3).map(|index| outlets.open(index).unwrap()).collect();
        let mut waits: Vec<_> = inboxes.iter().map(|inbox| Box::pin(inbox.ready())).collect();
        for (index, wait) in waits.iter_mut().enumerate() {
            let all = outlets.all.iter().map(|outlet| outlet.ready.clone()).collect();
            let waker = Waker::from(Arc::new(Woken(index, order.clone(), all)));
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            outlets.all[index].ready.core.store(cores[index], Ordering::Relaxed);
        }
        outlets.wake_from(core, 0b111);
        order.lock().clone()
    }

    #[test]
    fn readers_on_the_core_of_who_wakes_them_are_woken_last() {
        assert_eq!(order([7, 8, 7], 7), [1, 0, 2]);
        assert_eq!(order([7, 8, 7], 8), [0, 2, 1]);
        assert_eq!(order([7, 8, 7], 9), [0, 1, 2]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_begins_to_wait_says_on_which_core() {
        let outlets = Outlets::new(1);
        let inbox = outlets.open(0).unwrap();
        inbox.ready.core.store(usize::MAX, Ordering::Relaxed);
        outlets.send(1, event);
        drop(inbox.ready());
        assert_eq!(inbox.ready.core(), usize::MAX);
        let inbox = outlets.open(0).unwrap();
        drop(inbox.ready());
        assert_ne!(inbox.ready.core(), usize::MAX);
    }

    #[test]
    fn an_event_alone_wakes_the_readers_that_it_is_for() {
        let outlets = Outlets::new(2);
        let (mut first, second) = (outlets.open(0).unwrap(), outlets.open(1).unwrap());
        outlets.send(0b01, event);
        assert_eq!([is_woken(&first), is_woken(&second)], [true, false]);
        assert_eq!(received(&mut first), 1);
        assert!(!is_woken(&first));
    }

    #[test]
    fn readers_are_woken_once_when_the_last_of_a_batch_is_there() {
        let outlets = Outlets::new(1);
        let mut inbox = outlets.open(0).unwrap();
        let batch = outlets.batch();
        (0..3).for_each(|_| outlets.send(1, event));
        assert!(!is_woken(&inbox));
        drop(batch);
        assert!(is_woken(&inbox));
        assert_eq!(received(&mut inbox), 3);
        assert!(!is_woken(&inbox));
    }

    #[test]
    fn a_long_batch_wakes_before_it_ends() {
        let outlets = Outlets::new(1);
        let inbox = outlets.open(0).unwrap();
        let _batch = outlets.batch();
        for _ in 0..2 {
            (1..UNTOLD_MAX).for_each(|_| outlets.send(1, event));
            assert!(!is_woken(&inbox));
            outlets.send(1, event);
            assert!(is_woken(&inbox));
        }
    }

    #[test]
    fn events_that_were_told_at_once_bring_no_later_waking_forward() {
        let outlets = Outlets::new(1);
        let inbox = outlets.open(0).unwrap();
        (1..UNTOLD_MAX).for_each(|_| outlets.send(1, event));
        assert!(is_woken(&inbox));
        let _batch = outlets.batch();
        outlets.send(1, event);
        assert!(!is_woken(&inbox));
    }

    #[test]
    fn a_batch_that_panics_wakes_for_what_it_has_published() {
        let outlets = Outlets::new(1);
        let inbox = outlets.open(0).unwrap();
        let published = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _batch = outlets.batch();
            outlets.send(1, event);
            panic!("on purpose");
        }));
        assert!(published.is_err() && is_woken(&inbox));
    }
}
