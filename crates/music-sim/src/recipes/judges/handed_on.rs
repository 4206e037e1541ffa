//! What a holder stored is what the next holder reads, and nothing else.
//!
//! Demanded, in the order of the tokens under which values were stored: a load
//! misses no acknowledged store of a lower token, nor one of its own that was
//! acknowledged before; it sees no store that was refused, or of a later holder;
//! and what one holder did not see of those before it, no later holder sees.

use std::collections::BTreeMap;

use super::tokens::holds;
use crate::recipes::log::{Answer, Ask, Op};

/// A store, in the order in which stores count.
#[derive(Debug)]
struct Write<'a> {
    token: u64,
    value: u64,
    op: &'a Op,
}

impl Write<'_> {
    /// Where it stands; 0 is before the first.
    fn place(found: Option<&Self>) -> (u64, usize) {
        found.map_or((0, 0), |write| (write.token, write.op.begun))
    }
}

/// A load that was answered.
#[derive(Debug)]
struct Read<'a> {
    token: u64,
    value: Option<u64>,
    op: &'a Op,
}

/// What was done to one thing.
#[derive(Default)]
struct Thing<'a> {
    writes: Vec<Write<'a>>,
    reads: Vec<Read<'a>>,
}

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, thing) in things(ops) {
        for read in &thing.reads {
            breaches.extend(thing.breach(read).map(|breach| {
                let Read { token, value, op } = read;
                let call = op.call;
                format!("{name}: call {call} under token {token} reads {value:?}: {breach}")
            }));
        }
    }
    breaches
}

fn things(ops: &[Op]) -> BTreeMap<String, Thing<'_>> {
    let tokens: BTreeMap<_, _> = holds(ops)
        .map(|hold| ((hold.op.call, hold.thing), hold.token))
        .collect();
    let mut things: BTreeMap<String, Thing<'_>> = BTreeMap::new();
    for op in ops {
        match (&op.ask, &op.answer) {
            (Ask::Store { hold, thing, value }, _) => {
                if let Some(token) = tokens.get(&(*hold, thing.as_str())) {
                    let (token, value) = (*token, *value);
                    let thing = things.entry(thing.clone()).or_default();
                    thing.writes.push(Write { token, value, op });
                }
            }
            (Ask::Load { hold, thing }, Some(Answer::Value(value))) => {
                if let Some(token) = tokens.get(&(*hold, thing.as_str())) {
                    let (token, value) = (*token, *value);
                    let thing = things.entry(thing.clone()).or_default();
                    thing.reads.push(Read { token, value, op });
                }
            }
            _ => {}
        }
    }
    things
}

impl Thing<'_> {
    fn written(&self, value: Option<u64>) -> Option<&Write<'_>> {
        let value = value?;
        self.writes.iter().find(|write| write.value == value)
    }

    fn breach(&self, read: &Read<'_>) -> Option<String> {
        let found = self.written(read.value);
        if let Some(why) = out_of_place(read, found) {
            return Some(why.to_owned());
        }
        let place = Write::place(found);
        let missed = self.writes.iter().find(|write| {
            let own = write.token == read.token && write.op.is_before(read.op);
            let counts = write.op.is_sure() && (write.token < read.token || own);
            counts && Write::place(Some(write)) > place
        });
        if let Some(missed) = missed {
            return Some(format!(
                "it misses {}, which was acknowledged",
                missed.value
            ));
        }
        let earlier = self.reads.iter().find(|earlier| {
            let seen = Write::place(self.written(earlier.value));
            let goes_back = place < seen
                && (earlier.token < read.token
                    || earlier.token == read.token && earlier.op.is_before(read.op));
            let comes_late = place > seen && place.0 < earlier.token && earlier.token < read.token;
            goes_back || comes_late
        })?;
        let Read { token, value, .. } = earlier;
        Some(format!("the holder of token {token} saw {value:?} before"))
    }
}

/// What nobody can have stored by then.
fn out_of_place(read: &Read<'_>, found: Option<&Write<'_>>) -> Option<&'static str> {
    match found {
        None if read.value.is_some() => Some("nobody stored it"),
        Some(write) if read.op.is_before(write.op) => Some("nobody had stored it"),
        Some(write) if !write.op.is_possible() => Some("that store was refused"),
        Some(write) if write.token > read.token => Some("a later holder stored it"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, failed, finds};
    use super::*;

    fn hold(told: &mut Told, token: u64) -> u64 {
        let (of, shared) = ("m", false);
        let held = Answer::Held(vec![("m".to_owned(), token)]);
        told.call(Ask::Hold { of, shared }, held)
    }

    fn store(told: &mut Told, hold: u64, value: u64, answer: Answer) {
        let thing = "m".to_owned();
        told.call(Ask::Store { hold, thing, value }, answer);
    }

    fn load(told: &mut Told, hold: u64, value: Option<u64>) {
        let thing = "m".to_owned();
        told.call(Ask::Load { hold, thing }, Answer::Value(value));
    }

    #[test]
    fn the_last_acknowledged_store_or_a_later_one_is_read() {
        let mut told = Told::default();
        let one = hold(&mut told, 1);
        load(&mut told, one, None);
        store(&mut told, one, 10, Answer::Done);
        store(&mut told, one, 11, failed(true));
        for value in [10, 11] {
            let mut told = Told(told.0.clone());
            let two = hold(&mut told, 2);
            load(&mut told, two, Some(value));
            assert_eq!(judge(&told.ops()), Vec::<String>::new());
        }
        for (value, why) in [(None, "misses 10"), (Some(12), "nobody stored it")] {
            let mut told = Told(told.0.clone());
            let two = hold(&mut told, 2);
            load(&mut told, two, value);
            assert!(finds(&judge(&told.ops()), why));
        }
    }

    #[test]
    fn a_refused_store_is_never_read() {
        let mut told = Told::default();
        let one = hold(&mut told, 1);
        store(&mut told, one, 10, failed(false));
        let two = hold(&mut told, 2);
        load(&mut told, two, Some(10));
        assert!(finds(&judge(&told.ops()), "was refused"));
    }

    #[test]
    fn what_one_holder_did_not_see_no_later_one_sees() {
        let mut told = Told::default();
        let one = hold(&mut told, 1);
        store(&mut told, one, 10, Answer::Done);
        let two = hold(&mut told, 2);
        load(&mut told, two, Some(10));
        // The preempted one stores, and is not answered.
        store(&mut told, one, 11, failed(true));
        let three = hold(&mut told, 3);
        load(&mut told, three, Some(11));
        assert!(finds(
            &judge(&told.ops()),
            "the holder of token 2 saw Some(10)"
        ));
    }

    #[test]
    fn what_one_holder_saw_the_next_one_sees() {
        let mut told = Told::default();
        let one = hold(&mut told, 1);
        store(&mut told, one, 10, failed(true));
        let two = hold(&mut told, 2);
        load(&mut told, two, Some(10));
        let three = hold(&mut told, 3);
        load(&mut told, three, None);
        assert!(finds(
            &judge(&told.ops()),
            "the holder of token 2 saw Some(10)"
        ));
    }

    #[test]
    fn a_holder_reads_what_it_stored_itself() {
        let mut told = Told::default();
        let one = hold(&mut told, 1);
        store(&mut told, one, 10, Answer::Done);
        store(&mut told, one, 11, Answer::Done);
        load(&mut told, one, Some(10));
        assert!(finds(&judge(&told.ops()), "misses 11"));
    }

    #[test]
    fn nobody_reads_what_is_stored_later() {
        let mut told = Told::default();
        let one = hold(&mut told, 1);
        load(&mut told, one, Some(10));
        store(&mut told, one, 10, Answer::Done);
        assert!(finds(&judge(&told.ops()), "nobody had stored it"));
    }

    #[test]
    fn a_holder_does_not_read_what_comes_after_it() {
        let mut told = Told::default();
        let one = hold(&mut told, 1);
        let two = hold(&mut told, 2);
        store(&mut told, two, 20, Answer::Done);
        load(&mut told, one, Some(20));
        assert!(finds(&judge(&told.ops()), "a later holder"));
    }
}
