//! Observers see leaders in the order of their tokens, and none that never
//! campaigned.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::holds;
use crate::recipes::log::{Answer, Ask, Call, Op};

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let leaders: BTreeSet<u64> = holds(ops)
        .filter(|hold| hold.thing == "election")
        .map(|hold| hold.token)
        .collect();
    let mut last: BTreeMap<Call, u64> = BTreeMap::new();
    let mut breaches = Vec::new();
    // An observer asks again when it was answered.
    for op in ops {
        let (Ask::Observe { observer }, Some(Answer::Leader(Some(token)))) = (&op.ask, &op.answer)
        else {
            continue;
        };
        let before = last.insert(*observer, *token).unwrap_or_default();
        if before > *token {
            breaches.push(format!(
                "observer {observer} sees the leader of token {token} after that of {before}"
            ));
        }
        let unheard = || {
            ops.iter()
                .any(|campaign| may_have_led(campaign, op, *token))
        };
        if !leaders.contains(token) && !unheard() {
            breaches.push(format!("nobody led under token {token}"));
        }
    }
    breaches
}

/// Whether a campaign may have led under a token and not have been told: its
/// client died, or it lost that at once and campaigned on.
fn may_have_led(campaign: &Op, seen: &Op, token: u64) -> bool {
    let lower = |held: &Vec<(String, u64)>| held.iter().any(|(_, held)| *held <= token);
    let led_before = matches!(&campaign.answer, Some(Answer::Held(held)) if lower(held));
    let campaigns = matches!(campaign.ask, Ask::Hold { of: "election", .. });
    campaigns && campaign.begun < seen.ended && !led_before
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, finds};
    use super::*;

    const CAMPAIGN: Ask = Ask::Hold {
        of: "election",
        shared: false,
    };

    fn leads(token: u64) -> Answer {
        Answer::Held(vec![("election".to_owned(), token)])
    }

    fn sees(told: &mut Told, observer: u64, token: Option<u64>) {
        told.call(Ask::Observe { observer }, Answer::Leader(token));
    }

    #[test]
    fn an_observer_never_sees_tokens_go_back() {
        let mut told = Told::default();
        told.call(CAMPAIGN, leads(1));
        told.call(CAMPAIGN, leads(4));
        sees(&mut told, 7, Some(1));
        sees(&mut told, 7, None);
        sees(&mut told, 7, Some(4));
        sees(&mut told, 8, Some(1));
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        sees(&mut told, 7, None);
        sees(&mut told, 7, Some(1));
        assert!(finds(&judge(&told.ops()), "observer 7"));
    }

    #[test]
    fn nobody_sees_a_leader_that_never_was() {
        let mut told = Told::default();
        told.call(CAMPAIGN, leads(1));
        sees(&mut told, 7, Some(2));
        assert!(finds(&judge(&told.ops()), "nobody led"));
        told.ask(CAMPAIGN);
        assert!(finds(&judge(&told.ops()), "nobody led"), "not yet");
        // Whose client dies, or who loses it at once and campaigns on.
        for answer in [None, Some(leads(3))] {
            let mut told = Told::default();
            let campaign = told.ask(CAMPAIGN);
            sees(&mut told, 7, Some(2));
            if let Some(answer) = answer {
                told.answer(campaign, answer);
            }
            assert_eq!(judge(&told.ops()), Vec::<String>::new());
        }
    }
}
