//! A state, and what its last changes answered.

use serde::{Deserialize, Serialize};
use serde_json::value::Value as Json;

/// How many answers are kept: a change whose answer was lost can be looked up
/// until that many others were made.
const ANSWERS_KEPT: usize = 16;

/// What a record's default field holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Held<S> {
    pub(super) state: S,
    /// What the last changes answered, by their fencing tokens, which grow.
    pub(super) answers: Vec<(u64, Json)>,
    /// Whether the state is one to be announced.
    pub(super) announce: bool,
}

impl<S> Held<S> {
    /// What a change under that token answered; an error where that is not
    /// kept any more.
    pub(super) fn answer(&self, token: u64) -> Result<Option<&Json>, Forgotten> {
        let kept = self.answers.iter().find(|(kept, _)| *kept == token);
        let oldest = self.answers.first().map_or(0, |(oldest, _)| *oldest);
        match kept {
            Some((_, answer)) => Ok(Some(answer)),
            None if self.answers.len() >= ANSWERS_KEPT && oldest > token => Err(Forgotten),
            None => Ok(None),
        }
    }

    pub(super) fn state(held: Option<Self>) -> Option<S> {
        held.map(|held| held.state)
    }

    pub(super) fn keep(&mut self, token: u64, answer: Json) {
        if self.answers.len() >= ANSWERS_KEPT {
            self.answers.remove(0);
        }
        self.answers.push((token, answer));
    }
}

/// Too many changes were made since.
pub(super) struct Forgotten;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_until_too_many_came_after_it() {
        let mut held = Held {
            state: (),
            answers: Vec::new(),
            announce: false,
        };
        assert!(
            matches!(held.answer(7), Ok(None)),
            "no change, so not that one"
        );
        held.keep(7, Json::from(70));
        for token in 8..23 {
            held.keep(token, Json::Null);
            assert!(matches!(held.answer(7), Ok(Some(answer)) if *answer == 70));
            assert!(matches!(held.answer(6), Ok(None)) == (token < 22));
        }
        held.keep(23, Json::Null);
        assert_eq!(held.answers.len(), ANSWERS_KEPT);
        assert!(held.answer(7).is_err(), "it may have been there");
        assert!(matches!(held.answer(100), Ok(None)));
    }
}
