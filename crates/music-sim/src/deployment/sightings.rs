//! Which rare things happened: a simulation that never reached them has not
//! tested them.

use std::collections::{BTreeMap, BTreeSet};

use music_core::lock_ref::FencingToken;

use crate::history::{EndOutcome, Event, PlainOutcome, PutOutcome, SectionId, What};

/// What many runs together must have seen, each at least once.
pub const SOMETIMES: &[&str] = &[
    "a batch",
    "a client crashed",
    "a client stopped",
    "a confirmed section",
    "a get inside a section",
    "a hand-over within a site",
    "a key synchronised",
    "a key with more than twenty lockRefs",
    "a link cut in one direction",
    "a lost section",
    "a lost section found out by its confirmation",
    "a node killed",
    "a node suspended",
    "a put acknowledged",
    "a put unknown",
    "a replica crashed",
    "a section asked for and refused",
    "a section at another than the first node",
    "a section forced by hand",
    "a section of several keys",
    "a section that stood in line",
    "a section that was dropped",
    "a site cut off",
    "a slow disk",
    "a storm",
    "a ticket by way of another node",
    "a ticket forced",
    "a wrong mode refused",
    "an adopter's stamp",
    "an end with an unknown outcome",
    "shared sections side by side",
];

/// How often each was seen.
#[derive(Clone, Debug, Default)]
pub struct Sightings(BTreeMap<&'static str, u64>);

impl Sightings {
    /// One more.
    pub fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// All of another run's.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// What was seen, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(what, count)| (*what, *count))
    }

    /// What of a list was never seen.
    pub fn missing(&self, sometimes: &[&'static str]) -> Vec<&'static str> {
        let unseen = |what: &&&str| !self.0.contains_key(**what);
        sometimes.iter().filter(unseen).copied().collect()
    }

    /// Adds what a history tells.
    pub fn read(&mut self, history: &[Event]) {
        let mut sections = Sections::default();
        for event in history {
            if let Some(what) = sections.sighting(&event.what) {
                self.add(what);
            }
        }
    }
}

/// What must be kept of a history to see what happens in it.
#[derive(Default)]
struct Sections {
    shared: BTreeSet<SectionId>,
    shared_held: BTreeSet<SectionId>,
    confirming: BTreeSet<SectionId>,
    /// The fencing tokens that were granted.
    tokens: BTreeSet<u64>,
}

impl Sections {
    fn hand_over<'a>(&mut self, tokens: impl Iterator<Item = &'a u64>) -> Option<&'static str> {
        let mut seen = None;
        for token in tokens {
            self.tokens.insert(*token);
            if FencingToken::from_number(*token).is_handed_over() {
                // The first of a ticket that its node has asked for itself.
                let first = token
                    .checked_sub(1)
                    .is_some_and(|it| !self.tokens.contains(&it));
                seen = Some(if first {
                    "a section that stood in line"
                } else {
                    "a hand-over within a site"
                });
            }
        }
        seen
    }

    fn sighting(&mut self, what: &What) -> Option<&'static str> {
        match what {
            What::Asked {
                section,
                keys,
                shared,
                ..
            } => {
                if *shared {
                    self.shared.insert(*section);
                }
                (keys.len() > 1).then_some("a section of several keys")
            }
            What::Granted { section, .. } if self.shared.contains(section) => {
                self.shared_held.insert(*section);
                (self.shared_held.len() > 1).then_some("shared sections side by side")
            }
            What::Granted { tokens, .. } => self.hand_over(tokens.values()),
            What::Refused { .. } => Some("a section asked for and refused"),
            What::Got {
                fields: Some(_), ..
            } => Some("a get inside a section"),
            What::PutEnded { outcome, .. } => Some(match outcome {
                PutOutcome::Acknowledged { .. } => "a put acknowledged",
                PutOutcome::NotApplied => "a put refused",
                PutOutcome::Unknown => "a put unknown",
            }),
            What::Lost { section } => {
                self.shared_held.remove(section);
                Some("a lost section")
            }
            What::Ending { section, confirm } => {
                self.shared_held.remove(section);
                if *confirm {
                    self.confirming.insert(*section);
                }
                None
            }
            What::Ended { section, outcome } => match outcome {
                EndOutcome::Confirmed => Some("a confirmed section"),
                EndOutcome::Lost if self.confirming.contains(section) => {
                    Some("a lost section found out by its confirmation")
                }
                EndOutcome::Unknown => Some("an end with an unknown outcome"),
                EndOutcome::Lost | EndOutcome::Released => None,
            },
            What::PlainEnded {
                outcome: PlainOutcome::WrongMode,
                ..
            } => Some("a wrong mode refused"),
            _ => None,
        }
    }
}
