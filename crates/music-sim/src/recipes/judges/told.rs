//! Histories for the judges' tests, told line by line.

use crate::recipes::log::{Answer, Ask, Call, Line, Op, What, ops};

/// A history so far. Each line is a millisecond after the one before.
#[derive(Default)]
pub(super) struct Told(pub(super) Vec<Line>);

impl Told {
    /// A call begins.
    pub(super) fn ask(&mut self, ask: Ask) -> Call {
        let call = self.0.len() as Call;
        self.line(call, What::Asked(ask));
        call
    }

    /// It ends.
    pub(super) fn answer(&mut self, call: Call, answer: Answer) {
        self.line(call, What::Answered(answer));
    }

    /// A call begins and ends.
    pub(super) fn call(&mut self, ask: Ask, answer: Answer) -> Call {
        let call = self.ask(ask);
        self.answer(call, answer);
        call
    }

    fn line(&mut self, call: Call, what: What) {
        self.0.push(Line {
            at_us: self.0.len() as u64 * 1000,
            client: 1,
            call,
            what,
        });
    }

    pub(super) fn ops(&self) -> Vec<Op> {
        ops(&self.0)
    }
}

/// A failure.
pub(super) fn failed(perhaps: bool) -> Answer {
    Answer::Failed {
        perhaps,
        why: String::new(),
    }
}

/// Whether one breach was found, which says this.
pub(super) fn finds(breaches: &[String], what: &str) -> bool {
    breaches.len() == 1 && breaches[0].contains(what)
}
