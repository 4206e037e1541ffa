//! `music doctor`.

use std::path::PathBuf;

use clap::Args;
use music_server::config::{Config, Overrides};
use music_server::engine::doctor::{self, Finding, Level, Report, counted};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Check the engines of a deployment, and say what is wrong
///
/// Looks at every server of the engines that the configuration names, from this machine: to be run
/// where a node of MUSIC runs or will run, before it does and whenever something is odd, at each
/// site. Servers that do not answer, data centres, replication, Cassandra's settings that MUSIC
/// depends on, versions, clocks, delays and what they make operations cost, leases and time-outs.
/// Each finding is ok, a warning or an error, and says what it means and what to do. Nothing is
/// changed. Ends with 81 where there are errors, with 0 otherwise, warnings or not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music doctor --config music.toml
  music doctor --config music.toml --problems
  MUSIC_CASSANDRA_PASSWORD=secret music doctor --config music.toml
  music doctor --config music.toml --json | jq '.findings[] | select(.level == \"error\")'")]
pub(crate) struct Doctor {
    /// The file with the settings of a node, TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show warnings and errors only
    #[arg(long)]
    problems: bool,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    site: &'a str,
    engine: &'a str,
    errors: usize,
    warnings: usize,
    findings: Vec<&'a Finding>,
}

/// Checks a deployment.
pub(crate) async fn run(doctor: &Doctor, output: &Output) -> Result<Exit, Failure> {
    let config = Config::load(doctor.config.as_deref(), &Overrides::default())?;
    output.progress("asking the engines: some seconds");
    let report = doctor::examine(&config).await;
    let least = if doctor.problems {
        Level::Warning
    } else {
        Level::Ok
    };
    let findings = report.findings.iter();
    let findings: Vec<_> = findings.filter(|finding| finding.level >= least).collect();
    let errors = report.count(Level::Error);
    let json = ReportJson {
        site: &report.site,
        engine: report.engine,
        errors,
        warnings: report.count(Level::Warning),
        findings: findings.clone(),
    };
    output.either(&json, || text(&report, &findings))?;
    Ok(if errors > 0 {
        Exit::Unsound
    } else {
        Exit::Done
    })
}

fn text(report: &Report, findings: &[&Finding]) -> String {
    let mut lines: Vec<_> = findings.iter().map(|finding| lines(finding)).collect();
    lines.push(format!(
        "\n{} from the site {}: {}, {}, {} ok",
        report.engine,
        report.site,
        counted(report.count(Level::Error), "error"),
        counted(report.count(Level::Warning), "warning"),
        report.count(Level::Ok)
    ));
    lines.join("\n")
}

fn lines(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Error => "ERROR",
    };
    let mut text = format!("{level:<8} {}: {}", finding.check, finding.what);
    for (name, part) in [("why", &finding.meaning), ("to do", &finding.advice)] {
        if let Some(part) = part {
            text = format!("{text}\n         {name}: {part}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_why_it_matters_and_what_to_do() {
        let finding = Finding {
            level: Level::Error,
            check: "cassandra.schema",
            what: "the keyspace music is not set up".to_owned(),
            meaning: Some("a node does not start without it".to_owned()),
            advice: Some("run `music engine init` once".to_owned()),
        };
        let report = Report {
            site: "ohio".to_owned(),
            engine: "cassandra",
            findings: vec![finding.clone()],
        };
        let expected = "ERROR    cassandra.schema: the keyspace music is not set up\n         \
                        why: a node does not start without it\n         \
                        to do: run `music engine init` once\n\n\
                        cassandra from the site ohio: 1 error, 0 warnings, 0 ok";
        assert_eq!(text(&report, &[&finding]), expected);
    }
}
