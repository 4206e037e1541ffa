//! What is done, and how much of it.

use clap::ValueEnum;
use serde::Serialize;

use super::agent::How;
use super::system::System;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scenario {
    /// A key of its own at each site, again and again
    Home,
    /// A key that the sites use in turn, one after the other
    Turn,
    /// One key that clients of all sites want at once
    Contended,
    /// From a release at one site to the grant at another that waits
    HandOver,
    /// Many clients with keys of their own: as fast as it goes, then at a fixed rate
    Throughput,
    /// Keys that are used at their home site but for one section of ten
    Skew,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Case {
    pub(super) scenario: Scenario,
    pub(super) puts: u32,
    pub(super) value_bytes: u32,
    pub(super) how: How,
    /// How many clients a site has.
    pub(super) clients: u32,
}

/// What to choose from.
pub(super) struct Choice<'a> {
    pub(super) scenarios: &'a [Scenario],
    pub(super) puts: &'a [u32],
    pub(super) value_bytes: &'a [u32],
    pub(super) hows: &'a [How],
    /// Of those that want one key.
    pub(super) contenders: &'a [u32],
}

/// The size of values where it is not what is looked at.
const SMALL: u32 = 256;
/// Values from this size on are not put by the hundred.
const LARGE: u32 = 256 * 1024;
const LARGE_PUTS_MAX: u32 = 10;
/// Puts of a section of many clients at once.
const THROUGHPUT_PUTS: u32 = 10;
const THROUGHPUT_CLIENTS: u32 = 16;
/// Keys of each site under skew.
const SKEW_CLIENTS: u32 = 4;

impl Scenario {
    /// How many sections there are for each time that is measured.
    pub(super) fn sections_each(self) -> u64 {
        // The one that hands over, and the one that waits for it.
        if self == Self::HandOver { 2 } else { 1 }
    }

    /// Whether it is about sections a second, of clients that go on and on.
    pub(super) fn is_of_rate(self) -> bool {
        matches!(self, Self::Contended | Self::Throughput | Self::Skew)
    }

    /// As it is written, in arguments and results.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Case {
    /// What comes first among those of a scenario.
    pub(super) fn order(&self) -> impl Ord + use<> {
        (self.value_bytes, self.puts, self.clients, self.how)
    }

    /// In a line.
    pub(super) fn title(&self) -> String {
        let Self { puts, how, .. } = self;
        let name = self.scenario.name();
        let puts = match (puts, how) {
            (1, _) => "1 put".to_owned(),
            (_, How::OneByOne) => format!("{puts} puts one by one"),
            (_, How::Pipelined) => format!("{puts} puts pipelined"),
            (_, How::Batch) => format!("{puts} puts in a batch"),
        };
        let (bytes, clients) = (self.value_bytes, self.clients);
        let plural = if clients == 1 { "" } else { "s" };
        format!("{name}, {puts}, {bytes} B, {clients} client{plural} a site")
    }
}

/// What is to be done with a system.
pub(super) fn cases(choice: &Choice<'_>, system: System) -> Vec<Case> {
    let all = choice.scenarios.iter();
    all.flat_map(|scenario| of_scenario(*scenario, choice, system))
        .collect()
}

fn of_scenario(scenario: Scenario, choice: &Choice<'_>, system: System) -> Vec<Case> {
    let case = |puts, value_bytes, how, clients| Case {
        scenario,
        puts,
        value_bytes,
        how,
        clients,
    };
    match scenario {
        Scenario::Home | Scenario::Turn => {
            let sizes = choice.value_bytes.iter();
            let all = sizes.flat_map(|bytes| choice.puts.iter().map(move |puts| (*puts, *bytes)));
            all.filter(|(puts, bytes)| *bytes < LARGE || *puts <= LARGE_PUTS_MAX)
                .flat_map(|(puts, bytes)| {
                    hows(choice, system, (puts, bytes)).map(move |how| case(puts, bytes, how, 1))
                })
                .collect()
        }
        Scenario::Contended => {
            let clients = choice.contenders.iter();
            clients
                .map(|clients| case(1, SMALL, How::OneByOne, *clients))
                .collect()
        }
        Scenario::HandOver => vec![case(1, SMALL, How::OneByOne, 1)],
        Scenario::Throughput => hows(choice, system, (THROUGHPUT_PUTS, SMALL))
            .map(|how| case(THROUGHPUT_PUTS, SMALL, how, THROUGHPUT_CLIENTS))
            .collect(),
        Scenario::Skew => vec![case(1, SMALL, How::OneByOne, SKEW_CLIENTS)],
    }
}

/// How so many puts of that size can be made, and are to be.
fn hows(
    choice: &Choice<'_>,
    system: System,
    (puts, bytes): (u32, u32),
) -> impl Iterator<Item = How> {
    let fits = puts.saturating_mul(bytes) <= system.request_bytes_max();
    let all = system.hows().iter().copied();
    all.filter(move |how| match how {
        How::OneByOne => puts == 1 || choice.hows.contains(how),
        How::Pipelined => puts > 1 && choice.hows.contains(how),
        How::Batch => puts > 1 && fits && choice.hows.contains(how),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Choice<'static> = Choice {
        scenarios: &[Scenario::Home],
        puts: &[1, 10, 100],
        value_bytes: &[256, 256 * 1024],
        hows: &[How::OneByOne, How::Batch],
        contenders: &[1],
    };

    #[test]
    fn one_put_is_made_one_way() {
        let cases = cases(&ALL, System::MusicCassandra);
        let of_one = cases.iter().filter(|case| case.puts == 1);
        assert!(of_one.clone().all(|case| case.how == How::OneByOne));
        assert_eq!(of_one.count(), 2);
    }

    #[test]
    fn large_values_are_not_put_by_the_hundred() {
        let cases = cases(&ALL, System::Etcd);
        let is_there = |puts, value_bytes, how| {
            let mut found = cases.iter().filter(|case| case.puts == puts);
            found.any(|case| case.value_bytes == value_bytes && case.how == how)
        };
        assert!(is_there(100, 256, How::Batch));
        assert!(!is_there(100, LARGE, How::OneByOne));
        assert!(is_there(10, LARGE, How::OneByOne));
        assert!(
            !is_there(10, LARGE, How::Batch),
            "etcd refuses such requests"
        );
    }

    #[test]
    fn a_case_is_told_in_a_line() {
        let choice = Choice {
            scenarios: &[Scenario::Throughput],
            ..ALL
        };
        let titles: Vec<String> = cases(&choice, System::CassandraTransactions)
            .iter()
            .map(Case::title)
            .collect();
        assert_eq!(
            titles,
            ["throughput, 10 puts one by one, 256 B, 16 clients a site"]
        );
    }
}
