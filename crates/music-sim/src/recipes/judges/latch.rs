//! Each count is counted once, and nobody goes on before all were.

use std::collections::BTreeSet;

use super::LATCH_COUNT;
use crate::recipes::log::{Answer, Ask, Op};

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut left: BTreeSet<(u64, i64)> = BTreeSet::new();
    for op in ops {
        let call = op.call;
        match (&op.ask, &op.answer) {
            (Ask::CountDown { latch }, Some(Answer::Number(number))) => {
                let (sure, possible) = counts(ops, *latch, op);
                // This one counts, too.
                let most = LATCH_COUNT.saturating_sub(sure + 1);
                let least = LATCH_COUNT.saturating_sub(possible);
                let fits =
                    u64::try_from(*number).is_ok_and(|number| (least..=most).contains(&number));
                if !fits {
                    breaches.push(format!(
                        "latch {latch}: call {call} leaves {number}, not {least} to {most}"
                    ));
                }
                if *number > 0 && !left.insert((*latch, *number)) {
                    breaches.push(format!("latch {latch}: two counts leave {number}"));
                }
            }
            (Ask::Open { latch }, Some(Answer::Done)) => {
                let (_, possible) = counts(ops, *latch, op);
                if possible < LATCH_COUNT {
                    breaches.push(format!(
                        "latch {latch}: call {call} goes on after {possible} counts at most"
                    ));
                }
            }
            _ => {}
        }
    }
    breaches
}

/// How many counts had been made for sure when a call began, and how many can
/// have been when it ended.
fn counts(ops: &[Op], latch: u64, op: &Op) -> (u64, u64) {
    let counts = || {
        let of =
            move |count: &&Op| matches!(count.ask, Ask::CountDown { latch: of } if of == latch);
        ops.iter().filter(of)
    };
    let sure = counts().filter(|count| count.is_sure() && count.is_before(op));
    let possible = counts().filter(|count| count.is_possible() && count.begun < op.ended);
    (sure.count() as u64, possible.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, failed, finds};
    use super::*;

    const COUNT: Ask = Ask::CountDown { latch: 1 };
    const OPEN: Ask = Ask::Open { latch: 1 };

    fn counted(told: &mut Told, number: u64) {
        told.call(COUNT, Answer::Number(i64::try_from(number).unwrap()));
    }

    #[test]
    fn it_opens_after_all_counts() {
        let mut told = Told::default();
        for left in (1..LATCH_COUNT).rev() {
            counted(&mut told, left);
        }
        let early = Told(told.0.clone());
        counted(&mut told, 0);
        counted(&mut told, 0);
        told.call(OPEN, Answer::Done);
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        for (answer, fine) in [(failed(false), false), (failed(true), true)] {
            let mut told = Told(early.0.clone());
            told.call(COUNT, answer);
            told.call(OPEN, Answer::Done);
            assert_eq!(judge(&told.ops()).is_empty(), fine);
            assert!(fine || finds(&judge(&told.ops()), "goes on after"));
        }
    }

    #[test]
    fn a_count_is_counted_once() {
        let mut told = Told::default();
        counted(&mut told, LATCH_COUNT - 2);
        assert!(finds(&judge(&told.ops()), "leaves"));
        let mut told = Told::default();
        let slow = told.ask(COUNT);
        counted(&mut told, LATCH_COUNT - 1);
        told.answer(
            slow,
            Answer::Number(i64::try_from(LATCH_COUNT).unwrap() - 1),
        );
        assert!(finds(&judge(&told.ops()), "two counts"));
    }
}
