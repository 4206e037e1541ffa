//! Each version has one value, each value one version, and versions agree with
//! time.

use std::collections::BTreeMap;

use crate::recipes::log::{Answer, Ask, Op};

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut values: BTreeMap<u64, u64> = BTreeMap::new();
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    let mut set_by: BTreeMap<u64, u64> = BTreeMap::new();
    for op in ops {
        let Some(told) = told(op) else { continue };
        let call = op.call;
        if let Some(value) = told.value {
            let before = *values.entry(told.version).or_insert(value);
            if before != value {
                let version = told.version;
                breaches.push(format!("version {version} has values {before} and {value}"));
            }
            let before = *versions.entry(value).or_insert(told.version);
            if before != told.version {
                let version = told.version;
                breaches.push(format!("value {value} has versions {before} and {version}"));
            }
            breaches.extend(out_of_place(ops, op, value));
        }
        if told.sets && set_by.insert(told.version, call).is_some() {
            breaches.push(format!("version {} is set twice", told.version));
        }
        if let Ask::Set {
            expected: Some(expected),
            ..
        } = op.ask
            && told.sets
            && told.version != expected + 1
        {
            let version = told.version;
            breaches.push(format!("call {call} expected {expected} and set {version}"));
        }
        breaches.extend(against_time(ops, op, &told));
    }
    breaches
}

/// What a call tells of the register.
struct Found {
    version: u64,
    value: Option<u64>,
    /// Whether it made this version.
    sets: bool,
}

fn told(op: &Op) -> Option<Found> {
    let (version, value, sets) = match (&op.ask, &op.answer) {
        (Ask::Set { value, .. }, Some(Answer::Version(Ok(version)))) => {
            (*version, Some(*value), true)
        }
        (Ask::Set { .. }, Some(Answer::Version(Err(version)))) => (*version, None, false),
        (Ask::Get, Some(Answer::Found(version, value))) => (*version, *value, false),
        _ => return None,
    };
    Some(Found {
        version,
        value,
        sets,
    })
}

/// A value that nobody can have set.
fn out_of_place(ops: &[Op], op: &Op, found: u64) -> Option<String> {
    let setter = ops
        .iter()
        .find(|set| matches!(set.ask, Ask::Set { value, .. } if value == found));
    let refused =
        |set: &Op| !set.is_possible() || matches!(set.answer, Some(Answer::Version(Err(_))));
    let why = match setter {
        None => "nobody set",
        Some(set) if op.is_before(set) => "nobody had set",
        Some(set) if refused(set) => "was refused",
        Some(_) => return None,
    };
    Some(format!("call {} finds value {found}, which {why}", op.call))
}

fn against_time(ops: &[Op], op: &Op, found: &Found) -> Option<String> {
    let earlier = ops.iter().filter(|earlier| earlier.is_before(op));
    let floor = earlier
        .filter_map(|earlier| Some(told(earlier)?.version))
        .max();
    let floor = floor.map_or(0, |floor| floor + u64::from(found.sets));
    let sets = ops.iter().filter(|set| {
        matches!(set.ask, Ask::Set { .. }) && set.is_possible() && set.begun < op.ended
    });
    let ceiling = sets.count() as u64;
    let version = found.version;
    let breach = format!(
        "call {} is of version {version}, not {floor} to {ceiling}",
        op.call
    );
    (!(floor..=ceiling).contains(&version)).then_some(breach)
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, failed, finds};
    use super::*;

    fn set(value: u64, expected: Option<u64>) -> Ask {
        Ask::Set { value, expected }
    }

    fn made(version: u64) -> Answer {
        Answer::Version(Ok(version))
    }

    #[test]
    fn changes_are_made_once_and_in_order() {
        let mut told = Told::default();
        told.call(Ask::Get, Answer::Found(0, None));
        told.call(set(10, None), made(1));
        told.call(set(11, Some(0)), Answer::Version(Err(1)));
        told.call(set(12, Some(1)), failed(true));
        told.call(Ask::Get, Answer::Found(2, Some(12)));
        told.call(set(13, Some(2)), made(3));
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        for (ask, answer, why) in [
            (Ask::Get, Answer::Found(2, Some(12)), "not 3 to"),
            (Ask::Get, Answer::Found(4, Some(13)), "has versions 3 and 4"),
            (Ask::Get, Answer::Found(3, Some(12)), "version 3 has values"),
            (Ask::Get, Answer::Found(4, Some(11)), "was refused"),
            (Ask::Get, Answer::Found(4, Some(99)), "nobody set"),
            (set(14, Some(2)), made(4), "expected 2"),
        ] {
            let mut told = Told(told.0.clone());
            told.call(ask, answer);
            let breaches = judge(&told.ops());
            assert!(
                breaches.iter().any(|breach| breach.contains(why)),
                "{breaches:?}"
            );
        }
    }

    #[test]
    fn one_version_is_set_once() {
        let mut told = Told::default();
        let slow = told.ask(set(10, Some(0)));
        told.call(set(11, Some(0)), made(1));
        told.answer(slow, made(1));
        let breaches = judge(&told.ops());
        assert!(breaches.iter().any(|breach| breach.contains("set twice")));
    }

    #[test]
    fn nobody_finds_what_is_set_later() {
        let mut told = Told::default();
        let unheard = told.ask(set(9, None));
        told.call(Ask::Get, Answer::Found(1, Some(10)));
        told.call(set(10, None), made(2));
        told.answer(unheard, failed(true));
        let breaches = judge(&told.ops());
        assert!(breaches[0].contains("nobody had set"), "{breaches:?}");
    }

    #[test]
    fn there_are_no_more_versions_than_sets() {
        let mut told = Told::default();
        told.call(set(10, None), made(2));
        assert!(finds(&judge(&told.ops()), "not 0 to 1"));
    }
}
