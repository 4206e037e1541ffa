//! What must be true once faults have stopped: who is alive is listed and nobody
//! else, a queue is empty, and whoever asks is served.

use crate::recipes::log::{Answer, Ask, Op};

pub(super) fn judge(ops: &[Op]) -> Vec<String> {
    let mut breaches = Vec::new();
    for op in ops {
        match (&op.ask, &op.answer) {
            (Ask::Members { alive }, Some(Answer::Members(listed))) if alive != listed => {
                breaches.push(format!("{alive:?} are alive, and {listed:?} are listed"));
            }
            (Ask::Length, Some(Answer::Number(left))) if *left != 0 => {
                breaches.push(format!("{left} items are left in the queue"));
            }
            (Ask::Members { .. } | Ask::Length, Some(Answer::Failed { why, .. })) => {
                breaches.push(format!("{:?} fails: {why}", op.ask));
            }
            // Nobody asked for anything that is not allowed.
            (ask, Some(Answer::Refused(why))) => breaches.push(format!("{ask:?}: {why}")),
            (Ask::Rest { what }, answer) if *answer != Some(Answer::Done) => {
                breaches.push(format!("{what}: {answer:?}"));
            }
            _ => {}
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::super::told::{Told, failed, finds};
    use super::*;

    #[test]
    fn those_alive_are_listed() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for (listed, fine) in [(["a", "b"], true), (["a", "c"], false)] {
            let mut told = Told::default();
            let alive = names(&["a", "b"]);
            told.call(Ask::Members { alive }, Answer::Members(names(&listed)));
            assert_eq!(judge(&told.ops()).is_empty(), fine);
        }
    }

    #[test]
    fn nothing_that_is_allowed_is_refused() {
        let mut told = Told::default();
        told.call(
            Ask::Number,
            Answer::Refused("no state of this recipe".into()),
        );
        assert!(finds(&judge(&told.ops()), "no state"));
    }

    #[test]
    fn all_must_be_served() {
        let mut told = Told::default();
        told.call(Ask::Length, Answer::Number(2));
        assert!(finds(&judge(&told.ops()), "2 items"));
        let mut told = Told::default();
        told.call(Ask::Length, failed(false));
        assert!(finds(&judge(&told.ops()), "fails"));
        let mut told = Told::default();
        let what = "somebody leads";
        told.call(Ask::Rest { what }, Answer::Done);
        assert_eq!(judge(&told.ops()), Vec::<String>::new());
        told.call(Ask::Rest { what }, failed(true));
        assert!(finds(&judge(&told.ops()), what));
        let mut told = Told::default();
        told.ask(Ask::Rest { what });
        assert!(finds(&judge(&told.ops()), what));
    }
}
