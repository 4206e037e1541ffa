//! For how long the majority side stands still when a site is cut off.
//!
//! Only cuts that nothing else disturbs are measured: from the moment of the
//! cut until it is healed, or something of another site goes down. A key
//! *stands still* while a client of the majority side waits for it, and none
//! of them holds it. A wait for several keys stands still only where none of
//! them is held: otherwise it waits for its own kind.

use std::time::Duration;

use music_history::History;
use music_history::index::{Moment, Section};

use crate::faults::{Act, Line};

/// For how long nothing may have been down before a cut: what a fault leaves
/// behind is not the cut's.
const RECOVERED_US: u64 = 12_000_000;

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standstill {
    /// How many cuts were measured.
    pub(crate) cuts: usize,
    /// How long they lasted together.
    pub(crate) measured: Duration,
    /// How many sections the majority side was granted meanwhile.
    pub(crate) grants: usize,
    /// The longest time that one key stood still.
    pub(crate) key: Duration,
    /// The longest time without a grant of any key.
    pub(crate) side: Duration,
}

/// A cut that nothing disturbs, in microseconds of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    site: u32,
    from: u64,
    until: u64,
}

/// Measures a run. `start_ns` is when its history begins.
pub(crate) fn measure(log: &[Line], start_ns: u64, history: &History) -> Standstill {
    let mut found = Standstill::default();
    for cut in undisturbed(log, start_ns) {
        found.cuts += 1;
        found.measured += Duration::from_micros(cut.until - cut.from);
        let sections: Vec<Spell<'_>> = history
            .sections
            .values()
            .filter(|section| {
                let client = history.clients.get(&section.client);
                client.is_some_and(|client| client.site != cut.site)
            })
            .map(|section| Spell::of(history, section))
            .filter(|spell| spell.asked < cut.until && spell.over > cut.from)
            .collect();
        let mut keys: Vec<&str> = sections.iter().flat_map(Spell::keys).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            found.key = found.key.max(longest_standstill(&sections, key, cut));
        }
        let mut grants: Vec<u64> = sections.iter().filter_map(|spell| spell.granted).collect();
        grants.retain(|at| (cut.from..cut.until).contains(at));
        grants.sort_unstable();
        found.grants += grants.len();
        let ends = grants.iter().chain([&cut.until]);
        let begins = [&cut.from].into_iter().chain(&grants);
        let gaps = begins.zip(ends).map(|(from, until)| until - from);
        found.side = found.side.max(longest(gaps));
    }
    found
}

fn longest(lengths: impl Iterator<Item = u64>) -> Duration {
    Duration::from_micros(lengths.max().unwrap_or_default())
}

/// A section in time, from its client's side.
struct Spell<'h> {
    section: &'h Section,
    asked: u64,
    granted: Option<u64>,
    /// When it ended, or was given up.
    over: u64,
}

impl<'h> Spell<'h> {
    fn of(history: &History, section: &'h Section) -> Self {
        let crashed = history.clients.get(&section.client);
        let ends = [
            section.refused,
            section.lost,
            section.ended.map(|(at, _)| at),
            crashed.and_then(|client| client.crashed),
        ];
        let at = |moment: Moment| moment.at_us;
        Self {
            section,
            asked: section.asked.at_us,
            granted: section.granted_at().map(at),
            over: ends.into_iter().flatten().map(at).min().unwrap_or(u64::MAX),
        }
    }

    fn keys(&self) -> impl Iterator<Item = &'h str> + use<'h> {
        self.section.keys.iter().map(String::as_str)
    }

    fn has(&self, key: &str) -> bool {
        self.section.keys.contains(key)
    }

    fn waits(&self, at: u64) -> bool {
        self.asked <= at && at < self.granted.unwrap_or(u64::MAX).min(self.over)
    }

    fn holds(&self, at: u64) -> bool {
        self.granted.is_some_and(|granted| granted <= at) && at < self.over
    }
}

fn longest_standstill(sections: &[Spell<'_>], key: &str, cut: Cut) -> Duration {
    let mut marks: Vec<u64> = vec![cut.from, cut.until];
    for spell in sections {
        marks.extend([spell.asked, spell.over]);
        marks.extend(spell.granted);
    }
    marks.retain(|at| (cut.from..=cut.until).contains(at));
    marks.sort_unstable();
    marks.dedup();
    let (mut longest, mut since) = (0, None);
    for at in marks {
        if at < cut.until && stands_still(sections, key, at) {
            since.get_or_insert(at);
        } else if let Some(since) = since.take() {
            longest = longest.max(at - since);
        }
    }
    Duration::from_micros(longest)
}

/// Whether nobody has what somebody waits for.
fn stands_still(sections: &[Spell<'_>], key: &str, at: u64) -> bool {
    let is_held = |key: &str| {
        sections
            .iter()
            .any(|spell| spell.has(key) && spell.holds(at))
    };
    if is_held(key) {
        return false;
    }
    let mut waiters = sections
        .iter()
        .filter(|spell| spell.has(key) && spell.waits(at))
        .peekable();
    waiters.peek().is_some() && waiters.all(|spell| !spell.keys().any(is_held))
}

/// The cuts that nothing disturbs, each until something does.
fn undisturbed(log: &[Line], start_ns: u64) -> Vec<Cut> {
    let mut found: Vec<Cut> = Vec::new();
    let mut open: Option<Cut> = None;
    // Of each fault that lasts, where it is; and when one last ended elsewhere.
    let mut lasting: Vec<u32> = Vec::new();
    let mut ended: Vec<(u32, u64)> = Vec::new();
    for line in log {
        let at = line.at_ns.saturating_sub(start_ns) / 1000;
        let begins = match line.act {
            Act::CutOff { site } | Act::Down { site, .. } | Act::Died { site, .. } => Some(site),
            _ => None,
        };
        let ends = match line.act {
            Act::Healed { site } | Act::Up { site, .. } | Act::Replaced { site } => Some(site),
            _ => None,
        };
        let healed = matches!(line.act, Act::Healed { .. });
        let ends_cut = |cut: &Cut| {
            begins.is_some_and(|site| site != cut.site) || (healed && ends == Some(cut.site))
        };
        if let Some(cut) = open.take_if(|cut| ends_cut(cut)) {
            found.push(Cut { until: at, ..cut });
        }
        if let Act::CutOff { site } = line.act {
            let elsewhere = lasting.iter().any(|other| *other != site);
            let lately = |(other, until): &(u32, u64)| *other != site && until + RECOVERED_US > at;
            if !elsewhere && !ended.iter().any(lately) {
                open = Some(Cut {
                    site,
                    from: at,
                    until: at,
                });
            }
        }
        lasting.extend(begins);
        if let Some(site) = ends {
            let place = lasting.iter().position(|other| *other == site);
            place.map(|place| lasting.swap_remove(place));
            ended.push((site, at));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::faults::How;
    use music_history::{ClientId, Event, Limits, SectionId, What};

    const SECOND: u64 = 1_000_000_000;

    fn log(acts: &[(u64, Act)]) -> Vec<Line> {
        let line = |(at, act): &(u64, Act)| Line {
            at_ns: at * SECOND,
            act: act.clone(),
        };
        acts.iter().map(line).collect()
    }

    fn down(site: u32) -> Act {
        let (what, how) = ("node".to_owned(), How::Killed);
        Act::Down { site, what, how }
    }

    fn up(site: u32) -> Act {
        let what = "node".to_owned();
        Act::Up { site, what }
    }

    fn cut_of(site: u32) -> Act {
        Act::CutOff { site }
    }

    fn healed(site: u32) -> Act {
        Act::Healed { site }
    }

    fn seconds(cuts: &[Cut]) -> Vec<(u64, u64)> {
        let second = |us: u64| us / 1_000_000;
        cuts.iter()
            .map(|cut| (second(cut.from), second(cut.until)))
            .collect()
    }

    #[test]
    fn a_cut_is_measured_until_something_else_goes_wrong() {
        let alone = [(20, cut_of(0)), (30, healed(0))];
        assert_eq!(seconds(&undisturbed(&log(&alone), 0)), [(20, 30)]);
        let disturbed = [(20, cut_of(0)), (25, down(1)), (30, healed(0))];
        assert_eq!(seconds(&undisturbed(&log(&disturbed), 0)), [(20, 25)]);
        let here = [(20, cut_of(0)), (25, down(0)), (30, healed(0))];
        assert_eq!(seconds(&undisturbed(&log(&here), 0)), [(20, 30)]);
    }

    #[test]
    fn a_cut_while_another_site_suffers_is_not_measured() {
        let lasting = [(15, down(1)), (20, cut_of(0)), (30, healed(0))];
        assert!(undisturbed(&log(&lasting), 0).is_empty());
        let lately = [(5, down(1)), (15, up(1)), (20, cut_of(0)), (30, healed(0))];
        assert!(undisturbed(&log(&lately), 0).is_empty());
        let long_ago = [(1, down(1)), (2, up(1)), (20, cut_of(0)), (30, healed(0))];
        assert_eq!(undisturbed(&log(&long_ago), 0).len(), 1);
    }

    /// A section of a client of its own: its keys and site, and the seconds
    /// when it was asked for, granted if at all, and at an end.
    type Sketch<'a> = (&'a [&'a str], u32, u64, Option<u64>, u64);

    fn history(sections: &[Sketch<'_>]) -> History {
        let mut events = Vec::new();
        for (number, (keys, site, asked, granted, over)) in (1..).zip(sections) {
            let (client, section) = (ClientId(number), SectionId(number));
            events.push((
                0,
                What::Client {
                    client,
                    site: *site,
                },
            ));
            let keys: BTreeSet<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            let tokens = keys.iter().map(|key| (key.clone(), u64::from(number)));
            let tokens = tokens.collect();
            let shared = false;
            let asking = What::Asked {
                client,
                section,
                keys,
                shared,
            };
            events.push((*asked, asking));
            match granted {
                Some(granted) => {
                    events.push((*granted, What::Granted { section, tokens }));
                    events.push((*over, What::Lost { section }));
                }
                None => events.push((*over, What::Refused { section })),
            }
        }
        events.sort_by_key(|(at, _)| *at);
        let event = |(at, what): (u64, What)| Event {
            at_us: at * 1_000_000,
            what,
        };
        let events: Vec<Event> = events.into_iter().map(event).collect();
        History::read(&events, Limits::default()).unwrap()
    }

    fn measured(sections: &[Sketch<'_>]) -> (u64, u64) {
        let cut = log(&[(20, cut_of(0)), (40, healed(0))]);
        let found = measure(&cut, 0, &history(sections));
        assert_eq!(found.cuts, 1);
        (found.key.as_secs(), found.side.as_secs())
    }

    #[test]
    fn a_key_stands_still_while_one_waits_that_nobody_holds() {
        // Held at the site that is cut off, wanted elsewhere.
        let holder: Sketch<'_> = (&["k"], 0, 10, Some(11), 39);
        let waiter: Sketch<'_> = (&["k"], 1, 22, Some(29), 30);
        assert_eq!(measured(&[holder, waiter]), (7, 11));
    }

    #[test]
    fn it_does_not_where_the_majority_holds_it_or_nobody_wants_it() {
        let holder: Sketch<'_> = (&["k"], 2, 10, Some(11), 39);
        let waiter: Sketch<'_> = (&["k"], 1, 22, Some(39), 40);
        assert_eq!(measured(&[holder, waiter]).0, 0);
        assert_eq!(measured(&[(&["k"], 1, 5, Some(6), 7)]).0, 0);
    }

    #[test]
    fn a_wait_for_two_keys_waits_for_the_one_that_is_held() {
        let holder: Sketch<'_> = (&["l"], 2, 10, Some(11), 39);
        let waiter: Sketch<'_> = (&["k", "l"], 1, 22, Some(39), 40);
        assert_eq!(measured(&[holder, waiter]).0, 0);
    }
}
