//! How the nodes of Cassandra are set.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use music_store::cassandra::Config;
use music_store::cassandra::survey::Survey;

use super::finding::{Finding, ms};

const SETTINGS: &str = "cassandra.settings";
const VARIANT: &str = "cassandra.paxos_variant";
const PURGING: &str = "cassandra.paxos_state_purging";
const TIMESTAMPS: &str = "cassandra.timestamps";
const TIMEOUTS: &str = "cassandra.timeouts";
/// Settings that refuse writes by their timestamps.
const REFUSING: [&str; 2] = [
    "maximum_timestamp_fail_threshold",
    "minimum_timestamp_fail_threshold",
];
/// Settings that complain of each write by its timestamp.
const WARNING: [&str; 2] = [
    "maximum_timestamp_warn_threshold",
    "minimum_timestamp_warn_threshold",
];
const TIMEOUT_SETTINGS: [&str; 3] = [
    "read_request_timeout",
    "write_request_timeout",
    "cas_contention_timeout",
];

/// Nodes, by what they say of a setting.
type ByValue<'a> = BTreeMap<Option<&'a str>, Vec<String>>;

/// Judges the settings.
pub(super) fn judge(config: &Config, survey: &Survey) -> Vec<Finding> {
    let mut findings = told(survey);
    let variants = by_value(survey, "paxos_variant");
    if !variants.is_empty() {
        findings.extend(variant(&variants));
        findings.extend(purging(&by_value(survey, "paxos_state_purging")));
    }
    findings.extend(timestamps(survey));
    findings.extend(timeouts(config, survey));
    findings
}

/// Whether the nodes tell their settings at all.
fn told(survey: &Survey) -> Vec<Finding> {
    let nodes = survey.nodes.iter();
    let silent = nodes.filter_map(|node| match &node.answer {
        Ok(answer) if answer.settings.is_none() => Some((node.address, answer.scylla)),
        _ => None,
    });
    silent
        .map(|(address, scylla)| {
            let finding = Finding::warning(
                SETTINGS,
                format!("{address} does not tell its settings, so they are not checked"),
            );
            if scylla {
                finding
                    .because(
                        "if it refuses timestamps of the future, as ScyllaDB does unless told \
                         otherwise, every critical put fails",
                    )
                    .advise("see that scylla.yaml has restrict_future_timestamp: false")
            } else {
                finding
                    .because("Cassandra before 4.0 does not, nor to a user who may not ask")
                    .advise(
                        "let this user read system_views.settings, or see that cassandra.yaml has \
                         paxos_variant: v2, paxos_state_purging: repaired, and no guardrail on \
                         timestamps",
                    )
            }
        })
        .collect()
}

/// What the nodes of Cassandra that tell say of a setting.
fn by_value<'a>(survey: &'a Survey, name: &str) -> ByValue<'a> {
    let mut values = ByValue::new();
    for node in &survey.nodes {
        let Ok(answer) = &node.answer else { continue };
        let (Some(settings), false) = (&answer.settings, answer.scylla) else {
            continue;
        };
        let value = settings.get(name).map(String::as_str);
        values
            .entry(value)
            .or_default()
            .push(node.address.to_string());
    }
    values
}

fn variant(values: &ByValue<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (value, nodes) in values {
        let (nodes, advice) = (nodes.join(", "), "set paxos_variant: v2 at all nodes");
        match value.unwrap_or("v1") {
            "v2" => {}
            "v1" => findings.push(
                Finding::warning(VARIANT, format!("paxos_variant is v1 at {nodes}"))
                    .because("an enqueue takes four rounds instead of two")
                    .advise(advice),
            ),
            other => findings.push(
                Finding::error(VARIANT, format!("paxos_variant is {other} at {nodes}"))
                    .because(
                        "a read at SERIAL may miss what was decided before it: two sections \
                         could hold one lock",
                    )
                    .advise(advice),
            ),
        }
    }
    if values.len() > 1 {
        findings.push(
            Finding::warning(VARIANT, "the nodes differ in paxos_variant")
                .because("each enqueue goes by the rules of the node that does it")
                .advise("give all nodes the same: v2"),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(VARIANT, "paxos_variant is v2 at all nodes"));
    }
    findings
}

fn purging(values: &ByValue<'_>) -> Vec<Finding> {
    let wrong = values
        .iter()
        .filter(|(value, _)| **value != Some("repaired"));
    let mut findings: Vec<_> = wrong
        .map(|(value, nodes)| {
            let (value, nodes) = (value.unwrap_or("legacy"), nodes.join(", "));
            Finding::error(
                PURGING,
                format!("paxos_state_purging is {value} at {nodes}"),
            )
            .because(
                "transactions commit in one data centre, and the others know them by Paxos's own \
                 state: where that is purged by age, a site that fails can take a decision with \
                 it, and a lock can be granted twice",
            )
            .advise("set paxos_state_purging: repaired at all nodes, and keep it")
        })
        .collect();
    if findings.is_empty() {
        let what = "paxos_state_purging is repaired at all nodes";
        findings.push(Finding::ok(PURGING, what));
    }
    findings
}

/// Whether any timestamp is taken: stamps are no times.
fn timestamps(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in &survey.nodes {
        let Ok(answer) = &node.answer else { continue };
        let Some(settings) = &answer.settings else {
            continue;
        };
        let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set == value);
        let at = node.address;
        let refusing = REFUSING.iter().filter(|name| settings.contains_key(**name));
        let mut refusing: Vec<String> = refusing
            .map(|name| format!("{name} is set at {at}"))
            .collect();
        if is("user_timestamps_enabled", "false") {
            refusing.push(format!("user_timestamps_enabled is false at {at}"));
        }
        if is("restrict_future_timestamp", "true") {
            refusing.push(format!("restrict_future_timestamp is true at {at}"));
        }
        findings.extend(refusing.into_iter().map(|what| {
            Finding::error(TIMESTAMPS, what)
                .because(
                    "the timestamps of MUSIC's writes are lock references, not times, and may \
                     seem far away: such writes are refused",
                )
                .advise(
                    "unset it; with user_timestamps_enabled: true, restrict_future_timestamp: \
                 false",
                )
        }));
        let warning = WARNING.iter().filter(|name| settings.contains_key(**name));
        findings.extend(warning.map(|name| {
            Finding::warning(TIMESTAMPS, format!("{name} is set at {at}"))
                .because("Cassandra logs a warning for every write of MUSIC's")
                .advise("unset it")
        }));
    }
    let told = |node: &music_store::cassandra::survey::Node| {
        let answer = node.answer.as_ref().ok();
        answer.is_some_and(|answer| answer.settings.is_some())
    };
    if findings.is_empty() && survey.nodes.iter().any(told) {
        let what = "no node refuses a write for its timestamp";
        findings.push(Finding::ok(TIMESTAMPS, what));
    }
    findings
}

/// Whether it is Cassandra that says what has timed out.
fn timeouts(config: &Config, survey: &Survey) -> Vec<Finding> {
    let mut longest: BTreeSet<(Duration, &str)> = BTreeSet::new();
    for node in &survey.nodes {
        let Ok(answer) = &node.answer else { continue };
        let Some(settings) = &answer.settings else {
            continue;
        };
        longest.extend(TIMEOUT_SETTINGS.into_iter().filter_map(|name| {
            let value = settings
                .get(name)
                .or(settings.get(&format!("{name}_in_ms")));
            Some((duration(value?)?, name))
        }));
    }
    let mut findings = Vec::new();
    let ours = config.request_time;
    match longest.last() {
        Some((theirs, name)) if ours <= *theirs => findings.push(
            Finding::warning(
                TIMEOUTS,
                format!(
                    "cassandra.request_timeout_ms is {}, and Cassandra's {name} is {}",
                    ours.as_millis(),
                    ms(*theirs)
                ),
            )
            .because(
                "the node gives up before Cassandra says what has timed out, and what Cassandra \
                 goes on with meets the next try",
            )
            .advise(format!(
                "set cassandra.request_timeout_ms above {}, or lower Cassandra's time-outs",
                theirs.as_millis()
            )),
        ),
        Some((theirs, name)) => findings.push(Finding::ok(
            TIMEOUTS,
            format!(
                "cassandra.request_timeout_ms is {}, above Cassandra's longest: {name}, {}",
                ours.as_millis(),
                ms(*theirs)
            ),
        )),
        None => {}
    }
    if config.call_time < ours {
        findings.push(
            Finding::warning(
                TIMEOUTS,
                format!(
                    "cassandra.call_timeout_ms is {}, and cassandra.request_timeout_ms is {}",
                    config.call_time.as_millis(),
                    ours.as_millis()
                ),
            )
            .because("a call ends before its first request may")
            .advise("set cassandra.call_timeout_ms to twice cassandra.request_timeout_ms or more"),
        );
    }
    findings
}

/// A time as `cassandra.yaml` has it: `5s`, `1800ms`, and before 4.1 `1800`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    Some(match unit.trim() {
        "" | "ms" => Duration::from_millis(number),
        "us" | "µs" => Duration::from_micros(number),
        "ns" => Duration::from_nanos(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3_600)?),
        "d" => Duration::from_secs(number.checked_mul(86_400)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::doctor::fixture::{self, answer, assert_problem, problems, set};

    /// The findings where one node has one setting otherwise.
    fn with(name: &str, value: &str) -> Vec<Finding> {
        let mut survey = fixture::cassandra();
        set(&mut survey, "oregon", name, value);
        judge(&fixture::config(), &survey)
    }

    #[test]
    fn what_the_documentation_asks_for_is_right() {
        let findings = judge(&fixture::config(), &fixture::cassandra());
        assert_eq!(problems(&findings), [] as [String; 0]);
        assert_eq!(findings.len(), 4, "{findings:?}");
    }

    #[test]
    fn the_variant_of_paxos_is_judged_and_must_be_the_same() {
        let check = "cassandra.paxos_variant";
        let findings = with("paxos_variant", "v1");
        assert_problem(
            &findings,
            &format!("Warning {check}"),
            "v1 at 10.0.0.3:9042",
        );
        assert_problem(&findings, &format!("Warning {check}"), "the nodes differ");
        let unsafe_variant = "v2_without_linearizable_reads";
        let findings = with("paxos_variant", unsafe_variant);
        assert_problem(&findings, &format!("Error {check}"), unsafe_variant);
    }

    #[test]
    fn a_state_that_is_purged_by_age_is_an_error() {
        for value in ["legacy", "gc_grace"] {
            let findings = with("paxos_state_purging", value);
            let contains = format!("{value} at 10.0.0.3:9042");
            assert_problem(&findings, "Error cassandra.paxos_state_purging", &contains);
        }
    }

    #[test]
    fn what_refuses_stamps_is_an_error() {
        for (name, value) in [
            ("maximum_timestamp_fail_threshold", "1d"),
            ("minimum_timestamp_fail_threshold", "1d"),
            ("user_timestamps_enabled", "false"),
        ] {
            assert_problem(&with(name, value), "Error cassandra.timestamps", name);
        }
        let name = "maximum_timestamp_warn_threshold";
        assert_problem(&with(name, "1d"), "Warning cassandra.timestamps", name);
    }

    #[test]
    fn a_scylla_is_asked_for_its_own_setting() {
        let mut survey = fixture::cassandra();
        let name = "restrict_future_timestamp".to_owned();
        for site in ["ohio", "ncalifornia", "oregon"] {
            let answer = answer(&mut survey, site);
            answer.scylla = true;
            answer.settings = Some([(name.clone(), "false".to_owned())].into());
        }
        let config = fixture::config();
        let findings = judge(&config, &survey);
        assert_eq!(problems(&findings), [] as [String; 0]);
        set(&mut survey, "ohio", &name, "true");
        let findings = judge(&config, &survey);
        assert_problem(&findings, "Error cassandra.timestamps", &name);
        answer(&mut survey, "ohio").settings = None;
        let findings = judge(&config, &survey);
        assert_problem(&findings, "Warning cassandra.settings", &name);
    }

    #[test]
    fn settings_that_are_not_told_are_said_to_be_unchecked() {
        let mut survey = fixture::cassandra();
        answer(&mut survey, "ohio").settings = None;
        let findings = judge(&fixture::config(), &survey);
        assert_problem(&findings, "Warning cassandra.settings", "10.0.0.2:9042");
        assert_eq!(problems(&findings).len(), 1);
    }

    #[test]
    fn a_request_must_outlast_the_servers_patience() {
        let check = "Warning cassandra.timeouts";
        let findings = with("write_request_timeout", "7s");
        assert_problem(&findings, check, "write_request_timeout is 7000 ms");
        let mut survey = fixture::cassandra();
        let settings = answer(&mut survey, "ohio").settings.as_mut().unwrap();
        settings.remove("read_request_timeout");
        settings.insert("read_request_timeout_in_ms".to_owned(), "9000".to_owned());
        let mut config = fixture::config();
        config.call_time = Duration::from_secs(5);
        let findings = judge(&config, &survey);
        assert_problem(&findings, check, "above 9000");
        assert_problem(&findings, check, "call_timeout_ms is 5000");
    }

    #[test]
    fn times_are_read_as_cassandra_writes_them() {
        for (text, ms) in [
            ("1800ms", Some(1_800)),
            ("1800", Some(1_800)),
            ("2s", Some(2_000)),
            ("3m", Some(180_000)),
            ("1h", Some(3_600_000)),
            ("soon", None),
            ("5 parsecs", None),
        ] {
            assert_eq!(duration(text), ms.map(Duration::from_millis), "{text}");
        }
    }
}
