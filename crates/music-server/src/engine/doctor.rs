//! What is wrong with a deployment, as one site sees it.
//!
//! ```text
//!   Config ──▶ survey: what the engines say of themselves ──▶ judge ──▶ Report
//! ```
//!
//! The survey is facts and takes a few seconds; each judgement is a function
//! of the facts and the configuration.
//!
//! | module | what it judges |
//! |---|---|
//! | `nodes` | which nodes of Cassandra answer, what for that is enough, versions, schema |
//! | `replicas` | where the replicas are, and which site may fail |
//! | `settings` | paxos, timestamps, time-outs of Cassandra |
//! | `clock` | clocks |
//! | `delays` | round trips, what operations cost, leases |
//! | `etcd`, `zookeeper` | the lock stores; `agreement`: what they have in common |
//! | `embedded` | the embedded engine's directory |

mod agreement;
mod clock;
mod delays;
mod embedded;
mod etcd;
mod finding;
#[cfg(test)]
mod fixture;
mod nodes;
mod replicas;
mod settings;
mod zookeeper;

use std::time::Duration;

use music_store::cassandra::survey as cassandra_survey;
use music_store::etcd::survey as etcd_survey;
use music_store::zookeeper::survey as zookeeper_survey;
use serde::Serialize;

use self::agreement::unusable;
pub use self::finding::{Finding, Level, counted};
use crate::config::{Config, EngineConfig, LocksConfig, ServicesConfig};

/// What a check of a deployment found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The site from which it was seen.
    pub site: String,
    /// The engines' names.
    pub engine: &'static str,
    /// What was found, in the order in which it was checked.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are so bad.
    pub fn count(&self, level: Level) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.level == level).count()
    }
}

/// Checks the engines of a configuration from this machine.
///
/// # Cost
/// Some small requests to every server of the engines. Nothing is changed.
///
/// # Cancel safety
/// Nothing is left behind.
pub async fn examine(config: &Config) -> Report {
    let findings = match &config.engine {
        EngineConfig::Embedded(embedded) => {
            embedded::judge(embedded, embedded::survey(embedded).as_ref())
        }
        EngineConfig::Services(services) => {
            let survey = survey(services).await;
            judge(services, config.cluster.node_lease.get(), &survey)
        }
    };
    Report {
        site: config.site.clone(),
        engine: config.engine.name(),
        findings,
    }
}

/// What the engines say of themselves, or why they do not.
#[derive(Clone, Debug)]
struct Survey {
    cassandra: Result<cassandra_survey::Survey, String>,
    locks: LocksSurvey,
}

#[derive(Clone, Debug)]
enum LocksSurvey {
    Cassandra,
    Etcd(Result<etcd_survey::Survey, String>),
    ZooKeeper(Result<zookeeper_survey::Survey, String>),
}

async fn survey(services: &ServicesConfig) -> Survey {
    let locks = async {
        match &services.locks {
            LocksConfig::Cassandra => LocksSurvey::Cassandra,
            LocksConfig::Etcd(etcd) => {
                let survey = etcd_survey::take(etcd).await;
                LocksSurvey::Etcd(survey.map_err(|error| error.to_string()))
            }
            LocksConfig::ZooKeeper(zookeeper) => {
                let survey = zookeeper_survey::take(zookeeper).await;
                LocksSurvey::ZooKeeper(survey.map_err(|error| error.to_string()))
            }
        }
    };
    // Drivers' futures are large.
    let cassandra = Box::pin(cassandra_survey::take(&services.state));
    let (cassandra, locks) = tokio::join!(cassandra, Box::pin(locks));
    Survey {
        cassandra: cassandra.map_err(|error| error.to_string()),
        locks,
    }
}

fn judge(services: &ServicesConfig, lease: Duration, survey: &Survey) -> Vec<Finding> {
    let config = &services.state;
    let mut findings = Vec::new();
    match &survey.cassandra {
        Ok(cassandra) => {
            findings.extend(nodes::judge(config, cassandra));
            findings.extend(replicas::judge(config, cassandra));
            findings.extend(settings::judge(config, cassandra));
            findings.extend(clock::judge(cassandra));
        }
        Err(reason) => findings.push(unusable("cassandra", reason)),
    }
    match (&services.locks, &survey.locks) {
        (LocksConfig::Etcd(config), LocksSurvey::Etcd(Ok(survey))) => {
            findings.extend(etcd::judge(config, survey));
        }
        (LocksConfig::ZooKeeper(config), LocksSurvey::ZooKeeper(Ok(survey))) => {
            findings.extend(zookeeper::judge(config, survey));
        }
        (_, LocksSurvey::Etcd(Err(reason))) => findings.push(unusable("etcd", reason)),
        (_, LocksSurvey::ZooKeeper(Err(reason))) => findings.push(unusable("zookeeper", reason)),
        _ => {}
    }
    if let Ok(cassandra) = &survey.cassandra {
        let enqueue = survey.locks.agreed();
        findings.extend(delays::judge(config, cassandra, lease, enqueue));
    }
    findings
}

impl LocksSurvey {
    /// How an enqueue is done.
    fn agreed(&self) -> delays::Enqueue {
        let took = match self {
            Self::Cassandra => return delays::Enqueue::Cassandra,
            Self::Etcd(survey) => survey.as_ref().ok().map(|survey| &survey.agreed),
            Self::ZooKeeper(survey) => survey.as_ref().ok().map(|survey| &survey.agreed),
        };
        let took = took.and_then(|agreed| agreed.as_ref().ok());
        took.map_or(delays::Enqueue::Unknown, |took| {
            delays::Enqueue::Took(*took)
        })
    }
}

#[cfg(test)]
mod tests {
    use music_store::etcd::EtcdConfig;

    use super::fixture::{assert_problem, problems};
    use super::*;

    fn services(locks: LocksConfig) -> ServicesConfig {
        ServicesConfig {
            state: fixture::config(),
            locks,
        }
    }

    #[test]
    fn deployments_in_which_nothing_is_wrong_have_no_problem() {
        let (etcd, etcd_survey) = fixture::etcd();
        let (zookeeper, zookeeper_survey) = fixture::zookeeper();
        for (locks, survey) in [
            (LocksConfig::Cassandra, LocksSurvey::Cassandra),
            (LocksConfig::Etcd(etcd), LocksSurvey::Etcd(Ok(etcd_survey))),
            (
                LocksConfig::ZooKeeper(zookeeper),
                LocksSurvey::ZooKeeper(Ok(zookeeper_survey)),
            ),
        ] {
            let survey = Survey {
                cassandra: Ok(fixture::cassandra()),
                locks: survey,
            };
            let findings = judge(&services(locks), Duration::from_secs(5), &survey);
            assert_eq!(problems(&findings), [] as [String; 0]);
        }
    }

    #[test]
    fn engines_that_do_not_answer_at_all_are_errors() {
        let survey = Survey {
            cassandra: Err("no Cassandra node answers at [\"a:9042\"]".to_owned()),
            locks: LocksSurvey::Etcd(Err("TLS is not supported".to_owned())),
        };
        let services = services(LocksConfig::Etcd(EtcdConfig::default()));
        let findings = judge(&services, Duration::from_secs(5), &survey);
        assert_problem(&findings, "Error cassandra", "a:9042");
        assert_problem(&findings, "Error etcd", "TLS");
    }
}
