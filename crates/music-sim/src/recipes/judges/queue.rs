//! What was pushed is delivered until it is done, to one taker at a time.
//!
//! Demanded: every acknowledged push is delivered, and is one item; what was
//! refused is none. Deliveries of an item have growing tokens and counts. Done
//! succeeds once, and no delivery has a higher token. While a claim is valid
//! nobody else is given the item, by clocks that differ as those of the run do.

use std::collections::{BTreeMap, BTreeSet};

use super::SKEW_US_MAX;
use crate::recipes::log::{Answer, Ask, Op, Settling, Taken};

/// A delivery.
struct Delivery<'a> {
    op: &'a Op,
    taken: &'a Taken,
    claim_us: u64,
}

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut items: BTreeMap<u64, Vec<Delivery<'_>>> = BTreeMap::new();
    for op in ops {
        if let (Ask::Take { claim_us }, Some(Answer::Taken(taken))) = (&op.ask, &op.answer) {
            for taken in taken {
                items.entry(taken.value).or_default().push(Delivery {
                    op,
                    taken,
                    claim_us: *claim_us,
                });
            }
        }
    }
    let mut breaches = pushes(ops, &items);
    for (value, mut deliveries) in items {
        deliveries.sort_by_key(|delivery| delivery.taken.token);
        let mut found = order(&deliveries);
        found.extend(done(ops, value, &deliveries));
        found.extend(claims(ops, value, &deliveries));
        breaches.extend(
            found
                .into_iter()
                .map(|breach| format!("item {value} {breach}")),
        );
    }
    breaches
}

fn pushes(ops: &[Op], items: &BTreeMap<u64, Vec<Delivery<'_>>>) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut pushed: BTreeMap<u64, &Op> = BTreeMap::new();
    for op in ops {
        if let Ask::Push { values } = &op.ask {
            pushed.extend(values.iter().map(|value| (*value, op)));
        }
    }
    // Before everything has come to rest, an item may wait still.
    let at_rest = ops.iter().any(|op| op.ask == Ask::Length && op.is_sure());
    for (value, push) in &pushed {
        if at_rest && push.is_sure() && !items.contains_key(value) {
            breaches.push(format!("item {value} was pushed and never delivered"));
        }
    }
    let mut ids = BTreeSet::new();
    for (value, deliveries) in items {
        let refused = pushed.get(value).is_none_or(|push| !push.is_possible());
        if refused {
            breaches.push(format!("item {value} was not pushed and is delivered"));
        }
        let mut own: Vec<_> = deliveries
            .iter()
            .map(|delivery| &delivery.taken.id)
            .collect();
        own.sort_unstable();
        own.dedup();
        if own.len() > 1 {
            breaches.push(format!("item {value} is there twice, as {own:?}"));
        }
        for id in own {
            if !ids.insert(id) {
                breaches.push(format!("item {value} has the id of another, {id}"));
            }
        }
    }
    breaches
}

/// `deliveries` are in the order of their tokens.
fn order(deliveries: &[Delivery<'_>]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (one, next) in deliveries.iter().zip(deliveries.iter().skip(1)) {
        let (token, above) = (one.taken.token, next.taken.token);
        if token == above {
            breaches.push(format!("is delivered twice under token {token}"));
        } else if one.taken.deliveries >= next.taken.deliveries {
            breaches.push(format!("is not counted between tokens {token} and {above}"));
        }
        if next.op.is_before(one.op) {
            breaches.push(format!("is delivered under {token} after {above}"));
        }
    }
    breaches
}

fn done(ops: &[Op], item: u64, deliveries: &[Delivery<'_>]) -> Vec<String> {
    let mut breaches = Vec::new();
    let done: Vec<u64> = settled(ops, item)
        .filter(|(op, _, how)| *how == Settling::Done && op.is_sure())
        .map(|(_, token, _)| token)
        .collect();
    if done.len() > 1 {
        breaches.push(format!("is done under each of the tokens {done:?}"));
    }
    let last = deliveries.last().map_or(0, |delivery| delivery.taken.token);
    let early = done.iter().find(|token| **token < last);
    breaches.extend(
        early.map(|token| format!("is done under token {token} and delivered under {last}")),
    );
    breaches
}

/// The claims of an item that were to be ended or prolonged.
fn settled(ops: &[Op], item: u64) -> impl Iterator<Item = (&Op, u64, Settling)> {
    ops.iter().filter_map(move |op| match op.ask {
        Ask::Settle { value, token, how } if value == item => Some((op, token, how)),
        _ => None,
    })
}

/// Nobody else is given the item while its claim is valid.
fn claims(ops: &[Op], item: u64, deliveries: &[Delivery<'_>]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (holder, next) in deliveries.iter().zip(deliveries.iter().skip(1)) {
        let token = holder.taken.token;
        let given_back = settled(ops, item).any(|(op, under, how)| {
            let before = op.is_possible() && op.begun < next.op.ended;
            how == Settling::GiveBack && under == token && before
        });
        let renewed = settled(ops, item).filter_map(|(op, under, how)| match how {
            Settling::Renew { claim_us } if under == token && op.is_sure() => {
                Some((op.begun_us, claim_us))
            }
            _ => None,
        });
        // A renewal that may have come later may have made the claim shorter.
        let cut_short = settled(ops, item).any(|(op, under, how)| {
            matches!(how, Settling::Renew { .. }) && under == token && op.is_possible()
        });
        let taken = (!cut_short).then_some((holder.op.begun_us, holder.claim_us));
        let last = renewed.chain(taken).max_by_key(|(from, _)| *from);
        let Some((from, claim)) = last else { continue };
        let valid_until = (from + claim).saturating_sub(2 * SKEW_US_MAX);
        if !given_back && next.op.ended_us < valid_until {
            let above = next.taken.token;
            breaches.push(format!(
                "is claimed under token {token} and delivered under {above}"
            ));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, failed, finds};
    use super::*;

    fn push(told: &mut Told, answer: Answer) {
        told.call(Ask::Push { values: vec![7] }, answer);
    }

    fn taken(token: u64, deliveries: u32) -> Answer {
        let id = "1.1".to_owned();
        Answer::Taken(vec![Taken {
            value: 7,
            id,
            token,
            deliveries,
        }])
    }

    fn take(told: &mut Told, token: u64, deliveries: u32) {
        told.call(Ask::Take { claim_us: 0 }, taken(token, deliveries));
    }

    fn takes_another(told: &mut Told, value: u64, id: &str) {
        let other = Taken {
            value,
            id: id.to_owned(),
            token: 4,
            deliveries: 2,
        };
        told.call(Ask::Take { claim_us: 0 }, Answer::Taken(vec![other]));
    }

    fn settle(told: &mut Told, token: u64, how: Settling, answer: Answer) {
        let value = 7;
        told.call(Ask::Settle { value, token, how }, answer);
    }

    fn at_rest(told: &mut Told) {
        told.call(Ask::Length, Answer::Number(0));
    }

    #[test]
    fn an_item_is_delivered_until_it_is_done() {
        let mut told = Told::default();
        push(&mut told, Answer::Done);
        take(&mut told, 3, 1);
        settle(&mut told, 3, Settling::Done, failed(true));
        take(&mut told, 5, 2);
        settle(&mut told, 3, Settling::Done, Answer::ClaimLost);
        settle(&mut told, 5, Settling::Done, Answer::Done);
        at_rest(&mut told);
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        take(&mut told, 8, 3);
        assert!(finds(
            &judge(&told.ops()),
            "done under token 5 and delivered"
        ));
    }

    #[test]
    fn what_was_pushed_comes_and_nothing_else() {
        let mut told = Told::default();
        push(&mut told, Answer::Done);
        assert_eq!(judge(&told.ops()), Vec::<String>::new(), "it may come yet");
        at_rest(&mut told);
        assert!(finds(&judge(&told.ops()), "never delivered"));
        let mut told = Told::default();
        push(&mut told, failed(false));
        take(&mut told, 3, 1);
        assert!(finds(&judge(&told.ops()), "was not pushed"));
    }

    #[test]
    fn a_push_makes_one_item() {
        let mut told = Told::default();
        push(&mut told, Answer::Done);
        take(&mut told, 3, 1);
        takes_another(&mut told, 7, "9.1");
        assert!(finds(&judge(&told.ops()), "there twice"));
    }

    #[test]
    fn each_item_has_an_id_of_its_own() {
        let mut told = Told::default();
        told.call(Ask::Push { values: vec![7, 8] }, Answer::Done);
        take(&mut told, 3, 1);
        takes_another(&mut told, 8, "1.1");
        assert!(finds(&judge(&told.ops()), "the id of another"));
    }

    #[test]
    fn deliveries_have_growing_tokens() {
        for (second, why) in [
            ((3, 2), "twice under token 3"),
            ((5, 1), "not counted"),
            ((2, 0), "delivered under 2 after 3"),
        ] {
            let mut told = Told::default();
            push(&mut told, Answer::Done);
            take(&mut told, 3, 1);
            take(&mut told, second.0, second.1);
            assert!(finds(&judge(&told.ops()), why), "{:?}", judge(&told.ops()));
        }
    }

    #[test]
    fn done_succeeds_once() {
        let mut told = Told::default();
        push(&mut told, Answer::Done);
        take(&mut told, 3, 1);
        settle(&mut told, 3, Settling::Done, Answer::Done);
        settle(&mut told, 3, Settling::Done, Answer::Done);
        assert!(finds(&judge(&told.ops()), "each of the tokens"));
    }

    #[test]
    fn a_claim_that_is_valid_is_kept() {
        let claim_us = 2 * SKEW_US_MAX + 50_000;
        for (given_back, fine) in [(true, true), (false, false)] {
            let mut told = Told::default();
            push(&mut told, Answer::Done);
            told.call(Ask::Take { claim_us }, taken(3, 1));
            if given_back {
                settle(&mut told, 3, Settling::GiveBack, Answer::Done);
            }
            take(&mut told, 5, 2);
            assert_eq!(judge(&told.ops()).is_empty(), fine);
        }
        let mut told = Told::default();
        push(&mut told, Answer::Done);
        take(&mut told, 3, 1);
        settle(&mut told, 3, Settling::Renew { claim_us }, Answer::Done);
        take(&mut told, 5, 2);
        assert!(finds(&judge(&told.ops()), "claimed under token 3"));
    }
}
