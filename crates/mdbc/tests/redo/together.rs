//! Slots of a log that go together.

use bytes::Bytes;
use mdbc::redo_log::{Applied, RedoLog, Ticket, Turn};
use music_client::Outcome;
use music_store::fault::{Call, Fault, Faults};

use crate::sites::{Sites, digests, own, soon, writes};

/// A turn whose first puts are held, as many as may be under way, with seven entries.
struct Together {
    faults: Faults,
    sites: Sites,
    _log: RedoLog,
    turn: Turn,
    tickets: Vec<Ticket>,
    puts_before: u64,
}

/// Puts of a log that may be under way.
const UNDER_WAY: usize = 4;
const ALL: [&str; 7] = ["1", "2", "3", "4", "5", "6", "7"];

impl Together {
    async fn start() -> Self {
        let faults = Faults::default();
        let sites = Sites::counted(&faults).await;
        let log = sites.log(0).await;
        let turn = own(&log, &["t"], &mut Applied::default()).await.unwrap();
        let puts_before = faults.calls(Call::Write);
        let (mut tickets, touched) = (Vec::new(), writes(&["t"]));
        for (number, digest) in (1..).zip(ALL) {
            let is_held = number <= UNDER_WAY;
            if is_held {
                faults.next(Call::Write, Fault::HoldRequest);
            }
            let append = turn.append(&touched, Bytes::from(digest));
            tickets.push(soon(append).await.unwrap());
            if is_held {
                soon(faults.held(number)).await;
            }
        }
        Self {
            faults,
            sites,
            _log: log,
            turn,
            tickets,
            puts_before,
        }
    }

    /// How the entries end, when the puts are not held any more.
    async fn outcomes(&mut self) -> Vec<Option<Outcome>> {
        self.faults.release_held();
        let mut outcomes = Vec::new();
        for ticket in self.tickets.drain(..) {
            let acknowledged = soon(ticket.acknowledged()).await;
            outcomes.push(acknowledged.err().map(|failure| failure.outcome));
        }
        outcomes
    }

    /// What another site finds.
    async fn found(self) -> Vec<String> {
        drop(self.turn);
        let next = self.sites.log(1).await;
        let read = async {
            loop {
                if let Ok(turn) = own(&next, &["t"], &mut Applied::default()).await {
                    return digests(&turn);
                }
            }
        };
        soon(read).await
    }
}

#[tokio::test]
async fn slots_that_come_while_puts_are_under_way_are_one_put() {
    let mut together = Together::start().await;
    assert_eq!(together.outcomes().await, [None; 7]);
    let puts = together.faults.calls(Call::Write) - together.puts_before;
    assert_eq!(puts, 5);
    assert_eq!(together.found().await, ALL);
}

#[tokio::test]
async fn where_the_answer_of_several_is_lost_each_is_unknown_and_all_are_there() {
    let mut together = Together::start().await;
    // As often as the client tries.
    for _ in 0..3 {
        together.faults.next(Call::Write, Fault::LoseAnswer);
    }
    let outcomes = together.outcomes().await;
    assert_eq!(outcomes[..UNDER_WAY], [None; UNDER_WAY]);
    assert_eq!(outcomes[UNDER_WAY..], [Some(Outcome::Unknown); 3]);
    assert_eq!(together.faults.planned(), 0);
    assert_eq!(together.found().await, ALL);
}

/// Waits until so many puts have begun.
async fn begun(faults: &Faults, puts: u64) {
    let wait = async {
        while faults.calls(Call::Write) < puts {
            tokio::task::yield_now().await;
        }
    };
    soon(wait).await;
}

#[tokio::test]
async fn entries_of_the_same_partitions_do_not_wait_for_each_other() {
    let faults = Faults::default();
    let sites = Sites::counted(&faults).await;
    let log = sites.log(0).await;
    let all = ["a", "b", "c"];
    let turn = own(&log, &all, &mut Applied::default()).await.unwrap();
    let before = faults.calls(Call::Write);
    let append = async |names: &[&str], digest: &'static str| {
        let touched = writes(names);
        let append = turn.append(&touched, Bytes::from(digest));
        soon(append).await.unwrap()
    };
    faults.next(Call::Write, Fault::HoldRequest);
    let mut tickets = vec![append(&["a", "b"], "1").await];
    soon(faults.held(1)).await;
    // Its prepared slot is put; the put of its commit point is held.
    faults.next(Call::Write, Fault::HoldRequest);
    faults.release_held();
    soon(faults.held(1)).await;
    tickets.push(append(&["a", "b"], "2").await);
    begun(&faults, before + 4).await;
    // One of other partitions has its prepared slots put, and no commit point.
    tickets.push(append(&all, "3").await);
    begun(&faults, before + 6).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(faults.calls(Call::Write), before + 6);
    faults.release_held();
    for ticket in tickets {
        soon(ticket.acknowledged()).await.unwrap();
    }
    assert_eq!(faults.calls(Call::Write), before + 7);
}
