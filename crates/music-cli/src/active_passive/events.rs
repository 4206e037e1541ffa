//! What the daemon tells: a line for each transition, and what goes wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use music_client::LostReason;
use serde::Serialize;

use super::clock;
use crate::output::Output;

/// Why an active replica does not stay so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The daemon begins: an earlier one may have left the service active.
    Start,
    /// The daemon is to end.
    Stop,
    /// Another one may be active now.
    Lost(LostReason),
    /// `activate` failed, or the state could not be read for it.
    Activation(String),
    /// The service is not healthy.
    Unhealthy(String),
    /// That replica of a better site waits.
    Failback(String),
}

impl Why {
    /// As scripts and programs are told.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Lost(_) => "lost",
            Self::Activation(_) => "activation_failed",
            Self::Unhealthy(_) => "unhealthy",
            Self::Failback(_) => "failback",
        }
    }

    /// More about it, for people.
    fn detail(&self) -> String {
        match self {
            Self::Start => "the daemon begins".to_owned(),
            Self::Stop => "told to end".to_owned(),
            Self::Lost(reason) => format!("the right is lost: {reason}"),
            Self::Activation(failure) | Self::Unhealthy(failure) => failure.clone(),
            Self::Failback(better) => format!("{better}, of a better site, waits"),
        }
    }

    /// Whether the service has failed here, so that others are to try.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Activation(_) | Self::Unhealthy(_))
    }
}

/// A transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// It is a replica of the service now, and passive.
    Joined { service: &'a str, site: &'a str },
    /// It asks to be active.
    Waiting,
    /// It has the right; `activate` runs.
    Activating { slot: u64, token: u64 },
    /// `activate` has succeeded.
    Active { slot: u64, token: u64 },
    /// `restart` runs.
    Restarting { attempt: u64, restarts: u64 },
    /// `deactivate` runs.
    Deactivating { why: &'a Why, token: u64 },
    /// It does not ask to be active.
    Passive,
    /// It does not ask for so long.
    Out(Duration),
    /// It is no replica any more.
    Left,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum EventJson<'a> {
    Joined {
        service: &'a str,
        site: &'a str,
    },
    Waiting,
    Activating {
        slot: u64,
        token: u64,
    },
    Active {
        slot: u64,
        token: u64,
    },
    Restarting {
        attempt: u64,
        restarts: u64,
    },
    Deactivating {
        why: &'static str,
        detail: String,
        token: u64,
    },
    Passive,
    Out {
        until_ms: u64,
    },
    Left,
}

#[derive(Serialize)]
struct LineJson<'a> {
    #[serde(flatten)]
    event: EventJson<'a>,
    replica: &'a str,
}

impl<'a> Event<'a> {
    fn json(&self) -> EventJson<'a> {
        match *self {
            Self::Joined { service, site } => EventJson::Joined { service, site },
            Self::Waiting => EventJson::Waiting,
            Self::Activating { slot, token } => EventJson::Activating { slot, token },
            Self::Active { slot, token } => EventJson::Active { slot, token },
            Self::Restarting { attempt, restarts } => EventJson::Restarting { attempt, restarts },
            Self::Deactivating { why, token } => EventJson::Deactivating {
                why: why.code(),
                detail: why.detail(),
                token,
            },
            Self::Passive => EventJson::Passive,
            Self::Out(length) => EventJson::Out {
                until_ms: clock::wall_ms_after(length),
            },
            Self::Left => EventJson::Left,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Joined { service, site } => format!("joined {service} at {site}, passive"),
            Self::Waiting => "waiting to be active".to_owned(),
            Self::Activating { slot, token } => format!("activating, slot {slot}, token {token}"),
            Self::Active { slot, token } => format!("active, slot {slot}, token {token}"),
            Self::Restarting { attempt, restarts } => {
                format!("restarting, attempt {attempt} of {restarts}")
            }
            Self::Deactivating { why, token } => {
                format!("deactivating, token {token}: {}", why.detail())
            }
            Self::Passive => "passive".to_owned(),
            Self::Out(length) => format!("out for {length:?}"),
            Self::Left => "left".to_owned(),
        }
    }
}

/// Where the daemon tells what happens.
pub(super) struct Report<'a> {
    output: &'a Output,
    replica: &'a str,
    /// What was last complained of, about each thing: a check that fails for
    /// hours is told of once.
    complaints: RefCell<BTreeMap<&'static str, String>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a Output, replica: &'a str) -> Self {
        Self {
            output,
            replica,
            complaints: RefCell::default(),
        }
    }

    /// Tells of a transition: a line for people, and one of JSON if asked for.
    pub(super) fn tell(&self, event: &Event<'_>) {
        let replica = self.replica;
        self.output.log(&format!("{replica}: {}", event.text()));
        if self.output.is_json() {
            let event = event.json();
            // Where nobody reads it, the daemon goes on all the same.
            let told = self.output.json(&LineJson { event, replica });
            told.unwrap_or_default();
        }
    }

    /// Tells what is wrong with something, once.
    pub(super) fn complain(&self, about: &'static str, text: String) {
        let mut complaints = self.complaints.borrow_mut();
        if complaints.get(about) != Some(&text) {
            self.output.warning(&format!("{}: {text}", self.replica));
            complaints.insert(about, text);
        }
    }

    /// Notes that nothing is wrong with it any more.
    pub(super) fn is_well(&self, about: &'static str) {
        self.complaints.borrow_mut().remove(about);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn transitions_are_told_as_json() {
        let why = Why::Lost(LostReason::Preempted);
        let (event, replica) = (
            Event::Deactivating {
                why: &why,
                token: 7,
            },
            "r",
        );
        let event = event.json();
        let line = serde_json::to_value(LineJson { event, replica }).unwrap();
        let expected = json!({
            "event": "deactivating",
            "why": "lost",
            "detail": "the right is lost: another client may hold it now",
            "token": 7,
            "replica": "r",
        });
        assert_eq!(line, expected);
    }
}
