//! How far away everything is, what that makes operations cost, and whether
//! leases and time-outs leave room for it.

use std::collections::BTreeMap;
use std::time::Duration;

use music_store::cassandra::Config;
use music_store::cassandra::survey::Survey;

use super::finding::{Finding, major_minor, ms};
use super::replicas::{self, Replicas};

const DELAYS: &str = "cassandra.delays";
const COST: &str = "cost";
const LEASE: &str = "node_lease";
const TIMEOUTS: &str = "cassandra.timeouts";
/// How many rounds a call must have time for: a command that others were in
/// the way of.
const CALL_ROUNDS: u32 = 10;
/// How many rounds a lease should last, and must.
const LEASE_ROUNDS: u32 = 10;
const LEASE_ROUNDS_MIN: u32 = 4;

/// A round trip to the farthest member of the nearest majority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) took: Duration,
    /// The data centres of that majority, the nearest first.
    pub(super) through: Vec<String>,
}

/// How an enqueue is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enqueue {
    /// By a transaction of Cassandra.
    Cassandra,
    /// In a lock store of its own, where an agreement takes so long.
    Took(Duration),
    /// In a lock store of its own that does not answer.
    Unknown,
}

/// Judges the delays of Cassandra.
pub(super) fn judge(
    config: &Config,
    survey: &Survey,
    lease: Duration,
    enqueue: Enqueue,
) -> Vec<Finding> {
    let rtts = rtts(survey);
    let mut findings: Vec<_> = delays(&rtts).into_iter().collect();
    let replicas = replicas::replicas(config, survey);
    let Some(round) = round(&replicas, &rtts) else {
        return findings;
    };
    findings.push(cost(survey, &round, enqueue));
    findings.push(leases(lease, round.took));
    findings.extend(calls(config, round.took));
    findings
}

/// The round trip to each data centre that answers: the median of its nodes.
fn rtts(survey: &Survey) -> BTreeMap<&str, Duration> {
    let mut all: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for node in &survey.nodes {
        if let Ok(answer) = &node.answer {
            let rtts = all.entry(&node.datacentre).or_default();
            rtts.push(answer.rtt);
        }
    }
    let median = |mut rtts: Vec<Duration>| {
        rtts.sort_unstable();
        rtts.get(rtts.len() / 2).copied().unwrap_or_default()
    };
    all.into_iter()
        .map(|(name, rtts)| (name, median(rtts)))
        .collect()
}

fn delays(rtts: &BTreeMap<&str, Duration>) -> Option<Finding> {
    let each = rtts
        .iter()
        .map(|(name, rtt)| format!("{name} {}", ms(*rtt)));
    let each = each.collect::<Vec<_>>().join(", ");
    (!each.is_empty()).then(|| Finding::ok(DELAYS, format!("round trips from here: {each}")))
}

/// The nearest majority; `None` where there is none.
pub(super) fn round(replicas: &Replicas, rtts: &BTreeMap<&str, Duration>) -> Option<Round> {
    let mut nearest: Vec<(Duration, &String, usize)> = replicas
        .iter()
        .filter_map(|(name, count)| Some((*rtts.get(name.as_str())?, name, *count)))
        .collect();
    nearest.sort_unstable();
    let mut missing = replicas::majority(replicas);
    let mut through = Vec::new();
    for (took, name, count) in nearest {
        through.push(name.clone());
        missing = missing.saturating_sub(count);
        if missing == 0 {
            return Some(Round { took, through });
        }
    }
    None
}

fn cost(survey: &Survey, round: &Round, enqueue: Enqueue) -> Finding {
    let rounds = rounds(survey);
    let enqueue = match enqueue {
        Enqueue::Took(took) => format!("takes about {}", ms(took)),
        Enqueue::Unknown => "cannot be done now".to_owned(),
        Enqueue::Cassandra => {
            let took = ms(round.took.saturating_mul(rounds));
            format!("takes about {took} ({rounds} rounds)")
        }
    };
    let what = format!(
        "a round is {}, through {}; an enqueue {enqueue}, a critical put {}",
        ms(round.took),
        round.through.join(" and "),
        ms(round.took),
    );
    Finding::ok(COST, what).because(
        "a critical section on a free key takes an enqueue and its puts; its release is not \
         waited for, and puts may share a round",
    )
}

/// How many rounds an enqueue takes in Cassandra.
fn rounds(survey: &Survey) -> u32 {
    let answers = survey
        .nodes
        .iter()
        .filter_map(|node| node.answer.as_ref().ok());
    let v1 = |answer: &music_store::cassandra::survey::Answer| {
        let settings = answer.settings.as_ref();
        let variant = settings.and_then(|settings| settings.get("paxos_variant"));
        let old = major_minor(&answer.version).is_some_and(|version| version < (4, 1));
        !answer.scylla && (old || variant.is_some_and(|variant| variant.starts_with("v1")))
    };
    if answers.into_iter().any(v1) { 4 } else { 2 }
}

fn leases(lease: Duration, round: Duration) -> Finding {
    let what = format!(
        "cluster.node_lease_ms is {}, and a round is {}",
        lease.as_millis(),
        ms(round)
    );
    let wanted = round.saturating_mul(LEASE_ROUNDS);
    let advice = format!(
        "set it to {} or more, the same at all nodes",
        wanted.as_millis().saturating_add(1)
    );
    if lease < round.saturating_mul(LEASE_ROUNDS_MIN) {
        Finding::error(LEASE, what)
            .because(
                "a lease is renewed by a majority write each third of it: it runs out while it \
                 is renewed, and sections are lost all the time",
            )
            .advise(advice)
    } else if lease < wanted {
        Finding::warning(LEASE, what)
            .because("a request or two that take longer than usual cost the node all its sections")
            .advise(advice)
    } else {
        Finding::ok(LEASE, what)
    }
}

fn calls(config: &Config, round: Duration) -> Option<Finding> {
    let wanted = round.saturating_mul(CALL_ROUNDS);
    (config.call_time < wanted).then(|| {
        let (is, round) = (config.call_time.as_millis(), ms(round));
        let what = format!("cassandra.call_timeout_ms is {is}, and a round is {round}");
        Finding::warning(TIMEOUTS, what)
            .because("a command that meets others at its key takes several rounds")
            .advise(format!("set it above {}", wanted.as_millis()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::doctor::fixture::{self, assert_problem, kill, problems, set};

    const LONG: Duration = Duration::from_secs(5);

    #[test]
    fn a_round_reaches_the_nearest_majority_of_replicas() {
        let rtts = [("a", 1), ("b", 50), ("c", 70), ("d", 90)];
        let rtts = rtts
            .map(|(name, ms)| (name, Duration::from_millis(ms)))
            .into();
        let round = |replicas: &[(&str, usize)]| {
            let replicas = replicas.iter();
            let replicas = replicas.map(|(name, count)| ((*name).to_owned(), *count));
            let round = round(&replicas.collect(), &rtts)?;
            Some((round.took.as_millis(), round.through.join("")))
        };
        let through = |ms, name: &str| Some((ms, name.to_owned()));
        assert_eq!(round(&[("a", 1), ("b", 1), ("c", 1)]), through(50, "ab"));
        assert_eq!(round(&[("a", 1), ("b", 2), ("d", 2)]), through(50, "ab"));
        assert_eq!(round(&[("a", 1), ("c", 1), ("d", 3)]), through(90, "acd"));
        assert_eq!(round(&[("a", 3), ("b", 1), ("c", 1)]), through(1, "a"));
        assert_eq!(round(&[("a", 1), ("x", 2)]), None);
    }

    #[test]
    fn the_cost_is_reckoned_from_what_is_near() {
        let (config, mut survey) = (fixture::config(), fixture::cassandra());
        let what = |survey: &Survey, enqueue: Enqueue| {
            let findings = judge(&config, survey, LONG, enqueue);
            assert_eq!(problems(&findings), [] as [String; 0]);
            let mut costs = findings.into_iter().filter(|finding| finding.check == COST);
            costs.next().unwrap().what
        };
        let cost = what(&survey, Enqueue::Cassandra);
        assert!(
            cost.contains("54.0 ms, through ohio and ncalifornia"),
            "{cost}"
        );
        assert!(
            cost.contains("an enqueue takes about 108 ms (2 rounds)"),
            "{cost}"
        );
        let cost = what(&survey, Enqueue::Took(Duration::from_millis(61)));
        assert!(
            cost.contains("about 61.0 ms, a critical put 54.0 ms"),
            "{cost}"
        );
        set(&mut survey, "ohio", "paxos_variant", "v1");
        let cost = what(&survey, Enqueue::Cassandra);
        assert!(cost.contains("(4 rounds)"), "{cost}");
    }

    #[test]
    fn a_lease_shorter_than_a_few_rounds_is_wrong() {
        let (config, survey) = (fixture::config(), fixture::cassandra());
        let judged = |ms| {
            judge(
                &config,
                &survey,
                Duration::from_millis(ms),
                Enqueue::Cassandra,
            )
        };
        assert_problem(&judged(500), "Warning node_lease", "set it to 541");
        assert_problem(
            &judged(200),
            "Error node_lease",
            "is 200, and a round is 54.0 ms",
        );
        assert_eq!(problems(&judged(541)), [] as [String; 0]);
    }

    #[test]
    fn a_call_has_time_for_several_rounds() {
        let (mut config, survey) = (fixture::config(), fixture::cassandra());
        config.call_time = Duration::from_millis(500);
        let findings = judge(&config, &survey, LONG, Enqueue::Cassandra);
        assert_problem(
            &findings,
            "Warning cassandra.timeouts",
            "call_timeout_ms is 500",
        );
    }

    #[test]
    fn without_a_majority_there_is_no_round() {
        let (config, mut survey) = (fixture::config(), fixture::cassandra());
        kill(&mut survey, "oregon");
        kill(&mut survey, "ncalifornia");
        let findings = judge(&config, &survey, LONG, Enqueue::Cassandra);
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
}
