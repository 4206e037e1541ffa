//! Histories that are bad in each of the known ways, and some that are not.

use proptest::prelude::*;

use super::*;

/// A transaction from text: `x+1` appends, `y=1,2` reads.
fn transaction((begun_us, ended_us): (u64, u64), text: &str) -> Transaction {
    let step = |step: &str| {
        if let Some((list, element)) = step.split_once('+') {
            return Step::Append {
                list: list.to_owned(),
                element: element.parse().unwrap(),
            };
        }
        let (list, elements) = step.split_once('=').unwrap();
        let elements = elements.split(',').filter(|element| !element.is_empty());
        Step::Read {
            list: list.to_owned(),
            elements: elements.map(|element| element.parse().unwrap()).collect(),
        }
    };
    Transaction {
        begun_us,
        ended_us,
        outcome: Outcome::Committed,
        steps: text.split(' ').map(step).collect(),
    }
}

/// Transactions that all overlap.
fn together(texts: &[&str]) -> Vec<Transaction> {
    texts.iter().map(|text| transaction((0, 9), text)).collect()
}

/// Transactions one after the other.
fn in_turn(texts: &[&str]) -> Vec<Transaction> {
    let turn = |(n, text): (u64, &&str)| transaction((n * 10, n * 10 + 5), text);
    (0..).zip(texts).map(turn).collect()
}

fn edges(history: &[Transaction]) -> Vec<Edge> {
    match judge(history).breaches.as_slice() {
        [Breach::Cycle(cycle)] => cycle.iter().map(|(_, edge)| *edge).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_happened_one_after_the_other_is_fine() {
    let verdict = judge(&in_turn(&["x+1", "x=1 y+2", "x+3 x=1,3", "y=2 x=1,3"]));
    assert_eq!(
        (verdict.checked, verdict.reads, verdict.breaches),
        (4, 4, vec![])
    );
}

#[test]
fn what_overlaps_may_be_in_any_order() {
    assert_eq!(
        judge(&together(&["x+1 y=", "x= y+2", "x=1 y=2"]))
            .breaches
            .len(),
        1
    );
    assert_eq!(
        judge(&together(&["x+1 y=", "x=1 y+2", "x=1 y=2"])).breaches,
        []
    );
}

#[test]
fn a_stale_read_is_found() {
    assert_eq!(
        edges(&in_turn(&["x+1", "x="])),
        [Edge::RealTime, Edge::ReadWrite]
    );
}

#[test]
fn a_lost_append_is_found() {
    let edges = edges(&in_turn(&["x+1", "x+2", "x=2"]));
    assert!(
        edges.contains(&Edge::RealTime) && edges.contains(&Edge::WriteWrite),
        "{edges:?}"
    );
}

#[test]
fn an_order_against_real_time_is_found() {
    assert_eq!(
        edges(&in_turn(&["x+1", "x+2", "x=2,1"])),
        [Edge::RealTime, Edge::WriteWrite]
    );
}

#[test]
fn write_skew_is_found() {
    let skew = together(&["x= y+1", "y= x+2", "x=2 y=1"]);
    assert_eq!(edges(&skew), [Edge::ReadWrite, Edge::ReadWrite]);
}

#[test]
fn a_lost_update_is_found() {
    let lost = together(&["x= x+1", "x= x+2", "x=1,2"]);
    assert_eq!(edges(&lost), [Edge::WriteWrite, Edge::ReadWrite]);
}

#[test]
fn a_circle_of_reads_is_found() {
    let circle = together(&["x+1 y=2", "y+2 x=1"]);
    assert_eq!(edges(&circle), [Edge::WriteRead, Edge::WriteRead]);
}

#[test]
fn a_circle_of_writes_is_found() {
    let circle = together(&["x+1 y+2", "x+3 y+4", "x=1,3", "y=4,2"]);
    assert_eq!(edges(&circle), [Edge::WriteWrite, Edge::WriteWrite]);
}

#[test]
fn a_long_fork_is_found() {
    let fork = together(&["x+1", "y+2", "x=1 y=", "x= y=2"]);
    assert_eq!(edges(&fork).len(), 4);
}

#[test]
fn a_half_of_a_transaction_is_found() {
    let half = together(&["x+1 y+2", "x=1 y="]);
    assert_eq!(edges(&half), [Edge::WriteRead, Edge::ReadWrite]);
}

#[test]
fn an_aborted_read_is_found() {
    let mut history = together(&["x+1", "x=1"]);
    history[0].outcome = Outcome::NotApplied;
    let [
        Breach::AbortedRead {
            writer: 0,
            reader: 1,
            ..
        },
    ] = *judge(&history).breaches
    else {
        panic!("it is found");
    };
}

#[test]
fn an_intermediate_read_is_found() {
    let breaches = judge(&together(&["x+1 x+2", "x=1"])).breaches;
    let list = "x".to_owned();
    assert_eq!(
        breaches,
        [Breach::IntermediateRead {
            reader: 1,
            list,
            writer: 0
        }]
    );
}

#[test]
fn reads_that_exclude_each_other_are_found() {
    for bad in [
        ["x+1", "x+2", "x=1,2", "x=2,1"],
        ["x+1", "x+2", "x=1", "x=2"],
    ] {
        let breaches = judge(&together(&bad)).breaches;
        assert!(
            matches!(breaches[..], [Breach::Incompatible { .. }]),
            "{breaches:?}"
        );
    }
    let breaches = judge(&together(&["x+1", "x=1,1"])).breaches;
    assert!(
        matches!(breaches[..], [Breach::Incompatible { .. }]),
        "{breaches:?}"
    );
}

#[test]
fn what_nobody_appended_is_found() {
    for bad in [["x+1", "x=7"], ["y+1", "x=1"]] {
        let breaches = judge(&together(&bad)).breaches;
        assert!(
            matches!(breaches[..], [Breach::FromNowhere { .. }]),
            "{breaches:?}"
        );
    }
    let breaches = judge(&together(&["x+1", "x+1"])).breaches;
    assert!(
        matches!(breaches[..], [Breach::AppendedTwice { .. }]),
        "{breaches:?}"
    );
}

#[test]
fn a_transaction_that_does_not_see_itself_is_found() {
    for bad in ["x+1 x=", "x=2 x=", "x+1 x+3 x=3,1"] {
        let breaches = judge(&together(&["x+2", bad])).breaches;
        assert!(
            breaches
                .iter()
                .any(|breach| matches!(breach, Breach::Internal { reader: 1, .. })),
            "{bad}: {breaches:?}"
        );
    }
}

#[test]
fn an_unknown_outcome_may_be_either() {
    for reads in ["x=", "x=1"] {
        let mut history = in_turn(&["x+1", reads]);
        history[0].outcome = Outcome::Unknown;
        assert_eq!(judge(&history).breaches, [], "{reads}");
    }
    let mut both = in_turn(&["x+1", "x=1", "x="]);
    both[0].outcome = Outcome::Unknown;
    assert_eq!(
        edges(&both),
        [Edge::WriteRead, Edge::RealTime, Edge::ReadWrite]
    );
}

/// A history of transactions that each ran at one moment of their time.
fn serial(plan: &[(u8, u8, u8)]) -> Vec<Transaction> {
    let mut lists: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let run = |(n, (which, before, after)): (u64, &(u8, u8, u8))| {
        let names = ["x", "y", "z"].iter().enumerate();
        let chosen = names.filter(|(bit, _)| which & (1 << bit) != 0);
        let mut steps = Vec::new();
        for (bit, name) in chosen {
            let list = (*name).to_owned();
            let elements = lists.entry(list.clone()).or_default();
            steps.push(Step::Read {
                list: list.clone(),
                elements: elements.clone(),
            });
            if which & (8 << bit) != 0 {
                let element = n * 4 + u64::try_from(bit).unwrap();
                elements.push(element);
                steps.push(Step::Append { list, element });
            }
        }
        let at = (n + 10) * 100;
        Transaction {
            begun_us: at - u64::from(*before),
            ended_us: at + u64::from(*after),
            outcome: Outcome::Committed,
            steps,
        }
    };
    (0..).zip(plan).map(run).collect()
}

proptest! {
    #[test]
    fn a_history_that_ran_in_some_order_passes(
        plan in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..60),
    ) {
        prop_assert_eq!(judge(&serial(&plan)).breaches, vec![]);
    }

    /// A read that is as old as before an answer that came before it began.
    #[test]
    fn a_read_that_is_too_old_never_passes(
        plan in proptest::collection::vec(any::<(u8, u8, u8)>(), 1..40), lag in 1..10_usize,
    ) {
        let mut history = serial(&plan);
        let place = history.iter().position(|one| {
            one.steps.iter().any(|step| matches!(step, Step::Append { .. }))
        });
        let Some(place) = place else { return Ok(()) };
        let Some(Step::Append { list, .. }) = history[place].steps.iter()
            .find(|step| matches!(step, Step::Append { .. })).cloned() else { return Ok(()) };
        let at = u64::try_from(plan.len() + 10 + lag).unwrap() * 100 + 1_000;
        let elements = Vec::new();
        history.push(Transaction {
            begun_us: at, ended_us: at + 1, outcome: Outcome::Committed,
            steps: vec![Step::Read { list, elements }],
        });
        prop_assert_eq!(judge(&history).breaches.len(), 1);
    }
}
