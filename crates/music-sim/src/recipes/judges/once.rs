//! A step's effect happens once, unless the step failed or somebody said that it
//! was not done; and all have the same result.

use std::collections::BTreeMap;

use crate::recipes::log::{Answer, Ask, Op};

/// All calls of one step.
#[derive(Default)]
struct Step<'a> {
    effects: Vec<(&'a Op, u64, u64, bool)>,
    forgets: Vec<&'a Op>,
    results: Vec<(&'a Op, u64)>,
    settled: Vec<(&'a Op, u64)>,
}

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut steps: BTreeMap<u64, Step<'_>> = BTreeMap::new();
    for op in ops {
        match (&op.ask, &op.answer) {
            (
                Ask::Effect {
                    step,
                    token,
                    result,
                    fails,
                },
                _,
            ) => {
                let effects = &mut steps.entry(*step).or_default().effects;
                effects.push((op, *token, *result, *fails));
            }
            (Ask::Forget { step }, answer) if *answer != Some(Answer::Changed(false)) => {
                steps.entry(*step).or_default().forgets.push(op);
            }
            (Ask::SettleStep { step, result }, answer)
                if *answer != Some(Answer::Changed(false)) =>
            {
                steps.entry(*step).or_default().settled.push((op, *result));
            }
            (Ask::Run { step }, Some(Answer::Result(result))) => {
                steps.entry(*step).or_default().results.push((op, *result));
            }
            _ => {}
        }
    }
    let mut breaches = Vec::new();
    for (number, step) in &steps {
        let found = step.breaches().into_iter();
        breaches.extend(found.map(|breach| format!("step {number} {breach}")));
    }
    breaches
}

impl Step<'_> {
    fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        let first = self.results.first().map(|(_, result)| *result);
        for (op, result) in &self.results {
            if first != Some(*result) {
                breaches.push(format!("has results {first:?} and {result}"));
            }
            let source = self.effects.iter().any(|(effect, _, made, fails)| {
                made == result && !fails && effect.begun < op.ended
            });
            let settled = self.settled.iter().any(|(settle, said)| {
                said == result && settle.is_possible() && settle.begun < op.ended
            });
            if !source && !settled {
                breaches.push(format!("has result {result}, which nobody had"));
            }
        }
        let mut effects: Vec<_> = self.effects.iter().collect();
        effects.sort_by_key(|(_, token, ..)| *token);
        for (one, next) in effects.iter().zip(effects.iter().skip(1)) {
            let (effect, token, _, failed) = one;
            let (again, above, ..) = next;
            let forgotten = self.forgets.iter().any(|forget| {
                forget.is_possible() && forget.ended > effect.begun && forget.begun < again.begun
            });
            if token == above || (!failed && !forgotten) {
                breaches.push(format!("is done under tokens {token} and {above}"));
            }
        }
        for (effect, token, ..) in &self.effects {
            if self.results.iter().any(|(op, _)| op.is_before(effect)) {
                breaches.push(format!(
                    "is done under token {token}, and had a result before"
                ));
            }
        }
        breaches
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, finds};
    use super::*;

    const RUN: Ask = Ask::Run { step: 1 };
    const FORGET: Ask = Ask::Forget { step: 1 };

    fn effect(token: u64, result: u64, fails: bool) -> Ask {
        let step = 1;
        Ask::Effect {
            step,
            token,
            result,
            fails,
        }
    }

    fn done(told: &mut Told, token: u64, result: u64) {
        let run = told.ask(RUN);
        told.ask(effect(token, result, false));
        told.answer(run, Answer::Result(result));
    }

    #[test]
    fn a_step_is_done_once_and_has_one_result() {
        let mut told = Told::default();
        told.ask(effect(1, 9, true));
        done(&mut told, 2, 10);
        told.call(RUN, Answer::Result(10));
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        told.call(RUN, Answer::Result(9));
        let breaches = judge(&told.ops());
        assert!(breaches[0].contains("has results"), "{breaches:?}");
        assert!(breaches[1].contains("nobody had"), "{breaches:?}");
    }

    #[test]
    fn it_is_done_again_only_where_somebody_said_that_it_was_not_done() {
        for (forgets, fine) in [(true, true), (false, false)] {
            let mut told = Told::default();
            told.ask(RUN);
            told.ask(effect(1, 9, false));
            if forgets {
                told.call(FORGET, Answer::Changed(true));
            }
            done(&mut told, 3, 10);
            assert_eq!(judge(&told.ops()).is_empty(), fine);
            assert!(fine || finds(&judge(&told.ops()), "under tokens 1 and 3"));
        }
    }

    #[test]
    fn it_is_not_begun_when_it_had_a_result() {
        let mut told = Told::default();
        let settle = Ask::SettleStep { step: 1, result: 8 };
        told.call(settle, Answer::Changed(true));
        told.call(RUN, Answer::Result(8));
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        told.ask(effect(3, 9, false));
        assert!(finds(&judge(&told.ops()), "had a result before"));
    }
}
