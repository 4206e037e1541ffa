//! The faults of a run, as `cargo xtask torture` logs them.
//!
//! A fault is logged so that it never seems longer than it was where that
//! would excuse something, nor shorter where it would accuse: a cut is logged
//! when it holds and healed before it ends; what goes down is logged before,
//! and what is up again when it serves.

use std::collections::BTreeMap;

use music_history::What;
use serde::{Deserialize, Serialize};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// When, by the machine's monotonic clock.
    pub(crate) at_ns: u64,
    #[serde(flatten)]
    pub(crate) act: Act,
}

/// What was done, or came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Act {
    /// A site is cut off from all others.
    CutOff { site: u32 },
    /// It is about to be connected again.
    Healed { site: u32 },
    /// Something of a site is about to be killed or paused.
    Down { site: u32, what: String, how: How },
    /// It serves again.
    Up { site: u32, what: String },
    /// A process of clients was killed, and is gone.
    Died { site: u32, process: String },
    /// Another one takes its place.
    Replaced { site: u32 },
    /// No further fault: all is healed and serves.
    Calm,
    /// All clients have shown that everything can be had.
    End,
    /// What must not be: something does not come to rest.
    Failed { text: String },
}

/// How something goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// By SIGKILL.
    Killed,
    /// By SIGSTOP.
    Paused,
}

/// Tells the faults as a history does: a site is down while anything of it is.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    down: BTreeMap<u32, usize>,
}

impl Teller {
    /// What a history says of it; clients that died are told by who knows them.
    pub(crate) fn tell(&mut self, act: &Act) -> Option<What> {
        match *act {
            Act::CutOff { site } => Some(What::CutOff { site }),
            Act::Healed { site } => Some(What::Healed { site }),
            Act::Down { site, .. } => {
                let down = self.down.entry(site).or_default();
                *down += 1;
                (*down == 1).then_some(What::Down { site })
            }
            Act::Up { site, .. } => {
                let down = self.down.entry(site).or_default();
                let was_last = *down == 1;
                *down = down.saturating_sub(1);
                was_last.then_some(What::Up { site })
            }
            Act::Calm => Some(What::Calm),
            Act::End => Some(What::End),
            Act::Died { .. } | Act::Replaced { .. } | Act::Failed { .. } => None,
        }
    }
}

/// How often each kind of fault happened.
pub(crate) fn count(log: &[Line]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in log {
        let kind = match &line.act {
            Act::CutOff { .. } => "site cut off".to_owned(),
            Act::Down { what, how, .. } => match how {
                How::Killed => format!("{what} killed"),
                How::Paused => format!("{what} paused"),
            },
            Act::Died { .. } => "clients killed".to_owned(),
            _ => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(what: &str) -> Act {
        Act::Down {
            site: 1,
            what: what.to_owned(),
            how: How::Killed,
        }
    }

    fn up(what: &str) -> Act {
        let what = what.to_owned();
        Act::Up { site: 1, what }
    }

    #[test]
    fn a_site_is_down_while_anything_of_it_is() {
        let mut teller = Teller::default();
        let acts = [down("node"), down("etcd"), up("node"), up("etcd")];
        let told: Vec<_> = acts.iter().map(|act| teller.tell(act)).collect();
        let (down, up) = (What::Down { site: 1 }, What::Up { site: 1 });
        assert_eq!(told, [Some(down), None, None, Some(up)]);
    }

    #[test]
    fn a_line_is_one_flat_object() {
        let text = r#"{"at_ns":5,"event":"down","site":1,"what":"node","how":"killed"}"#;
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(line.act, down("node"));
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        let text = r#"{"at_ns":5,"event":"flooded","site":1}"#;
        assert!(serde_json::from_str::<Line>(text).is_err());
    }
}
