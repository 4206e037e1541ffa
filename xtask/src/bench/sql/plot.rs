//! Two pictures: how long a transaction takes where nobody else is, and how
//! many there are of many clients.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum as _;

use super::of_case;
use super::report::{Measured, Report};
use super::system::System;
use crate::bench::bars::{self, Bar, Head};

/// What a bar shows of a result.
type Value = fn(&Measured) -> f64;

/// Draws both, where there is something for them. What was refused is not shown.
///
/// # Errors
///
/// When one cannot be written.
pub(super) fn all(folder: &Path, report: &Report) -> Result<()> {
    let clients = report.cases().into_iter().map(|case| case.clients);
    let (least, most) = (clients.clone().min(), clients.max());
    let pictures: [(_, _, _, Value); 2] = [
        (
            "latency",
            "A transaction: mean in ms, mean of the sites",
            least,
            Measured::mean_ms,
        ),
        (
            "throughput",
            "Transactions a second, of all sites",
            most,
            Measured::per_second,
        ),
    ];
    for (name, title, clients, value) in pictures {
        let bars = bars(report, clients, value);
        if bars.is_empty() {
            continue;
        }
        let head = Head {
            title,
            command: &report.command,
            machine: &report.machine,
            profile: &report.profile,
        };
        bars::picture(&folder.join(format!("sql-{name}.svg")), &head, &bars)?;
    }
    Ok(())
}

/// A group for each case with so many clients.
fn bars(report: &Report, clients: Option<u32>, value: Value) -> Vec<Bar> {
    let cases = report
        .cases()
        .into_iter()
        .filter(|case| Some(case.clients) == clients);
    let of_case = |case| {
        let mut measured: Vec<&Measured> = of_case(&report.measured, case)
            .filter(|measured| measured.counts())
            .collect();
        measured.sort_by_key(|measured| measured.system);
        measured.into_iter().map(move |measured| Bar {
            group: case.title(),
            name: measured.system.name(),
            colour: place(measured.system),
            value: value(measured),
        })
    };
    cases.flat_map(of_case).collect()
}

/// Its place among all.
fn place(system: System) -> usize {
    let mut all = System::value_variants().iter();
    all.position(|other| *other == system).unwrap_or(usize::MAX)
}
