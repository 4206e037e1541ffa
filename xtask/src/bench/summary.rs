//! Medians of runs, and what they are beside each other.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

/// One run of one operation against one system.
pub(super) struct Run {
    system: String,
    operation: String,
    report: Value,
}

/// What is shown of a run: its name, its title, its digits.
const COLUMNS: &[(&str, &str, usize)] = &[
    ("requests_per_second", "requests/s", 0),
    ("p50_us", "p50 µs", 0),
    ("p99_us", "p99 µs", 0),
    ("p999_us", "p99.9 µs", 0),
    ("server_cpu_us_per_request", "server CPU µs", 1),
    ("client_cpu_us_per_request", "client CPU µs", 1),
];

/// Reads what a load printed.
///
/// # Errors
///
/// When it is no list of reports.
pub(super) fn runs(json: &str) -> Result<Vec<Run>> {
    let reports: Vec<Value> = serde_json::from_str(json).context("the load printed no JSON")?;
    reports.into_iter().map(run).collect()
}

fn run(report: Value) -> Result<Run> {
    let text = |name: &str| report.get(name)?.as_str().map(str::to_owned);
    let system = text("system").context("a report without a system")?;
    let operation = text("operation").context("a report without an operation")?;
    Ok(Run {
        system,
        operation,
        report,
    })
}

impl Run {
    fn number(&self, name: &str) -> f64 {
        self.report
            .get(name)
            .and_then(Value::as_f64)
            .unwrap_or_default()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.system, self.operation)?;
        for (name, title, digits) in COLUMNS {
            write!(f, " · {title} {:.*}", digits, self.number(name))?;
        }
        Ok(())
    }
}

/// Prints runs, a line each.
pub(super) fn show(runs: &[Run]) {
    for run in runs {
        println!("{run}");
    }
}

/// A table in Markdown: a line an operation and system, then the ratio.
pub(super) fn table(runs: &[Run]) -> String {
    let mut lines = vec![head()];
    for operation in ["get", "put"] {
        let of = |system: &str| medians(runs, system, operation);
        let (music, etcd) = (of("music"), of("etcd"));
        let ratios = music
            .iter()
            .zip(&etcd)
            .map(|(ours, theirs)| ours / theirs.max(1e-9));
        lines.push(line("music", operation, &music));
        lines.push(line("etcd", operation, &etcd));
        let ratios: Vec<String> = ratios.map(|ratio| format!("{ratio:.2}")).collect();
        lines.push(format!("| ratio | {operation} | {} |", ratios.join(" | ")));
    }
    lines.join("\n")
}

fn head() -> String {
    let titles: Vec<&str> = COLUMNS.iter().map(|(_, title, _)| *title).collect();
    let rules = "---|".repeat(COLUMNS.len() + 2);
    format!("| system | operation | {} |\n|{rules}", titles.join(" | "))
}

fn line(system: &str, operation: &str, medians: &[f64]) -> String {
    let cells = medians.iter().zip(COLUMNS);
    let cells: Vec<String> = cells
        .map(|(value, (_, _, digits))| format!("{value:.digits$}"))
        .collect();
    format!("| {system} | {operation} | {} |", cells.join(" | "))
}

fn medians(runs: &[Run], system: &str, operation: &str) -> Vec<f64> {
    let of_both = |run: &&Run| run.system == system && run.operation == operation;
    let runs: Vec<&Run> = runs.iter().filter(of_both).collect();
    let median_of = |name| median(runs.iter().map(|run| run.number(name)).collect());
    COLUMNS.iter().map(|(name, ..)| median_of(name)).collect()
}

/// The middle value, or the mean of the two in the middle; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle))
    }
}

/// The machine, as far as it matters here.
pub(super) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split(':').nth(1))
        .unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores ({}), Linux {}, load average at the end {}",
        model.trim(),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split_whitespace().next().unwrap_or("unknown")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_medians_and_their_ratio() {
        let report = |system: &str, rate: u32| {
            format!(r#"{{"system":"{system}","operation":"get","requests_per_second":{rate}}}"#)
        };
        let reports = [("music", 30), ("music", 50), ("music", 40), ("etcd", 20)];
        let json: Vec<String> = reports.map(|(system, rate)| report(system, rate)).into();
        let text = table(&runs(&format!("[{}]", json.join(","))).unwrap());
        assert!(text.contains("| music | get | 40 |"), "{text}");
        assert!(text.contains("| ratio | get | 2.00 |"), "{text}");
    }

    #[test]
    fn a_median_of_two_is_their_mean() {
        assert!((median(vec![3.0, 1.0]) - 2.0).abs() < 1e-9);
        assert!(median(Vec::new()).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        assert!(runs("hello").is_err());
        assert!(runs(r#"[{"system":"music"}]"#).is_err());
    }
}
