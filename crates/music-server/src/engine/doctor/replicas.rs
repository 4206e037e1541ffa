//! Where the replicas are, and where they ought to be.

use std::collections::{BTreeMap, BTreeSet};

use music_core::quorum;
use music_store::cassandra::Config;
use music_store::cassandra::survey::{Replication, Survey};

use super::finding::{Finding, counted};

const DATACENTRES: &str = "cassandra.datacentres";
const REPLICATION: &str = "cassandra.replication";
const SITES: &str = "cassandra.sites";
const SITES_ADVICE: &str = "spread an odd number of replicas over at least three sites, none of \
                            which has half of them: two full sites and a small third one as a \
                            witness will do, as { ohio = 2, oregon = 2, utah = 1 }";

/// The replicas of each data centre.
pub(super) type Replicas = BTreeMap<String, usize>;

/// Those of the keyspace; where there is none, those of the configuration.
pub(super) fn replicas(config: &Config, survey: &Survey) -> Replicas {
    match &survey.replication {
        Some(Replication::PerDatacentre(replicas)) => {
            let some = replicas.iter().filter(|(_, replicas)| **replicas > 0);
            some.map(|(name, replicas)| (name.clone(), *replicas))
                .collect()
        }
        _ => configured(config),
    }
}

fn configured(config: &Config) -> Replicas {
    let replicas = config.replication.iter();
    replicas
        .map(|(name, replicas)| (name.clone(), usize::from(*replicas)))
        .collect()
}

/// How many replicas are a majority of all.
pub(super) fn majority(replicas: &Replicas) -> usize {
    quorum::majority(replicas.values().sum())
}

/// Judges where the replicas are.
pub(super) fn judge(config: &Config, survey: &Survey) -> Vec<Finding> {
    let mut findings = datacentres(config, survey);
    findings.extend(keyspace(config, survey));
    findings.extend(sites(&replicas(config, survey)));
    findings
}

/// Whether there are the data centres that the configuration names, each with
/// as many nodes as it is to have replicas.
fn datacentres(config: &Config, survey: &Survey) -> Vec<Finding> {
    let known: BTreeSet<&str> = survey
        .nodes
        .iter()
        .map(|node| node.datacentre.as_str())
        .collect();
    let mut findings = Vec::new();
    let all = known.iter().copied().collect::<Vec<_>>().join(", ");
    for (name, replicas) in configured(config) {
        let nodes = survey.nodes.iter();
        let nodes = nodes.filter(|node| node.datacentre == name).count();
        if nodes == 0 {
            findings.push(
                Finding::error(
                    DATACENTRES,
                    format!("Cassandra has no data centre {name}, only {all}"),
                )
                .because("no node of MUSIC starts with this configuration")
                .advise(
                    "correct cassandra.replication: `nodetool status` shows the names, in which \
                     capitals count",
                ),
            );
        } else if nodes < replicas {
            findings.push(
                Finding::warning(
                    DATACENTRES,
                    format!(
                        "{name} is to have {}, and has {}",
                        counted(replicas, "replica"),
                        counted(nodes, "node")
                    ),
                )
                .because("a majority counts replicas that there cannot be")
                .advise(format!("add nodes to {name}, or give it fewer replicas")),
            );
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(DATACENTRES, format!("there are {all}")));
    }
    findings
}

/// Whether the keyspace is replicated as the configuration says.
fn keyspace(config: &Config, survey: &Survey) -> Vec<Finding> {
    let keyspace = &config.keyspace;
    let found = match &survey.replication {
        // That there is no schema says it all.
        None => return Vec::new(),
        Some(Replication::Other(strategy)) => {
            let what = format!("the keyspace {keyspace} is replicated by {strategy}");
            return vec![
                Finding::error(REPLICATION, what)
                    .because("it does not say which site has a replica: no node of MUSIC starts")
                    .advise(alter(config)),
            ];
        }
        Some(Replication::PerDatacentre(found)) => found,
    };
    let wanted = configured(config);
    let names: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let differs = names.into_iter().filter_map(|name| {
        let count = |replicas: &Replicas| replicas.get(name).copied().unwrap_or(0);
        difference(config, name, count(found), count(&wanted))
    });
    let mut findings: Vec<_> = differs.collect();
    if findings.is_empty() {
        let what = format!("the keyspace {keyspace} is replicated as configured");
        findings.push(Finding::ok(REPLICATION, what));
    }
    findings
}

fn difference(config: &Config, name: &str, found: usize, wanted: usize) -> Option<Finding> {
    let keyspace = &config.keyspace;
    let what = format!(
        "{name} has {} of the keyspace {keyspace}, and {wanted} by the configuration",
        counted(found, "replica")
    );
    match (found, wanted) {
        (found, wanted) if found == wanted => None,
        (0, _) => Some(
            Finding::error(REPLICATION, what)
                .because(
                    "a site without a replica has no local reads and writes: no node of MUSIC \
                     starts with this configuration",
                )
                .advise(alter(config)),
        ),
        (_, 0) => Some(
            Finding::warning(REPLICATION, what)
                .because(
                    "it has its part in every majority, and its state; `music status` and this \
                     check do not look for it",
                )
                .advise(
                    "add it to cassandra.replication, at all nodes of MUSIC; or take its replicas \
                     away by ALTER KEYSPACE",
                ),
        ),
        _ => Some(
            Finding::warning(REPLICATION, what)
                .because("majorities are those of the keyspace, whatever the configuration says")
                .advise(alter(config)),
        ),
    }
}

fn alter(config: &Config) -> String {
    let replicas = config.replication.iter();
    let replicas = replicas.map(|(name, replicas)| format!(", '{name}': {replicas}"));
    let replicas: String = replicas.collect();
    format!(
        "correct cassandra.replication at all nodes of MUSIC; or ALTER KEYSPACE {} WITH \
         replication = {{'class': 'NetworkTopologyStrategy'{replicas}}}, one replica more or less \
         at a time, with `nodetool repair --full` after each",
        config.keyspace
    )
}

/// Whether each site may fail without an end to all critical sections.
fn sites(replicas: &Replicas) -> Vec<Finding> {
    let total: usize = replicas.values().sum();
    let majority = majority(replicas);
    if let [(name, count)] = &*replicas.iter().collect::<Vec<_>>() {
        let what = format!("all {count} replicas are in one data centre, {name}");
        return vec![
            Finding::warning(SITES, what)
                .because("nothing is left when it fails")
                .advise(SITES_ADVICE),
        ];
    }
    let fatal = replicas
        .iter()
        .filter(|(_, count)| total.saturating_sub(**count) < majority);
    let mut findings: Vec<_> = fatal
        .map(|(name, count)| {
            let what = format!("{name} has {count} of {total} replicas");
            let meaning = if *count >= majority {
                "it is a majority alone: when it fails, there is no critical section anywhere, \
                 while the other sites are never needed"
            } else {
                "when it fails, the others are no majority: no critical section anywhere"
            };
            Finding::warning(SITES, what)
                .because(meaning)
                .advise(SITES_ADVICE)
        })
        .collect();
    if findings.is_empty() {
        let what = format!("any one of {} may fail", counted(replicas.len(), "site"));
        findings.push(Finding::ok(SITES, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::doctor::fixture::{self, levels, problems};

    fn placed(replicas: &[(&str, usize)]) -> Replicas {
        let replicas = replicas.iter();
        replicas
            .map(|(name, replicas)| ((*name).to_owned(), *replicas))
            .collect()
    }

    fn surveyed(replicas: &[(&str, usize)]) -> Survey {
        Survey {
            replication: Some(Replication::PerDatacentre(placed(replicas))),
            ..fixture::cassandra()
        }
    }

    #[test]
    fn a_replica_at_each_of_three_sites_is_right() {
        let findings = judge(&fixture::config(), &fixture::cassandra());
        assert_eq!(problems(&findings), [] as [String; 0]);
        assert_eq!(findings.len(), 3);
    }

    #[test]
    fn a_data_centre_that_does_not_exist_is_named() {
        let mut config = fixture::config();
        config.replication.insert("Ohio".to_owned(), 1);
        let problems = problems(&datacentres(&config, &fixture::cassandra()));
        let [problem] = &*problems else {
            panic!("{problems:?}");
        };
        assert!(
            problem.starts_with("Error cassandra.datacentres"),
            "{problem}"
        );
        assert!(problem.contains("no data centre Ohio, only ncalifornia, ohio"));
    }

    #[test]
    fn more_replicas_than_nodes_are_a_warning() {
        let mut config = fixture::config();
        config.replication.insert("ohio".to_owned(), 3);
        let problems = problems(&datacentres(&config, &fixture::cassandra()));
        assert!(problems[0].starts_with("Warning"), "{problems:?}");
    }

    #[test]
    fn a_keyspace_that_leaves_a_site_out_is_an_error() {
        let survey = surveyed(&[("ohio", 1), ("ncalifornia", 1)]);
        let problems = problems(&keyspace(&fixture::config(), &survey));
        let [problem] = &*problems else {
            panic!("{problems:?}");
        };
        assert!(problem.starts_with("Error cassandra.replication"));
        assert!(problem.contains("oregon has 0 replicas"), "{problem}");
        assert!(problem.contains("'oregon': 1"), "{problem}");
    }

    #[test]
    fn other_numbers_of_replicas_are_warnings() {
        let config = fixture::config();
        for (replicas, name) in [
            (
                &[("ohio", 2), ("ncalifornia", 1), ("oregon", 1)][..],
                "ohio has 2",
            ),
            (
                &[("ohio", 1), ("ncalifornia", 1), ("oregon", 1), ("utah", 1)],
                "utah has 1",
            ),
        ] {
            let problems = problems(&keyspace(&config, &surveyed(replicas)));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(name), "{problems:?}");
            assert!(problems[0].starts_with("Warning"), "{problems:?}");
        }
    }

    #[test]
    fn a_strategy_without_data_centres_is_an_error() {
        let survey = Survey {
            replication: Some(Replication::Other("SimpleStrategy, 3 replicas".to_owned())),
            ..fixture::cassandra()
        };
        let problems = problems(&keyspace(&fixture::config(), &survey));
        assert!(problems[0].contains("SimpleStrategy"), "{problems:?}");
    }

    #[test]
    fn sites_whose_loss_ends_everything_are_named() {
        let named = |replicas: &[(&str, usize)]| problems(&sites(&placed(replicas)));
        let alone = named(&[("a", 3), ("b", 1), ("c", 1)]);
        assert_eq!(alone.len(), 1, "{alone:?}");
        assert!(alone[0].contains("a has 3 of 5") && alone[0].contains("majority alone"));
        let two = named(&[("a", 1), ("b", 1)]);
        assert_eq!(two.len(), 2, "{two:?}");
        assert!(two[0].contains("the others are no majority") && two[0].contains("witness"));
        let even = named(&[("a", 2), ("b", 1), ("c", 1)]);
        assert_eq!(even.len(), 1, "{even:?}");
        assert_eq!(named(&[("a", 3)]).len(), 1);
        for right in [
            &[("a", 2), ("b", 2), ("c", 1)][..],
            &[("a", 1), ("b", 1), ("c", 1)],
            &[("a", 1), ("b", 1), ("c", 1), ("d", 1)],
        ] {
            let findings = sites(&placed(right));
            assert_eq!(levels(&findings), ["Ok"], "{findings:?}");
        }
    }
}
