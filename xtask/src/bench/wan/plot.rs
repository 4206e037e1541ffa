//! Plots of what was measured: a picture a scenario, bars of systems side by
//! side. What was refused is not shown.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum as _;

use super::super::bars::{self, Bar, Head};
use super::report::{Measured, Report};
use super::scenario::Scenario;
use super::system::System;

/// A picture.
struct Picture {
    name: &'static str,
    title: &'static str,
    scenario: Scenario,
    /// What a bar shows, with what that is called within its group.
    bars: fn(&Measured) -> Vec<(String, f64)>,
}

const PICTURES: [Picture; 6] = [
    Picture {
        name: "home",
        title: "A section on the site's own key: median in ms, mean of the sites",
        scenario: Scenario::Home,
        bars: median,
    },
    Picture {
        name: "turn",
        title: "A section on a key that the sites use in turn: median in ms, mean of the sites",
        scenario: Scenario::Turn,
        bars: median,
    },
    Picture {
        name: "contended",
        title: "One key wanted at all sites: sections a second",
        scenario: Scenario::Contended,
        bars: |measured| vec![(String::new(), measured.per_second(""))],
    },
    Picture {
        name: "hand-over",
        title: "From a release at one site to the grant at another: median in ms",
        scenario: Scenario::HandOver,
        bars: |measured| {
            let row =
                |row: &super::report::Row| (format!("{}, {}", row.site, row.what), row.median_ms);
            measured.rows.iter().map(row).collect()
        },
    },
    Picture {
        name: "throughput",
        title: "16 clients a site, keys of their own: sections a second, CPU of one in ms",
        scenario: Scenario::Throughput,
        bars: |measured| {
            let rate = (
                ": sections a second".to_owned(),
                measured.per_second("closed loop"),
            );
            let cpu = (": CPU in ms".to_owned(), measured.cost.servers_cpu_ms());
            vec![rate, cpu]
        },
    },
    Picture {
        name: "skew",
        title: "9 of 10 sections at the key's home site: median in ms, mean of the sites",
        scenario: Scenario::Skew,
        bars: |measured| {
            let mean = |what: &str| {
                Some((
                    format!(": {what}"),
                    measured.mean(what, |row| row.median_ms)?,
                ))
            };
            ["home", "away"].into_iter().filter_map(mean).collect()
        },
    },
];

/// Writes all pictures for which there is something.
///
/// # Errors
///
/// When one cannot be written.
pub(super) fn all(folder: &Path, report: &Report) -> Result<()> {
    for picture in &PICTURES {
        let bars = picture.bars(&report.measured);
        if bars.is_empty() {
            continue;
        }
        let path = folder.join(format!("wan-{}.svg", picture.name));
        let head = Head {
            title: picture.title,
            command: &report.command,
            machine: &report.machine,
            profile: &report.profile,
        };
        bars::picture(&path, &head, &bars)?;
    }
    Ok(())
}

fn median(measured: &Measured) -> Vec<(String, f64)> {
    let mean = measured.mean("", |row| row.median_ms);
    mean.map(|mean| (String::new(), mean)).into_iter().collect()
}

impl Picture {
    /// Its bars, those of a group together, systems in their order.
    fn bars(&self, measured: &[Measured]) -> Vec<Bar> {
        let of_scenario = |measured: &&Measured| {
            measured.case.scenario == self.scenario && measured.refused.is_none()
        };
        let mut measured: Vec<&Measured> = measured.iter().filter(of_scenario).collect();
        measured.sort_by_key(|measured| (measured.case.order(), measured.system));
        let bars = |measured: &&Measured| {
            let (group, system) = (measured.case.title(), measured.system);
            let bar = move |(what, value)| Bar {
                group: format!("{group}{what}"),
                name: system.name(),
                colour: place(system),
                value,
            };
            (self.bars)(measured)
                .into_iter()
                .map(bar)
                .collect::<Vec<_>>()
        };
        let mut groups: Vec<Vec<Bar>> = Vec::new();
        for bar in measured.iter().flat_map(bars) {
            let mut known = groups.iter_mut();
            let same = known.find(|group| group.first().is_some_and(|one| one.group == bar.group));
            match same {
                Some(group) => group.push(bar),
                None => groups.push(vec![bar]),
            }
        }
        groups.into_iter().flatten().collect()
    }
}

/// Its place among all.
fn place(system: System) -> usize {
    let mut all = System::value_variants().iter();
    all.position(|other| *other == system).unwrap_or(usize::MAX)
}
