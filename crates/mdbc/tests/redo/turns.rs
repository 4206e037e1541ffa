//! Turns: what they cost, what they hand over, how they end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use mdbc::partition::Partition;
use mdbc::redo_log::{
    Access, Applied, Cause, Error, Footprint, LogFault, LogOptions, RedoLog, Ticket, Turn,
};
use mdbc::sites::{SiteList, SitesError};
use music_client::Outcome;
use music_store::fault::{Call, Fault, Faults};

use crate::sites::{
    LEASE, Sites, append, client, client_with, digests, own, partition, set, soon, writes,
};

#[tokio::test]
async fn a_turn_hands_over_what_other_sites_committed() {
    let sites = Sites::start().await;
    let mut applied = [const { None }; 3].map(|none: Option<Applied>| none.unwrap_or_default());
    let mut all = Vec::new();
    for round in 0..7 {
        let site = round % 3;
        let log = sites.log(site).await;
        let turn = own(&log, &["t"], &mut applied[site]).await.unwrap();
        let missed = digests(&turn);
        assert_eq!(missed, all[all.len() - missed.len()..]);
        assert_eq!(missed.len(), round.min(2) * 2);
        for number in 0..2 {
            let digest = format!("{round}.{number}");
            append(&turn, &["t"], &digest, &mut applied[site]).await;
            all.push(digest);
        }
        soon(turn.end()).await.unwrap();
    }
}

#[tokio::test]
async fn a_site_that_works_alone_pays_a_put_for_each_commit_and_nothing_else() {
    let faults = Faults::default();
    let sites = Sites::counted(&faults).await;
    let log = sites.log(0).await;
    let mut applied = Applied::default();
    // The first turn asks for the lock and reads; the second has the ticket kept.
    for _ in 0..2 {
        let turn = own(&log, &["t"], &mut applied).await.unwrap();
        append(&turn, &["t"], "first", &mut applied).await;
        soon(turn.end()).await.unwrap();
    }
    let count =
        || [Call::Write, Call::Read, Call::Apply, Call::Peek].map(|call| faults.calls(call));
    let before = count();
    for _ in 0..3 {
        let turn = own(&log, &["t"], &mut applied).await.unwrap();
        assert!(turn.missed().is_empty());
        append(&turn, &["t"], "more", &mut applied).await;
        soon(turn.prove(&set(&["t"]))).await.unwrap();
        soon(turn.end()).await.unwrap();
    }
    let after = count();
    assert_eq!(after[0] - before[0], 3, "a majority put for each");
    assert_eq!(after[1..], before[1..], "no read, no consensus");
}

#[tokio::test]
async fn an_entry_of_two_partitions_is_applied_whole_by_the_owner_of_one() {
    let sites = Sites::start().await;
    let (first, second) = (sites.log(0).await, sites.log(1).await);
    let mut applied = Applied::default();
    let turn = own(&first, &["a", "b"], &mut applied).await.unwrap();
    append(&turn, &["b"], "before", &mut applied).await;
    append(&turn, &["a", "b"], "both", &mut applied).await;
    append(&turn, &["b"], "after", &mut applied).await;
    soon(turn.end()).await.unwrap();
    let mut other = Applied::default();
    let turn = own(&second, &["a"], &mut other).await.unwrap();
    assert_eq!(digests(&turn), ["before", "both"]);
    drop(turn);
    let turn = own(&second, &["b"], &mut other).await.unwrap();
    assert_eq!(digests(&turn), ["after"]);
    assert_eq!(other, applied);
}

#[tokio::test]
async fn entries_under_way_at_once_are_in_the_order_in_which_they_were_appended() {
    let sites = Sites::start().await;
    let (first, second) = (sites.log(0).await, sites.log(1).await);
    let turn = own(&first, &["a", "b"], &mut Applied::default())
        .await
        .unwrap();
    let mut tickets = Vec::new();
    let plan = [
        ("a", "1"),
        ("b", "2"),
        ("ab", "3"),
        ("a", "4"),
        ("ab", "5"),
        ("b", "6"),
    ];
    for (of, digest) in plan {
        let names: Vec<String> = of.chars().map(String::from).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        tickets.push(
            turn.append(&writes(&names), Bytes::from(digest))
                .await
                .unwrap(),
        );
    }
    for ticket in tickets {
        soon(ticket.acknowledged()).await.unwrap();
    }
    drop(turn);
    let turn = own(&second, &["a", "b"], &mut Applied::default())
        .await
        .unwrap();
    let digests = digests(&turn);
    let of = |partition: char| {
        let is_of = |digest: &&String| {
            plan.iter()
                .any(|(names, of)| of == digest && names.contains(partition))
        };
        digests
            .iter()
            .filter(is_of)
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of('a'), of('b')),
        (vec!["1", "3", "4", "5"], vec!["2", "3", "5", "6"])
    );
}

/// Fails the next put and sees what becomes of entries.
async fn after_a_failed_put(fault: Fault) -> (Vec<Outcome>, Vec<String>) {
    let faults = Faults::default();
    let sites = Sites::counted(&faults).await;
    let log = sites.log(0).await;
    let mut applied = Applied::default();
    let turn = own(&log, &["t"], &mut applied).await.unwrap();
    append(&turn, &["t"], "before", &mut applied).await;
    // All attempts of one put.
    for _ in 0..8 {
        faults.next(Call::Write, fault);
    }
    let mut outcomes = Vec::new();
    let ticket = soon(turn.append(&writes(&["t"]), Bytes::from("failed")))
        .await
        .unwrap();
    outcomes.push(soon(ticket.acknowledged()).await.unwrap_err().outcome);
    let refused = soon(turn.append(&writes(&["t"]), Bytes::from("refused")))
        .await
        .unwrap_err();
    outcomes.push(refused.outcome);
    assert!(turn.is_due() && turn.broken().is_some());
    let _released = soon(turn.end()).await;
    faults.release_held();
    let next = sites.log(1).await;
    let read = async {
        loop {
            if let Ok(turn) = own(&next, &["t"], &mut Applied::default()).await {
                return digests(&turn);
            }
        }
    };
    (outcomes, soon(read).await)
}

#[tokio::test]
async fn an_entry_that_was_not_put_never_counts() {
    let (outcomes, digests) = after_a_failed_put(Fault::FailBefore).await;
    assert_eq!(outcomes[1], Outcome::NotApplied);
    assert_eq!(digests, ["before"]);
}

#[tokio::test]
async fn an_entry_whose_answer_is_lost_counts_though_nobody_knows() {
    let (outcomes, digests) = after_a_failed_put(Fault::LoseAnswer).await;
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::NotApplied]);
    assert_eq!(digests, ["before", "failed"]);
}

#[tokio::test]
async fn what_was_read_of_an_entry_that_failed_never_counts() {
    let faults = Faults::default();
    let sites = Sites::counted(&faults).await;
    let log = sites.log(0).await;
    let mut applied = Applied::default();
    let turn = own(&log, &["a", "b"], &mut applied).await.unwrap();
    append(&turn, &["a"], "before", &mut applied).await;
    for _ in 0..8 {
        faults.next(Call::Write, Fault::FailBefore);
    }
    let failed = soon(turn.append(&writes(&["a"]), Bytes::from("failed")))
        .await
        .unwrap();
    let footprint = Footprint {
        writes: set(&["b"]),
        reads: [partition("a")].into(),
    };
    let reader = soon(turn.append(&footprint, Bytes::from("reader")))
        .await
        .unwrap();
    soon(failed.acknowledged()).await.unwrap_err();
    let failure = soon(reader.acknowledged()).await.unwrap_err();
    assert_eq!(failure.outcome, Outcome::NotApplied);
    assert!(matches!(
        soon(turn.prove(&set(&["a"]))).await,
        Err(Error::Over(_))
    ));
}

#[tokio::test]
async fn a_turn_is_extended_where_nothing_was_missed() {
    let sites = Sites::start().await;
    let (first, second) = (sites.log(0).await, sites.log(1).await);
    let (mut applied, mut other) = (Applied::default(), Applied::default());
    let wait = Duration::from_secs(20);
    let turn = own(&first, &["b"], &mut applied).await.unwrap();
    let missed = soon(turn.extend(&set(&["a", "b"]), &applied, wait))
        .await
        .unwrap();
    assert_eq!((missed.len(), turn.partitions().len()), (0, 2));
    append(&turn, &["a", "b"], "both", &mut applied).await;
    let late = own(&second, &["c"], &mut other).await.unwrap();
    let short = Duration::from_millis(100);
    let refused = soon(late.extend(&set(&["a"]), &other, short)).await;
    assert!(
        matches!(refused, Err(Error::TimedOut { .. })),
        "{refused:?}"
    );
    soon(turn.end()).await.unwrap();
    let missed = soon(late.extend(&set(&["a"]), &other, wait)).await.unwrap();
    assert_eq!((missed.len(), late.partitions()), (1, vec![partition("c")]));
}

#[tokio::test]
async fn an_owner_whose_lock_was_forced_is_told_and_changes_nothing() {
    let sites = Sites::start().await;
    let log = sites.log(0).await;
    let mut applied = Applied::default();
    let turn = own(&log, &["t"], &mut applied).await.unwrap();
    append(&turn, &["t"], "before", &mut applied).await;
    let (key, admin) = (("mdbc_bank_log", "t/all"), client(&sites.urls[1]));
    let head = soon(admin.queue(key)).await.unwrap().tickets[0].number;
    assert!(soon(admin.force_ticket(key, head)).await.unwrap());
    let next = sites.log(1).await;
    let mut other = Applied::default();
    let later = own(&next, &["t"], &mut other).await.unwrap();
    append(&later, &["t"], "after", &mut other).await;
    let proved = soon(turn.prove(&set(&["t"]))).await;
    assert!(matches!(proved, Err(Error::Over(_))), "{proved:?}");
    let stale = soon(turn.append(&writes(&["t"]), Bytes::from("stale"))).await;
    assert!(matches!(stale, Err(ref failure) if matches!(failure.cause, Cause::Lost(_))));
    soon(later.end()).await.unwrap();
    let turn = own(&sites.log(2).await, &["t"], &mut Applied::default())
        .await
        .unwrap();
    assert_eq!(digests(&turn), ["before", "after"]);
}

#[tokio::test]
async fn bad_states_are_told_by_name() {
    let sites = Sites::start().await;
    let log = sites.log(0).await;
    let mut applied = Applied::default();
    let turn = own(&log, &["t"], &mut applied).await.unwrap();
    append(&turn, &["t"], "entry", &mut applied).await;
    soon(turn.end()).await.unwrap();
    let t = partition("t");
    let mut edited = applied.point(&t);
    edited.token += 1;
    let edited: Applied = [(t.clone(), edited)].into_iter().collect();
    let forked = soon(log.turn(
        &t.clone().into(),
        Access::Write,
        &edited,
        Duration::from_secs(9),
    ))
    .await;
    let forked = forked.map(|turn: Turn| turn.partitions()).unwrap_err();
    let Error::Fault(LogFault::Forked {
        partition,
        position: 1,
    }) = forked
    else {
        panic!("{forked}");
    };
    assert_eq!(partition, t);
    let list = SiteList::new(1, ["ohio", sites.names[1].as_str()]).unwrap();
    let options = LogOptions {
        sites: list,
        ..sites.options(1)
    };
    // As soon as it hears of the other one's list.
    let refused = async {
        loop {
            let log = RedoLog::open(client(&sites.urls[1]), options.clone()).await;
            if let Err(error) = log {
                return error;
            }
        }
    };
    let refused = soon(refused).await;
    assert!(
        matches!(refused, Error::Sites(SitesError::Disagree { .. })),
        "{refused:?}"
    );
    let name: Result<Partition, _> = String::new().try_into();
    assert!(name.is_err());
}

#[tokio::test]
async fn a_follower_applies_what_is_known_to_be_committed_without_owning_it() {
    let sites = Sites::start().await;
    let (first, second) = (sites.log(0).await, sites.log(1).await);
    let mut applied = Applied::default();
    let turn = own(&first, &["a", "b"], &mut applied).await.unwrap();
    append(&turn, &["a"], "one", &mut applied).await;
    append(&turn, &["a", "b"], "two", &mut applied).await;
    soon(turn.end()).await.unwrap();
    let mut other = Applied::default();
    let follow = async {
        while other != applied {
            let entries = second.follow([partition("a")], &other).await.unwrap();
            for entry in &entries {
                other.advance(entry);
            }
        }
    };
    soon(follow).await;
    let reports = soon(second.sites().publish_applied(&other, 1)).await;
    reports.unwrap();
    let status = soon(second.status(&partition("b"))).await.unwrap();
    assert_eq!(
        (status.committed, status.entries),
        (other.point(&partition("b")), 1)
    );
    assert_eq!(
        status.sites[second.sites().own()],
        other.point(&partition("b"))
    );
    // Nothing was missed, though this site never had a turn.
    let turn = own(&second, &["a"], &mut other).await.unwrap();
    assert_eq!(digests(&turn), Vec::<String>::new());
}

#[tokio::test]
async fn sites_that_read_do_so_at_the_same_time() {
    let sites = Sites::start().await;
    let mut applied = Applied::default();
    let first = sites.log(0).await;
    let turn = own(&first, &["t"], &mut applied).await.unwrap();
    append(&turn, &["t"], "entry", &mut applied).await;
    soon(turn.end()).await.unwrap();
    let (second, third) = (sites.log(1).await, sites.log(2).await);
    let wait = Duration::from_secs(20);
    let (t, none) = (set(&["t"]), Applied::default());
    let one = soon(second.turn(&t, Access::Read, &none, wait))
        .await
        .unwrap();
    let two = soon(third.turn(&t, Access::Read, &none, wait))
        .await
        .unwrap();
    for turn in [&one, &two] {
        assert!(turn.is_shared());
        assert_eq!(digests(turn), ["entry"]);
        soon(turn.prove(&t)).await.unwrap();
        let refused = soon(turn.append(&writes(&["t"]), Bytes::new()))
            .await
            .unwrap_err();
        assert!(matches!(refused.cause, Cause::ReadOnly), "{refused}");
    }
    let soon_over = Duration::from_millis(50);
    let writer = soon(first.turn(&t, Access::Write, &applied, soon_over)).await;
    assert!(matches!(writer, Err(Error::TimedOut { .. })), "{writer:?}");
    soon(one.end()).await.unwrap();
    soon(two.end()).await.unwrap();
    let turn = own(&first, &["t"], &mut applied).await.unwrap();
    append(&turn, &["t"], "more", &mut applied).await;
}

/// A turn of three partitions whose next put is held, and then one elsewhere.
struct Held {
    faults: Faults,
    sites: Sites,
    log: RedoLog,
    turn: Turn,
}

impl Held {
    async fn start() -> Self {
        Self::with(Duration::from_secs(9)).await
    }

    /// The same, whose puts fail when they are held for that long.
    async fn with(timeout: Duration) -> Self {
        let faults = Faults::default();
        let sites = Sites::counted(&faults).await;
        let client = client_with(&sites.urls[0], LEASE, timeout);
        let log = soon(RedoLog::open(client, sites.options(0))).await.unwrap();
        let turn = own(&log, &["a", "b", "c"], &mut Applied::default())
            .await
            .unwrap();
        faults.next(Call::Write, Fault::HoldRequest);
        Self {
            faults,
            sites,
            log,
            turn,
        }
    }

    async fn append(&self, footprint: &Footprint) -> Ticket {
        soon(self.turn.append(footprint, Bytes::from("x")))
            .await
            .unwrap()
    }

    /// Waits until the put is held, and until one that was begun later is done.
    async fn held(&self) {
        soon(self.faults.held(1)).await;
        let later = self.append(&writes(&["c"])).await;
        soon(later.acknowledged()).await.unwrap();
    }

    /// How many entries of a partition the replica of the site has.
    async fn entries(&self, name: &str) -> usize {
        soon(self.log.status(&partition(name)))
            .await
            .unwrap()
            .entries
    }

    /// Waits until the replica of the site has an entry of a partition.
    async fn comes(&self, name: &str) {
        let comes = async { while self.entries(name).await == 0 {} };
        soon(comes).await;
    }

    async fn release(self, tickets: Vec<Ticket>) {
        self.faults.release_held();
        for ticket in tickets {
            soon(ticket.acknowledged()).await.unwrap();
        }
        soon(self.turn.end()).await.unwrap();
        let log = self.sites.log(1).await;
        let turn = own(&log, &["a", "b"], &mut Applied::default())
            .await
            .unwrap();
        assert_eq!(turn.missed().len(), 2, "those of c are not asked for");
    }
}

#[tokio::test]
async fn an_entry_is_put_when_what_it_read_is_acknowledged() {
    let held = Held::start().await;
    let first = held.append(&writes(&["a"])).await;
    soon(held.faults.held(1)).await;
    let reader = Footprint {
        writes: set(&["b"]),
        reads: [partition("a")].into(),
    };
    let reader = held.append(&reader).await;
    held.held().await;
    assert_eq!(held.entries("b").await, 0);
    held.release(vec![first, reader]).await;
}

#[tokio::test]
async fn a_commit_point_is_put_when_what_comes_before_is_acknowledged() {
    let held = Held::start().await;
    let first = held.append(&writes(&["b"])).await;
    soon(held.faults.held(1)).await;
    let both = held.append(&writes(&["a", "b"])).await;
    held.held().await;
    held.comes("b").await;
    assert_eq!(held.entries("a").await, 0);
    held.release(vec![first, both]).await;
}

#[tokio::test]
async fn a_commit_point_is_put_when_the_entry_is_prepared_elsewhere() {
    let held = Held::start().await;
    let both = held.append(&writes(&["a", "b"])).await;
    held.held().await;
    assert_eq!((held.entries("a").await, held.entries("b").await), (0, 0));
    let after = held.append(&writes(&["b"])).await;
    held.release(vec![both, after]).await;
}

#[tokio::test]
async fn an_entry_is_acknowledged_when_what_comes_before_is() {
    let held = Held::start().await;
    let first = held.append(&writes(&["a"])).await;
    soon(held.faults.held(1)).await;
    let second = held.append(&writes(&["a"])).await;
    held.held().await;
    held.comes("a").await;
    let mut second = Box::pin(second.acknowledged());
    assert!((&mut second).now_or_never().is_none());
    held.release(vec![first]).await;
    soon(second).await.unwrap();
}

#[tokio::test]
async fn an_entry_of_several_partitions_never_counts_behind_one_that_failed() {
    let held = Held::with(Duration::from_millis(300)).await;
    let first = held.append(&writes(&["b"])).await;
    soon(held.faults.held(1)).await;
    let both = held.append(&writes(&["a", "b"])).await;
    let unknown = soon(first.acknowledged()).await.unwrap_err();
    assert_eq!(unknown.outcome, Outcome::Unknown);
    let failure = soon(both.acknowledged()).await.unwrap_err();
    assert_eq!(failure.outcome, Outcome::NotApplied);
    assert_eq!(held.entries("a").await, 0, "no commit point");
}

#[tokio::test]
async fn a_site_that_reads_alone_pays_nothing_after_a_while() {
    let faults = Faults::default();
    let sites = Sites::counted(&faults).await;
    let log = sites.log(0).await;
    let (t, none, wait) = (set(&["t"]), Applied::default(), Duration::from_secs(20));
    let mut costs = Vec::new();
    for _ in 0..8 {
        let calls = [Call::Read, Call::Apply, Call::Peek];
        let before = calls.map(|call| faults.calls(call));
        let turn = soon(log.turn(&t, Access::Read, &none, wait)).await.unwrap();
        soon(turn.prove(&t)).await.unwrap();
        soon(turn.end()).await.unwrap();
        costs.push(before != calls.map(|call| faults.calls(call)));
    }
    assert!(costs[0] && !costs[7], "{costs:?}");
}
