use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Choice, history};
use crate::index::{Get, History, Key, Put, Section};
use crate::sight::is_older;
use crate::{EndOutcome, Event, Limits, OpId, SectionId, What, judge};

/// How many histories each change is tried on.
const HISTORIES: usize = 500;
/// In how many of them it must be possible at least.
const CHANGED_MIN: usize = 30;

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    vec(any::<Choice>(), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_correct_deployment_passes(choices in choices()) {
        let report = judge(&history(&choices), Limits::default()).unwrap();
        prop_assert!(report.is_clean(), "{}", report);
    }
}

#[test]
fn its_histories_hold_what_is_judged() {
    let mut checked = BTreeMap::<&str, usize>::new();
    for events in histories() {
        let report = judge(&events, Limits::default()).unwrap();
        for (judge, verdict) in report.verdicts {
            *checked.entry(judge.name).or_default() += verdict.checked;
        }
    }
    let idle: Vec<_> = checked.iter().filter(|(_, count)| **count < 100).collect();
    assert_eq!(idle, [(&"modes", &0)]);
}

fn histories() -> impl Iterator<Item = Vec<Event>> {
    let mut runner = TestRunner::deterministic();
    (0..HISTORIES).map(move |_| {
        let choices = choices().new_tree(&mut runner).unwrap().current();
        history(&choices)
    })
}

/// Changes each history where it can, and demands that a judge finds it.
fn is_always_found(judges: &[&str], change: impl Fn(&History, &mut Vec<Event>) -> bool) {
    let mut changed = 0;
    for mut events in histories() {
        let index = History::read(&events, Limits::default()).unwrap();
        if !change(&index, &mut events) {
            continue;
        }
        changed += 1;
        let report = judge(&events, Limits::default()).unwrap();
        let found = report.violations().map(|found| found.breach.judge().name);
        let mut found = found.filter(|name| judges.contains(name));
        let is_found = found.next().is_some();
        assert!(is_found, "{report}\n{events:#?}");
    }
    assert!(changed >= CHANGED_MIN, "tried on {changed} histories only");
}

/// Changes what a get saw of `x`.
fn see(events: &mut [Event], get: &Get, put: Option<OpId>) {
    let What::Got { fields, .. } = &mut events[get.ended.index].what else {
        unreachable!("a get ends with what it saw");
    };
    let fields = fields.as_mut().unwrap();
    fields.remove("x");
    if let Some(put) = put {
        fields.insert("x".to_owned(), put);
    }
}

fn key(history: &History) -> Option<&Key> {
    history.keys.get("k")
}

/// Whether a get must see a put or something younger.
fn is_owed(history: &History, get: &Get, put: &Put) -> bool {
    let Some((at, _)) = put.acknowledged() else {
        return false;
    };
    let own = put.token == get.token && at < get.begun;
    history.is_firm(put) && (own || put.token < get.token)
}

/// A get that sees a put of `x` which it is owed, and that put.
fn owed(history: &History) -> Option<(&Key, &Get, &Put)> {
    let key = key(history)?;
    let mut gets = key.gets.iter().rev();
    gets.find_map(|get| {
        let put = &key.puts[get.seen.get("x")?];
        is_owed(history, get, put).then_some((key, get, put))
    })
}

#[test]
fn a_get_that_sees_an_older_value_is_found() {
    let judges = ["latest_state", "sequential_consistency"];
    is_always_found(&judges, |history, events| {
        let Some((key, get, put)) = owed(history) else {
            return false;
        };
        let mut older = key.puts.values();
        let older = older.find(|older| is_older(older, put) && older.touch("x") == Some(true));
        let older = older.map(|older| older.op);
        older.is_some_and(|older| {
            see(events, get, Some(older));
            true
        })
    });
}

#[test]
fn a_value_that_is_gone_without_a_deletion_is_found() {
    let judges = ["latest_state", "sequential_consistency"];
    is_always_found(&judges, |history, events| {
        let Some((key, get, _)) = owed(history) else {
            return false;
        };
        if key.puts.values().any(|put| put.touch("x") == Some(false)) {
            return false;
        }
        see(events, get, None);
        true
    });
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    is_always_found(&["sequential_consistency"], |history, events| {
        let get = key(history).and_then(|key| key.gets.last());
        get.is_some_and(|get| {
            see(events, get, Some(OpId(999_999)));
            true
        })
    });
}

#[test]
fn an_older_value_that_differs_from_that_of_another_get_is_found() {
    is_always_found(&["no_corruption"], |history, events| {
        let Some(key) = key(history) else {
            return false;
        };
        // The second of two gets of a section that see the same older value.
        let is_settled = |get: &Get, seen: &OpId| key.puts[seen].token < get.token;
        let pair = key.gets.iter().zip(key.gets.iter().skip(1));
        let pair = pair.filter(|(one, other)| one.section == other.section);
        let mut pair = pair.filter_map(|(one, other)| Some((one.seen.get("x")?, other)));
        let Some((seen, get)) = pair.find(|(seen, get)| is_settled(get, seen)) else {
            return false;
        };
        let mut others = key
            .puts
            .values()
            .filter(|put| put.op != *seen && put.token < get.token && put.touch("x") == Some(true));
        let other = others.next().map(|put| put.op);
        other.is_some_and(|other| {
            see(events, get, Some(other));
            true
        })
    });
}

/// Two sections that were granted, the one before the other was asked for.
fn in_turn(history: &History) -> Option<(usize, usize)> {
    let granted = || {
        history
            .sections
            .values()
            .filter_map(|of| Some((of, of.granted_at()?)))
    };
    granted().find_map(|(_, first)| {
        let mut later = granted().filter(|(later, _)| first < later.asked);
        later.next().map(|(_, second)| (first.index, second.index))
    })
}

fn tokens(event: &mut Event) -> &mut BTreeMap<String, u64> {
    match &mut event.what {
        What::Granted { tokens, .. } => tokens,
        other => unreachable!("no grant: {other:?}"),
    }
}

#[test]
fn tokens_against_real_time_are_found() {
    is_always_found(&["exclusion"], |history, events| {
        in_turn(history).is_some_and(|(first, second)| {
            let higher = tokens(&mut events[second]).clone();
            let lower = std::mem::replace(tokens(&mut events[first]), higher);
            *tokens(&mut events[second]) = lower;
            true
        })
    });
}

#[test]
fn a_token_that_two_sections_have_is_found() {
    is_always_found(&["exclusion"], |history, events| {
        in_turn(history).is_some_and(|(first, second)| {
            *tokens(&mut events[second]) = tokens(&mut events[first]).clone();
            true
        })
    });
}

#[test]
fn a_lost_section_that_is_called_confirmed_is_found() {
    is_always_found(&["confirmed"], |history, events| {
        // Preempted, and somebody was granted before it asked.
        let lost = history.sections.values().find_map(|section| {
            let (ended, outcome) = section.ended?;
            let preempted = history.sections.values().any(|later| {
                let is_later = later.token("k") > section.token("k");
                is_later && later.granted_at().is_some() && later.granted_at() < section.ending
            });
            (outcome == EndOutcome::Lost && preempted).then_some((section.id, ended))
        });
        lost.is_some_and(|(section, ended): (SectionId, _)| {
            let outcome = EndOutcome::Confirmed;
            events[ended.index].what = What::Ended { section, outcome };
            true
        })
    });
}

#[test]
fn a_waiter_that_is_forgotten_is_found() {
    is_always_found(&["liveness"], |history, events| {
        let waits = |section: &&Section| {
            section.granted.is_some()
                && section.moved.is_empty()
                && section.forced.is_none()
                && history.keys["k"]
                    .puts
                    .values()
                    .all(|put| put.section != section.id)
                && history.keys["k"]
                    .gets
                    .iter()
                    .all(|get| get.section != section.id)
                && !history.is_crashed(section.client)
        };
        let Some(section) = history.sections.values().find(waits) else {
            return false;
        };
        let forgotten = section.id;
        events.retain(|event| match &event.what {
            What::Granted { section, .. }
            | What::Ending { section, .. }
            | What::Ended { section, .. } => *section != forgotten,
            _ => true,
        });
        true
    });
}
