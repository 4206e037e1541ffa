//! Proof of life: a node raises one counter at a majority, however many locks
//! it keeps, and watches the counters of those that are ahead of its waiters.
//!
//! ```text
//!  owner    raise 7 ───────── raise 8 ───────── ✗ (paused)
//!           └─ lease ──────▶  └─ lease ──────▶ takes all its tickets for lost
//!  watcher  sees 7    sees 8  · · unchanged for a lease and a quarter ─▶ force
//! ```
//!
//! The owner counts its lease from when the successful raise *began*, by its
//! own clock; the watcher from when it first saw the counter, by its own. So
//! an owner gives up before anyone forces it, as long as the rates (not the
//! readings) of clocks differ by less than a quarter. This decides only when
//! others go on and what is acknowledged; which write wins rests on stamps.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::SessionId;
use crate::mutation::{self, Mutation};
use crate::time::{Lease, MonotonicTime};

/// A node's own proof of life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeSession {
    id: SessionId,
    lease: Lease,
    counter: u64,
    /// When the last successful raise began.
    raised_at: Option<MonotonicTime>,
}

impl NodeSession {
    /// A session that nobody has heard of yet.
    pub fn new(id: SessionId, lease: Lease) -> Self {
        Self {
            id,
            lease,
            counter: 0,
            raised_at: None,
        }
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// How long it may go unheard.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// The counter to write at a majority now.
    pub fn raise(&mut self) -> u64 {
        self.counter = self.counter.saturating_add(1);
        self.counter
    }

    /// The raise that began at `began` was acknowledged by a majority, which
    /// is known from `now` on.
    ///
    /// It comes too late for a session that is over: watchers may have read
    /// the counter before it, and forced.
    pub fn raised(&mut self, began: MonotonicTime, now: MonotonicTime) {
        let began = if mutation::is_on(Mutation::LeaseFromAnswer) {
            now
        } else {
            began
        };
        if !self.is_over(now) || mutation::is_on(Mutation::LeaseRevived) {
            self.raised_at = self.raised_at.max(Some(began));
        }
    }

    /// Until when the lease is valid, exclusive; the start of time before the
    /// first raise.
    pub fn valid_until(&self) -> MonotonicTime {
        self.raised_at
            .map_or(MonotonicTime::default(), |at| at.after(self.lease.get()))
    }

    /// Whether it was valid once and is not any more: its tickets are taken
    /// for lost, and the node needs a new session.
    pub fn is_over(&self, now: MonotonicTime) -> bool {
        self.raised_at.is_some() && now >= self.valid_until()
    }

    /// How long after the begin of one raise the next is due.
    pub fn raise_interval(&self) -> Duration {
        self.lease.renewal_interval()
    }
}

/// What a node has seen of one other session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    lease: Lease,
    /// `None` until it was read once; 0 where no counter was found.
    counter: Option<u64>,
    /// Since when the counter is what it is, by the watcher's clock.
    unchanged_since: MonotonicTime,
    /// When the last read began that found it unchanged.
    unchanged_at: MonotonicTime,
    /// Until when somebody here is interested.
    wanted_until: MonotonicTime,
}

/// The sessions ahead of a node's waiters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observer {
    sessions: BTreeMap<SessionId, Seen>,
}

/// How many sessions one node observes at a time; there are as many as nodes.
pub const OBSERVED_SESSIONS_MAX: usize = 1024;

impl Observer {
    /// Observes a session from now on, until `wanted_until` at least.
    ///
    /// Past [`OBSERVED_SESSIONS_MAX`] sessions a new one is not observed yet.
    pub fn observe(
        &mut self,
        session: SessionId,
        lease: Lease,
        now: MonotonicTime,
        wanted_until: MonotonicTime,
    ) {
        if let Some(seen) = self.sessions.get_mut(&session) {
            seen.wanted_until = seen.wanted_until.max(wanted_until);
        } else if self.sessions.len() < OBSERVED_SESSIONS_MAX {
            let seen = Seen {
                lease,
                counter: None,
                unchanged_since: now,
                unchanged_at: now,
                wanted_until,
            };
            self.sessions.insert(session, seen);
        }
    }

    /// The sessions whose counters are to be read; others are forgotten.
    pub fn due(&mut self, now: MonotonicTime) -> Vec<SessionId> {
        self.sessions.retain(|_, seen| now < seen.wanted_until);
        self.sessions.keys().copied().collect()
    }

    /// Takes in a counter that a majority read gave, 0 where none was found.
    ///
    /// A change is dated late, when the answer came (`now`); that there was
    /// none is dated early, when the question went out (`began`).
    pub fn read(
        &mut self,
        session: SessionId,
        counter: u64,
        began: MonotonicTime,
        now: MonotonicTime,
    ) {
        let Some(seen) = self.sessions.get_mut(&session) else {
            return;
        };
        if seen.counter.is_none_or(|before| before < counter) {
            seen.counter = Some(counter);
            seen.unchanged_since = if mutation::is_on(Mutation::ChangedAtQuestion) {
                began
            } else {
                now
            };
        }
        let unchanged_at = if mutation::is_on(Mutation::UnchangedAtAnswer) {
            now
        } else {
            began
        };
        seen.unchanged_at = seen.unchanged_at.max(unchanged_at);
    }

    /// Whether the session has gone unheard for a lease and a quarter.
    pub fn is_suspect(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|seen| {
            let unchanged = seen.unchanged_at.since(seen.unchanged_since);
            seen.counter.is_some() && unchanged >= seen.lease.suspicion_after()
        })
    }

    /// All sessions that have gone unheard for a lease and a quarter.
    pub fn suspects(&self) -> Vec<SessionId> {
        let suspect = |session: &SessionId| self.is_suspect(*session);
        self.sessions.keys().copied().filter(suspect).collect()
    }

    /// Whether any session is observed.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: SessionId = SessionId(7);

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_start(Duration::from_millis(ms))
    }

    fn lease(ms: u64) -> Lease {
        Lease::new(Duration::from_millis(ms)).unwrap()
    }

    #[test]
    fn a_lease_counts_from_when_the_successful_raise_began() {
        let mut session = NodeSession::new(OWNER, lease(1000));
        assert_eq!(session.valid_until(), at(0));
        assert!(!session.is_over(at(5000)), "it was never valid");
        session.raise();
        session.raised(at(100), at(300));
        assert_eq!(session.valid_until(), at(1100));
        assert!(!session.is_over(at(1099)));
        assert!(session.is_over(at(1100)));
    }

    #[test]
    fn a_late_answer_to_an_early_raise_does_not_shorten_the_lease() {
        let mut session = NodeSession::new(OWNER, lease(1000));
        session.raised(at(400), at(500));
        session.raised(at(100), at(600));
        assert_eq!(session.valid_until(), at(1400));
    }

    #[test]
    fn a_raise_acknowledged_after_the_lease_ran_out_does_not_revive_the_session() {
        let mut session = NodeSession::new(OWNER, lease(1000));
        session.raised(at(0), at(10));
        session.raised(at(500), at(1000));
        assert!(session.is_over(at(1000)));
    }

    #[test]
    fn an_owner_unchanged_for_a_lease_and_a_quarter_is_suspect() {
        let mut observer = Observer::default();
        observer.observe(OWNER, lease(1000), at(0), at(2000));
        observer.read(OWNER, 3, at(40), at(50));
        observer.read(OWNER, 3, at(1299), at(1400));
        assert!(!observer.is_suspect(OWNER));
        observer.read(OWNER, 3, at(1300), at(1310));
        assert!(observer.is_suspect(OWNER));
        observer.read(OWNER, 4, at(1390), at(1400));
        assert!(!observer.is_suspect(OWNER));
    }

    #[test]
    fn an_owner_that_the_watcher_could_not_read_is_not_suspect() {
        let mut observer = Observer::default();
        observer.observe(OWNER, lease(1000), at(0), at(2000));
        assert!(!observer.is_suspect(OWNER));
        observer.read(OWNER, 3, at(40), at(50));
        // The watcher itself was paused or cut off here; then it reads again.
        observer.read(OWNER, 9, at(900_000), at(900_010));
        assert!(!observer.is_suspect(OWNER));
    }

    #[test]
    fn an_owner_that_never_proved_life_becomes_suspect() {
        let mut observer = Observer::default();
        observer.observe(OWNER, lease(1000), at(0), at(2000));
        observer.read(OWNER, 0, at(0), at(10));
        observer.read(OWNER, 0, at(1260), at(1270));
        assert_eq!(observer.suspects(), [OWNER]);
    }

    #[test]
    fn a_session_that_nobody_asks_for_is_forgotten() {
        let mut observer = Observer::default();
        observer.observe(OWNER, lease(1000), at(0), at(2000));
        assert_eq!(observer.due(at(1999)), [OWNER]);
        assert_eq!(observer.due(at(2000)), []);
        assert!(observer.is_idle());
    }

    #[test]
    fn an_owner_gives_up_before_it_is_forced_where_rates_differ_by_less_than_a_quarter() {
        let mut session = NodeSession::new(OWNER, lease(1000));
        session.raised(at(0), at(0));
        let mut observer = Observer::default();
        observer.observe(OWNER, lease(1000), at(0), at(2000));
        observer.read(OWNER, 1, at(0), at(0));
        let watcher_forces = (0..10_000)
            .find(|ms| {
                observer.read(OWNER, 1, at(*ms), at(*ms));
                observer.is_suspect(OWNER)
            })
            .unwrap();
        // The owner's clock runs slow by a factor just under 5/4.
        let owner_sees = watcher_forces * 1000 / 1249;
        assert!(session.is_over(at(owner_sees)));
    }
}
