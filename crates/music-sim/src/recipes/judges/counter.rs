//! Each acknowledged addition is made once, the others at most once, in an order
//! that agrees with time.
//!
//! All additions are of one or more, so that a number tells which were made
//! before: those that had ended, and none that had not begun.

use crate::recipes::log::{Answer, Ask, Op};

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut breaches = Vec::new();
    let adds: Vec<&Op> = ops.iter().filter(|op| added(op) > 0).collect();
    for op in ops {
        let Some(number) = number(op) else { continue };
        let floor: i64 = adds
            .iter()
            .filter(|add| add.is_sure() && add.is_before(op))
            .map(|add| added(add))
            .sum();
        let ceiling: i64 = adds
            .iter()
            .filter(|add| add.call != op.call && add.is_possible() && add.begun < op.ended)
            .map(|add| added(add))
            .sum();
        if !(floor..=ceiling).contains(&number) {
            let call = op.call;
            breaches.push(format!(
                "call {call} finds {number}, not {floor} to {ceiling}"
            ));
        }
        let seen = ops.iter().filter(|before| before.is_before(op));
        let seen = seen.filter_map(|before| Some((before, self::number(before)? + added(before))));
        if let Some((before, seen)) = seen.max_by_key(|(_, seen)| *seen)
            && seen > number
        {
            let (call, before) = (op.call, before.call);
            breaches.push(format!(
                "call {call} finds {number}, and call {before} had {seen}"
            ));
        }
    }
    breaches.extend(twice(&adds));
    breaches
}

/// No two additions were made to the same number, or to one within the other.
fn twice(adds: &[&Op]) -> Option<String> {
    let made = adds.iter().filter_map(|add| Some((number(add)?, add)));
    let mut made: Vec<_> = made.collect();
    made.sort_by_key(|(number, _)| *number);
    let mut next = made.iter().skip(1);
    made.iter().find_map(|(number, add)| {
        let (above, other) = next.next()?;
        let (one, other) = (add.call, other.call);
        let breach = format!("calls {one} and {other} add to {number} and {above}");
        (number + added(add) > *above).then_some(breach)
    })
}

fn added(op: &Op) -> i64 {
    match op.ask {
        Ask::Add { by } => i64::try_from(by).unwrap_or_default(),
        _ => 0,
    }
}

fn number(op: &Op) -> Option<i64> {
    match (&op.ask, &op.answer) {
        (Ask::Add { .. } | Ask::Number, Some(Answer::Number(number))) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, failed, finds};
    use super::*;

    fn add(told: &mut Told, by: u64, before: i64) {
        told.call(Ask::Add { by }, Answer::Number(before));
    }

    fn reads(told: &mut Told, number: i64) {
        told.call(Ask::Number, Answer::Number(number));
    }

    #[test]
    fn what_was_acknowledged_is_there_and_what_is_unknown_may_be() {
        for number in 0..12 {
            let mut told = Told::default();
            add(&mut told, 2, 0);
            told.call(Ask::Add { by: 3 }, failed(true));
            told.call(Ask::Add { by: 9 }, failed(false));
            reads(&mut told, number);
            assert_eq!(judge(&told.ops()).is_empty(), (2..=5).contains(&number));
        }
    }

    #[test]
    fn an_addition_is_made_once() {
        let mut told = Told::default();
        let slow = told.ask(Ask::Add { by: 2 });
        add(&mut told, 2, 1);
        told.answer(slow, Answer::Number(0));
        assert!(finds(&judge(&told.ops()), "add to 0 and 1"));
        let mut told = Told::default();
        add(&mut told, 2, 0);
        reads(&mut told, 4);
        assert!(finds(&judge(&told.ops()), "not 2 to 2"));
    }

    #[test]
    fn what_was_seen_stays() {
        let mut told = Told::default();
        told.ask(Ask::Add { by: 2 });
        reads(&mut told, 2);
        reads(&mut told, 0);
        assert!(finds(&judge(&told.ops()), "had 2"));
    }
}
