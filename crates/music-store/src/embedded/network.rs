//! Links between the sites of a process: delay, and cuts.
//!
//! A message is a closure that runs at the other site when it arrives. It is
//! dropped when it is lost; what it owns can tell that by its own drop. A
//! link without delay runs it at once. The others hand it to one thread that
//! waits more precisely than the timers of an async runtime, which are good
//! to a millisecond: too coarse for sites a millisecond apart.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use music_core::id::ReplicaId;

/// How many messages a link holds, until their work is done; more are lost.
const LINK_MESSAGES_MAX: usize = 16_384;

/// A message's place on its link, to be kept until the work that the message
/// causes is done.
pub(super) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// One direction between two sites, for dashboards and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// The sending site.
    pub from: String,
    /// The receiving site.
    pub to: String,
    /// Twice the delay of this direction.
    pub rtt: Duration,
    /// Whether messages are lost on it.
    pub cut: bool,
    /// How many messages are under way, or not dealt with yet.
    pub messages: usize,
}

pub(super) struct Network {
    replicas: u8,
    /// `links[from * replicas + to]`.
    links: Vec<Link>,
    clockwork: Arc<Clockwork>,
}

struct Link {
    state: Mutex<LinkState>,
    messages: Arc<AtomicUsize>,
}

struct LinkState {
    delay: Duration,
    cut: bool,
    /// Grows with each cut: what was sent under a lower number is lost.
    epoch: u64,
    /// When the last message arrives; none overtakes another.
    last: Option<Instant>,
}

impl LinkState {
    fn is_immediate(&self) -> bool {
        let overtakes = || self.last.is_some_and(|last| last > Instant::now());
        !self.cut && self.delay.is_zero() && !overtakes()
    }
}

/// The thread that waits, and what it waits for.
#[derive(Default)]
struct Clockwork {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    closed: bool,
}

struct Entry {
    due: Instant,
    sequence: u64,
    message: Box<dyn FnOnce() + Send>,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl Network {
    /// Links between `replicas` sites, with the round trips of `rtt`.
    pub(super) fn start(
        replicas: u8,
        rtt: impl Fn(ReplicaId, ReplicaId) -> Duration,
    ) -> std::io::Result<Self> {
        let clockwork = Arc::new(Clockwork::default());
        let thread = Arc::clone(&clockwork);
        std::thread::Builder::new()
            .name("music-network".to_owned())
            .spawn(move || thread.run())?;
        let ends = || (0..replicas).map(ReplicaId);
        let links = ends()
            .flat_map(|from| ends().map(move |to| (from, to)))
            .map(|(from, to)| Link {
                state: Mutex::new(LinkState {
                    delay: rtt(from, to) / 2,
                    cut: false,
                    epoch: 0,
                    last: None,
                }),
                messages: Arc::default(),
            })
            .collect();
        Ok(Self {
            replicas,
            links,
            clockwork,
        })
    }

    fn link(&self, from: ReplicaId, to: ReplicaId) -> Option<&Link> {
        let row = usize::from(from.0).checked_mul(usize::from(self.replicas))?;
        self.links.get(row.checked_add(usize::from(to.0))?)
    }

    fn with<T>(
        &self,
        from: ReplicaId,
        to: ReplicaId,
        work: impl FnOnce(&mut LinkState) -> T,
    ) -> Option<T> {
        let link = self.link(from, to)?;
        Some(work(
            &mut link.state.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Whether a message sent now arrives at once.
    pub(super) fn is_immediate(&self, from: ReplicaId, to: ReplicaId) -> bool {
        from == to || self.with(from, to, |link| link.is_immediate()) == Some(true)
    }

    /// Whether messages pass.
    pub(super) fn passes(&self, from: ReplicaId, to: ReplicaId) -> bool {
        from == to || self.with(from, to, |link| !link.cut) == Some(true)
    }

    /// How long a message takes.
    pub(super) fn delay(&self, from: ReplicaId, to: ReplicaId) -> Duration {
        self.with(from, to, |link| link.delay).unwrap_or_default()
    }

    /// Sets how long a message takes, one way.
    pub(super) fn set_delay(&self, from: ReplicaId, to: ReplicaId, delay: Duration) {
        self.with(from, to, |link| link.delay = delay);
    }

    /// Loses what is under way, and from now on everything.
    pub(super) fn cut(&self, from: ReplicaId, to: ReplicaId) {
        self.with(from, to, |link| {
            link.cut = true;
            link.epoch = link.epoch.saturating_add(1);
        });
    }

    pub(super) fn heal(&self, from: ReplicaId, to: ReplicaId) {
        self.with(from, to, |link| link.cut = false);
    }

    /// Loses what is under way.
    pub(super) fn lose(&self, from: ReplicaId, to: ReplicaId) {
        self.with(from, to, |link| link.epoch = link.epoch.saturating_add(1));
    }

    /// How many messages are under way, or not dealt with yet.
    pub(super) fn messages(&self, from: ReplicaId, to: ReplicaId) -> usize {
        self.link(from, to)
            .map_or(0, |link| link.messages.load(Relaxed))
    }

    /// Runs something at that time, on the thread of the links.
    pub(super) fn at(&self, due: Instant, work: impl FnOnce() + Send + 'static) {
        self.clockwork.wait_until(due, work);
    }

    /// Sends a message; it runs when it arrives, and is dropped if it is lost.
    pub(super) fn send(
        self: &Arc<Self>,
        from: ReplicaId,
        to: ReplicaId,
        message: impl FnOnce(Slot) + Send + 'static,
    ) {
        let Some(link) = self.link(from, to) else {
            return;
        };
        if link.messages.fetch_add(1, Relaxed) >= LINK_MESSAGES_MAX {
            link.messages.fetch_sub(1, Relaxed);
            return;
        }
        let slot = Slot(Arc::clone(&link.messages));
        if from == to {
            return message(slot);
        }
        let mut state = link.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.cut {
            return;
        }
        if state.is_immediate() {
            state.last = None;
            drop(state);
            return message(slot);
        }
        let arrival = Instant::now() + state.delay;
        let due = state.last.map_or(arrival, |last| last.max(arrival));
        state.last = Some(due);
        let epoch = state.epoch;
        let network = Arc::downgrade(self);
        // Under the link's lock, so that equal times keep the order of sending.
        self.clockwork.wait_until(due, move || {
            let arrives = network
                .upgrade()
                .is_some_and(|network| network.with(from, to, |link| link.epoch) == Some(epoch));
            if arrives {
                message(slot);
            }
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let mut waiting = self
            .clockwork
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        // Dropped outside the lock: what a message owns may send in its drop.
        let lost = std::mem::take(&mut waiting.heap);
        drop(waiting);
        self.clockwork.changed.notify_one();
        drop(lost);
    }
}

impl Clockwork {
    fn wait_until(&self, due: Instant, message: impl FnOnce() + Send + 'static) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return;
        }
        let sequence = waiting.sequence;
        waiting.sequence = sequence.saturating_add(1);
        let first = waiting
            .heap
            .peek()
            .is_none_or(|Reverse(entry)| due < entry.due);
        waiting.heap.push(Reverse(Entry {
            due,
            sequence,
            message: Box::new(message),
        }));
        drop(waiting);
        if first {
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while !waiting.closed {
            let now = Instant::now();
            let Some(Reverse(entry)) = waiting.heap.peek() else {
                waiting = self
                    .changed
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if entry.due > now {
                let wait = entry.due.saturating_duration_since(now);
                let woken = self.changed.wait_timeout(waiting, wait);
                waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let entry = waiting.heap.pop();
            drop(waiting);
            if let Some(Reverse(entry)) = entry {
                (entry.message)();
            }
            waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const A: ReplicaId = ReplicaId(0);
    const B: ReplicaId = ReplicaId(1);
    const PATIENCE: Duration = Duration::from_secs(10);

    fn network(rtt: Duration) -> Arc<Network> {
        Arc::new(Network::start(2, |_, _| rtt).unwrap())
    }

    #[test]
    fn a_message_takes_half_a_round_trip_and_none_overtakes_another() {
        let network = network(Duration::from_millis(40));
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        for number in 0..3 {
            let sender = sender.clone();
            network.send(A, B, move |_slot| sender.send(number).unwrap());
            network.set_delay(A, B, Duration::ZERO);
        }
        let arrived: Vec<i32> = (0..3)
            .map(|_| receiver.recv_timeout(PATIENCE).unwrap())
            .collect();
        assert_eq!(arrived, [0, 1, 2]);
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_link_without_delay_delivers_at_once() {
        let network = network(Duration::ZERO);
        let (sender, receiver) = mpsc::channel();
        network.send(A, B, move |_slot| sender.send(()).unwrap());
        assert_eq!(receiver.try_recv(), Ok(()));
    }

    #[test]
    fn a_cut_loses_what_is_under_way_and_works_one_way() {
        let network = network(Duration::from_millis(10));
        let (sender, receiver) = mpsc::channel();
        let back = sender.clone();
        let lost = sender.clone();
        network.send(A, B, move |_slot| lost.send("under way").unwrap());
        network.cut(A, B);
        assert!(!network.passes(A, B) && network.passes(B, A));
        network.heal(A, B);
        network.send(B, A, move |_slot| back.send("back").unwrap());
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok("back"));
        network.send(A, B, move |_slot| sender.send("after").unwrap());
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok("after"));
        assert_eq!(
            receiver.recv_timeout(PATIENCE),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }

    #[test]
    fn a_full_link_loses_messages() {
        let network = network(Duration::ZERO);
        let (sender, receiver) = mpsc::channel();
        for _ in 0..=LINK_MESSAGES_MAX {
            let sender = sender.clone();
            network.send(A, B, move |slot| sender.send(slot).unwrap());
        }
        assert_eq!(network.messages(A, B), LINK_MESSAGES_MAX);
        drop(receiver.recv().unwrap());
        assert_eq!(network.messages(A, B), LINK_MESSAGES_MAX - 1);
    }
}
