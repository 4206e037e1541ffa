//! Fencing tokens: nobody has the one of another, and who asks when another one
//! holds gets a higher one.
//!
//! Not demanded: that holders do not overlap in time. One that was preempted may
//! learn of it late; what it does meanwhile is fenced, and judged by the state.

use std::collections::BTreeMap;

use super::{ACTIVE, PERMITS};
use crate::recipes::log::{Answer, Ask, Op};

/// A thing that was held.
pub(super) struct Hold<'a> {
    pub(super) op: &'a Op,
    pub(super) thing: &'a str,
    pub(super) token: u64,
}

/// All that was held.
pub(super) fn holds(ops: &[Op]) -> impl Iterator<Item = Hold<'_>> {
    ops.iter().flat_map(|op| {
        let held = match (&op.ask, &op.answer) {
            (Ask::Hold { .. }, Some(Answer::Held(held))) => held.as_slice(),
            _ => &[],
        };
        held.iter().map(move |(thing, token)| Hold {
            op,
            thing,
            token: *token,
        })
    })
}

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut things: BTreeMap<&str, Vec<Hold<'_>>> = BTreeMap::new();
    for hold in holds(ops) {
        things.entry(hold.thing).or_default().push(hold);
    }
    let mut breaches = Vec::new();
    for (thing, mut holds) in things {
        if !is_known(thing) {
            breaches.push(format!("{thing} is held, and there is no such"));
        }
        holds.sort_by_key(|hold| hold.token);
        for (one, other) in holds.iter().zip(holds.iter().skip(1)) {
            if one.token == other.token {
                let (token, one, other) = (one.token, one.op.call, other.op.call);
                breaches.push(format!(
                    "{thing}: calls {one} and {other} have token {token}"
                ));
            }
        }
        for later in &holds {
            let above = holds
                .iter()
                .rev()
                .find(|earlier| earlier.token > later.token && earlier.op.is_before(later.op));
            if let Some(earlier) = above {
                let (token, call) = (later.token, later.op.call);
                let (before, earlier) = (earlier.token, earlier.op.call);
                breaches.push(format!(
                    "{thing}: call {call} has token {token}, and call {earlier} had {before} \
                     before it was begun"
                ));
            }
        }
    }
    breaches
}

/// Whether permits and slots have numbers below their count.
fn is_known(thing: &str) -> bool {
    let below = |kind: &str, count: u64| {
        let number = thing.strip_prefix(kind);
        number.is_none_or(|number| number.parse::<u64>().is_ok_and(|number| number < count))
    };
    below("permit/", PERMITS) && below("slot/", ACTIVE)
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, finds};
    use super::*;

    const ASK: Ask = Ask::Hold {
        of: "semaphore",
        shared: false,
    };

    fn held(number: u64, token: u64) -> Answer {
        Answer::Held(vec![(format!("permit/{number}"), token)])
    }

    #[test]
    fn tokens_grow_for_each_thing() {
        let mut told = Told::default();
        told.call(ASK, held(0, 5));
        told.call(ASK, held(1, 3));
        let slow = told.ask(ASK);
        told.call(ASK, held(0, 7));
        told.answer(slow, held(0, 6));
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        told.call(ASK, held(1, 2));
        assert!(finds(&judge(&told.ops()), "had 3 before"));
    }

    #[test]
    fn nobody_has_the_token_of_another() {
        let mut told = Told::default();
        let slow = told.ask(ASK);
        told.call(ASK, held(0, 5));
        told.answer(slow, held(0, 5));
        assert!(finds(&judge(&told.ops()), "have token 5"));
    }

    #[test]
    fn there_are_no_more_permits_than_there_are() {
        let mut told = Told::default();
        told.call(ASK, held(PERMITS, 1));
        assert!(finds(&judge(&told.ops()), "no such"));
    }
}
