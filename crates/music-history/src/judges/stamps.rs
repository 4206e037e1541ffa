//! Stamps: the numbers that sequential consistency rests on.
//!
//! Demanded of acknowledged puts: the stamp is a critical one of the section's
//! lockRef; no other put on the key has it; and it is above those of puts on
//! the key that the section had acknowledged before this one began.
//!
//! Not demanded: an order of puts that were under way together.

use std::collections::BTreeMap;

use music_core::lock_ref::FencingToken;
use music_core::stamp::Stamp;

use super::{Judge, Verdict};
use crate::OpId;
use crate::index::{History, Moment, Put};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "every put of the section, from any thread and on any field, takes \
    the next one.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "stamps",
    guarantee: 3,
    sentence: SENTENCE,
    judge,
};

/// How the order of stamps was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// The stamp is not one of the section's lockRef.
    #[error("put {put} on {key} has stamp {stamp}, which is not of its section's token {token}")]
    OtherToken {
        /// Which put.
        put: OpId,
        /// Of which key.
        key: String,
        /// Its stamp.
        stamp: u64,
        /// The token of its section.
        token: u64,
    },
    /// Two puts have one stamp.
    #[error("puts {one} and {other} on {key} have the same stamp")]
    Twice {
        /// One of them.
        one: OpId,
        /// The other.
        other: OpId,
        /// Of which key.
        key: String,
    },
    /// A later put has a lower stamp.
    #[error(
        "put {later} on {key} began when put {earlier} was acknowledged, and its stamp is lower"
    )]
    GoesBack {
        /// The one that was acknowledged.
        earlier: OpId,
        /// The one that began then.
        later: OpId,
        /// Of which key.
        key: String,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, key) in &history.keys {
        let mut stamped: Vec<Stamped<'_>> = key.puts.values().filter_map(Stamped::new).collect();
        verdict.checked += stamped.len();
        stamped.sort_by_key(|put| put.stamp);
        for put in &stamped {
            let stamp = Stamp::from_number(put.stamp).and_then(Stamp::holding);
            let token = FencingToken::from_number(put.put.token);
            if stamp.map(|holding| holding.lock_ref) != Some(token.lock_ref()) {
                let breach = Breach::OtherToken {
                    put: put.put.op,
                    key: name.clone(),
                    stamp: put.stamp,
                    token: put.put.token,
                };
                verdict.found(breach, [put.at]);
            }
        }
        for (one, other) in stamped.iter().zip(stamped.iter().skip(1)) {
            if one.stamp == other.stamp {
                let breach = Breach::Twice {
                    one: one.put.op,
                    other: other.put.op,
                    key: name.clone(),
                };
                verdict.found(breach, [one.at, other.at]);
            }
        }
        real_time(name, &stamped, &mut verdict);
    }
    verdict
}

/// An acknowledged put.
struct Stamped<'h> {
    put: &'h Put,
    at: Moment,
    stamp: u64,
}

impl<'h> Stamped<'h> {
    fn new(put: &'h Put) -> Option<Self> {
        let (at, stamp) = put.acknowledged()?;
        Some(Self { put, at, stamp })
    }
}

/// Going down in stamps, keeps for each token the first acknowledgement so
/// far: none may be before the beginning of a put with a lower stamp.
fn real_time(key: &str, stamped: &[Stamped<'_>], verdict: &mut Verdict) {
    let mut first = BTreeMap::<u64, &Stamped<'_>>::new();
    for later in stamped.iter().rev() {
        let known = first.entry(later.put.token).or_insert(later);
        if known.at < later.put.begun && known.stamp > later.stamp {
            let breach = Breach::GoesBack {
                earlier: known.put.op,
                later: later.put.op,
                key: key.to_owned(),
            };
            verdict.found(breach, [known.at, later.put.begun, later.at]);
        }
        if later.at < known.at {
            *known = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, stamp};

    #[test]
    fn stamps_that_grow_are_fine() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        story.put(1, 11, &["y"]).passes("stamps", 2);
    }

    #[test]
    fn puts_that_were_under_way_together_have_any_order() {
        let story = Story::default().section(1, 5);
        let story = story.begins_put(1, 10, &["x"]).begins_put(1, 11, &["y"]);
        story
            .acknowledged_as(10, stamp(5, 2))
            .acknowledged_as(11, stamp(5, 1))
            .passes("stamps", 2);
    }

    #[test]
    fn a_stamp_of_another_lock_ref_is_found() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        story.acknowledged_as(10, stamp(6, 0)).fails("stamps");
    }

    #[test]
    fn a_stamp_of_an_eventual_write_is_found() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        story
            .acknowledged_as(10, 1_700_000_000_000_000)
            .fails("stamps");
    }

    #[test]
    fn a_stamp_that_two_puts_have_is_found() {
        let story = Story::default().section(1, 5);
        let story = story.begins_put(1, 10, &["x"]).begins_put(1, 11, &["y"]);
        story
            .acknowledged_as(10, stamp(5, 1))
            .acknowledged_as(11, stamp(5, 1))
            .fails("stamps");
    }

    #[test]
    fn a_stamp_that_goes_back_is_found() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        let story = story.acknowledged_as(10, stamp(5, 2));
        let story = story.begins_put(1, 11, &["y"]);
        story.acknowledged_as(11, stamp(5, 1)).fails("stamps");
    }
}
