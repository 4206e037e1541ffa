//! Nobody crosses before all have arrived; a party crosses each time once, and
//! one of them is the last.
//!
//! A party that died, or was told of a failure, may have arrived all the same,
//! and be counted at any later crossing.

use std::collections::{BTreeMap, BTreeSet};

use crate::recipes::log::{Answer, Ask, Barrier, Op};

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut breaches = Vec::new();
    for double in [false, true] {
        let crossings: Vec<&Op> = ops.iter().filter(|op| is_of(op, double)).collect();
        let mut numbers: BTreeMap<u64, Vec<&Op>> = BTreeMap::new();
        for op in &crossings {
            if let Some((number, _)) = crossed(op) {
                numbers.entry(number).or_default().push(op);
            }
        }
        for (number, through) in &numbers {
            breaches.extend(breaches_of(&crossings, *number, through));
        }
        breaches.extend(goes_back(&crossings));
    }
    breaches
}

fn is_of(op: &Op, double: bool) -> bool {
    matches!(op.ask, Ask::Cross { barrier, .. } if (barrier != Barrier::Single) == double)
}

fn crossed(op: &Op) -> Option<(u64, bool)> {
    match op.answer {
        Some(Answer::Crossed { number, last }) => Some((number, last)),
        _ => None,
    }
}

fn breaches_of(crossings: &[&Op], number: u64, through: &[&Op]) -> Vec<String> {
    let mut breaches = Vec::new();
    let first = through.iter().min_by_key(|op| op.ended);
    let needed = first.map_or(0, |op| parties(op));
    let at = first.map_or(0, |op| op.ended);
    let may_count = |op: &&&Op| match crossed(op) {
        Some((crossed, _)) => crossed == number,
        None => op.is_possible(),
    };
    let arrived: BTreeSet<_> = crossings
        .iter()
        .filter(|op| op.begun < at)
        .filter(may_count)
        .map(|op| party(op))
        .collect();
    if arrived.len() < needed {
        breaches.push(format!(
            "{number} is crossed when {} of {needed} parties can have arrived",
            arrived.len()
        ));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = through.iter().find(|op| !seen.insert(party(op))) {
        breaches.push(format!("party {} crosses {number} twice", party(twice)));
    }
    let last = through
        .iter()
        .filter(|op| crossed(op).is_some_and(|(_, last)| last));
    if last.count() > 1 {
        breaches.push(format!("several are the last at {number}"));
    }
    let fits = |op: &&&Op| match op.ask {
        Ask::Cross {
            barrier: Barrier::Enter,
            ..
        } => number % 2 == 1,
        Ask::Cross {
            barrier: Barrier::Leave,
            ..
        } => number.is_multiple_of(2),
        _ => true,
    };
    if through.iter().filter(fits).count() < through.len() {
        breaches.push(format!("{number} is crossed in the wrong direction"));
    }
    breaches
}

/// Who arrives when a crossing is over goes through a later one.
fn goes_back(crossings: &[&Op]) -> Option<String> {
    crossings.iter().find_map(|later| {
        let (number, _) = crossed(later)?;
        let earlier = crossings.iter().filter(|earlier| earlier.is_before(later));
        let over = earlier
            .filter_map(|earlier| crossed(earlier))
            .map(|(over, _)| over)
            .max()?;
        let breach = format!("call {} crosses {number} after {over}", later.call);
        (number <= over).then_some(breach)
    })
}

fn party(op: &Op) -> usize {
    match op.ask {
        Ask::Cross { party, .. } => party,
        _ => 0,
    }
}

fn parties(op: &Op) -> usize {
    match op.ask {
        Ask::Cross { parties, .. } => parties,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, failed, finds};
    use super::*;

    fn arrives(party: usize) -> Ask {
        arrives_at(Barrier::Single, party)
    }

    fn arrives_at(barrier: Barrier, party: usize) -> Ask {
        Ask::Cross {
            barrier,
            party,
            parties: 2,
        }
    }

    fn through(number: u64, last: bool) -> Answer {
        Answer::Crossed { number, last }
    }

    #[test]
    fn all_must_have_arrived() {
        let mut told = Told::default();
        let one = told.ask(arrives(0));
        let other = told.ask(arrives(1));
        told.answer(one, through(1, false));
        told.answer(other, through(1, true));
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        // Alone.
        told.call(arrives(0), through(2, true));
        assert!(finds(&judge(&told.ops()), "1 of 2 parties"));
    }

    #[test]
    fn who_died_may_have_arrived_and_who_was_withdrawn_has_not() {
        for (answer, fine) in [
            (None, true),
            (Some(failed(true)), true),
            (Some(failed(false)), false),
            (Some(Answer::Nothing), false),
        ] {
            let mut told = Told::default();
            let other = told.ask(arrives(1));
            if let Some(answer) = answer {
                told.answer(other, answer);
            }
            told.call(arrives(0), through(1, true));
            assert_eq!(judge(&told.ops()).is_empty(), fine);
        }
    }

    #[test]
    fn each_crosses_once_and_one_is_the_last() {
        let mut told = Told::default();
        let one = told.ask(arrives(0));
        let other = told.ask(arrives(1));
        told.answer(one, through(1, true));
        told.answer(other, through(1, true));
        assert!(finds(&judge(&told.ops()), "several"));
        let mut told = Told::default();
        let _dead = told.ask(arrives(1));
        let again = told.ask(arrives(0));
        told.call(arrives(0), through(1, true));
        told.answer(again, through(1, false));
        assert!(finds(&judge(&told.ops()), "twice"));
    }

    #[test]
    fn a_crossing_that_is_over_is_over() {
        let mut told = Told::default();
        let _dead = told.ask(arrives(1));
        told.call(arrives(0), through(2, true));
        told.call(arrives(0), through(1, true));
        assert!(finds(&judge(&told.ops()), "crosses 1 after 2"));
    }

    #[test]
    fn in_and_out_take_turns() {
        let mut told = Told::default();
        let _dead = told.ask(arrives_at(Barrier::Leave, 1));
        told.call(arrives_at(Barrier::Leave, 0), through(1, true));
        assert!(finds(&judge(&told.ops()), "wrong direction"));
    }
}
