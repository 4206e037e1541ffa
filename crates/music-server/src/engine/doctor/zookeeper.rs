//! Judges a deployment of ZooKeeper.

use std::collections::BTreeSet;

use music_store::zookeeper::ZooKeeperConfig;
use music_store::zookeeper::survey::{Endpoint, Root, State, Survey};

use super::agreement::{self, Names};
use super::finding::{Finding, major_minor, ms};

const SERVER: &str = "zookeeper.server";
const ENSEMBLE: &str = "zookeeper.ensemble";
const VERSION: &str = "zookeeper.version";
const ROOT: &str = "zookeeper.root";
const NAMES: Names = Names {
    engine: "ZooKeeper",
    majority: "zookeeper.majority",
    voters: "zookeeper.voters",
    timeouts: "zookeeper.timeouts",
    timeout_setting: "zookeeper.call_timeout_ms",
};
/// The oldest that MUSIC is tested with.
const VERSION_MIN: (u32, u32) = (3, 5);

/// Judges all of it.
pub(super) fn judge(config: &ZooKeeperConfig, survey: &Survey) -> Vec<Finding> {
    let mut findings: Vec<_> = survey.endpoints.iter().map(server).collect();
    findings.extend(agreement::majority(&NAMES, &survey.agreed, config.patience));
    findings.push(agreement::voters(&NAMES, survey.voters));
    let named = config.endpoints.len();
    findings.extend(agreement::choices(&NAMES, named, survey.voters));
    findings.extend(ensemble(survey));
    findings.extend(versions(survey));
    findings.push(root(config, survey));
    findings
}

fn server(endpoint: &Endpoint) -> Finding {
    let address = &endpoint.address;
    let answer = match &endpoint.answer {
        Ok(answer) => answer,
        Err(reason) => {
            return Finding::warning(SERVER, format!("{address} does not answer: {reason}"))
                .because("others do its work while they are a majority")
                .advise("see that it runs, and that this machine reaches it at that address");
        }
    };
    let rtt = ms(answer.rtt);
    match &answer.state {
        State::Serves { version, mode } => {
            let what = format!("{address}: ZooKeeper {version}, {mode}, {rtt} away");
            Finding::ok(SERVER, what)
        }
        State::NotServing => {
            let what = format!("{address} runs, and does not serve; {rtt} away");
            Finding::warning(SERVER, what)
                .because("it is cut off from a majority, or an election is under way")
                .advise("check again; if it stays so, mend the network between the servers")
        }
        State::Silent => {
            let what = format!("{address} answers, and does not tell what it is; {rtt} away");
            Finding::ok(SERVER, what)
                .because("its version and mode are not checked")
                .advise("to have them checked, put srvr into its 4lw.commands.whitelist")
        }
    }
}

/// What the servers that tell say: address, version, mode.
fn told(survey: &Survey) -> impl Iterator<Item = (&str, &str, &str)> {
    survey.endpoints.iter().filter_map(|endpoint| {
        let answer = endpoint.answer.as_ref().ok()?;
        let State::Serves { version, mode } = &answer.state else {
            return None;
        };
        Some((endpoint.address.as_str(), version.as_str(), mode.as_str()))
    })
}

/// Whether the endpoints are one ensemble.
fn ensemble(survey: &Survey) -> Option<Finding> {
    let with = |wanted: &str| -> Vec<&str> {
        let those = told(survey).filter(|(_, _, mode)| *mode == wanted);
        those.map(|(address, ..)| address).collect()
    };
    let (alone, leaders) = (with("standalone"), with("leader"));
    let meaning = "each has queues of its own: two sections could hold one lock";
    let advice = "name the servers of one ensemble in zookeeper.endpoints, at all nodes";
    let error = |what: String| {
        Some(
            Finding::error(ENSEMBLE, what)
                .because(meaning)
                .advise(advice),
        )
    };
    if !alone.is_empty() && survey.endpoints.len() > 1 {
        error(format!("{} is an ensemble by itself", alone.join(", ")))
    } else if leaders.len() > 1 {
        error(format!("{} are leaders", leaders.join(", ")))
    } else {
        None
    }
}

fn versions(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let versions: BTreeSet<&str> = told(survey).map(|(_, version, _)| version).collect();
    if versions.len() > 1 {
        let all = versions.iter().copied().collect::<Vec<_>>().join(", ");
        findings.push(
            Finding::warning(VERSION, format!("the servers differ in version: {all}"))
                .because("fine during an upgrade, from one version to the next")
                .advise("end the upgrade"),
        );
    }
    let old = |version: &&&str| major_minor(version).is_some_and(|found| found < VERSION_MIN);
    if let Some(old) = versions.iter().find(old) {
        findings.push(
            Finding::warning(VERSION, format!("ZooKeeper {old} is older than 3.5"))
                .because("MUSIC is not tested with it, and nobody maintains it")
                .advise("upgrade to 3.8 or later"),
        );
    }
    findings
}

fn root(config: &ZooKeeperConfig, survey: &Survey) -> Finding {
    let path = &config.root;
    match &survey.root {
        Root::Present => Finding::ok(ROOT, format!("the znode {path} is there")),
        Root::Missing => Finding::warning(ROOT, format!("the znode {path} is not there"))
            .because("the first node that starts makes it, with the rights of its own user")
            .advise("run `music engine init` once, with this configuration"),
        Root::Refused => Finding::error(ROOT, format!("the znode {path} refuses this user"))
            .because("no lock can be taken: a node of MUSIC does not start")
            .advise("check zookeeper.user and its password: the same at all nodes"),
        Root::Unknown(reason) => {
            Finding::warning(ROOT, format!("the znode {path} cannot be read: {reason}"))
                .because("whether this user may use the queues is not checked")
                .advise("mend what the other findings name, then check again")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::doctor::fixture::{self, assert_problem, problems};

    fn spoilt(spoil: impl FnOnce(&mut ZooKeeperConfig, &mut Survey)) -> Vec<Finding> {
        let (mut config, mut survey) = fixture::zookeeper();
        spoil(&mut config, &mut survey);
        judge(&config, &survey)
    }

    fn says(survey: &mut Survey, at: usize, says: State) {
        survey.endpoints[at].answer.as_mut().unwrap().state = says;
    }

    fn serves(version: &str, mode: &str) -> State {
        State::Serves {
            version: version.to_owned(),
            mode: mode.to_owned(),
        }
    }

    #[test]
    fn three_servers_with_a_leader_are_right() {
        let findings = spoilt(|_, _| {});
        assert_eq!(problems(&findings), [] as [String; 0]);
        let leader = &findings[1].what;
        assert!(
            leader.contains("b:2181: ZooKeeper 3.9.5, leader"),
            "{leader}"
        );
    }

    #[test]
    fn servers_that_do_not_serve_are_named() {
        let findings = spoilt(|_, survey| {
            survey.endpoints[0].answer = Err("connection refused".to_owned());
            says(survey, 2, State::NotServing);
        });
        assert_problem(
            &findings,
            "Warning zookeeper.server",
            "a:2181 does not answer",
        );
        assert_problem(&findings, "Warning zookeeper.server", "c:2181 runs");
        let findings = spoilt(|_, survey| survey.agreed = Err("no session".to_owned()));
        assert_problem(&findings, "Error zookeeper.majority", "no session");
    }

    #[test]
    fn a_server_that_may_not_tell_is_said_to_be_unchecked() {
        let findings = spoilt(|_, survey| says(survey, 1, State::Silent));
        assert_eq!(problems(&findings), [] as [String; 0]);
        let advice = findings[1].advice.as_ref().unwrap();
        assert!(advice.contains("4lw.commands.whitelist"), "{advice}");
    }

    #[test]
    fn servers_of_two_ensembles_are_an_error() {
        let check = "Error zookeeper.ensemble";
        let findings = spoilt(|_, survey| says(survey, 0, serves("3.9.5", "leader")));
        assert_problem(&findings, check, "a:2181, b:2181 are leaders");
        let findings = spoilt(|_, survey| says(survey, 0, serves("3.9.5", "standalone")));
        assert_problem(&findings, check, "a:2181 is an ensemble by itself");
        let findings = spoilt(|config, survey| {
            says(survey, 0, serves("3.9.5", "standalone"));
            survey.endpoints.truncate(1);
            config.endpoints.truncate(1);
            survey.voters = Some(1);
        });
        assert_problem(&findings, "Warning zookeeper.voters", "one server");
        assert_eq!(problems(&findings).len(), 1);
    }

    #[test]
    fn old_and_mixed_versions_are_warnings() {
        let findings = spoilt(|_, survey| says(survey, 0, serves("3.4.14", "follower")));
        assert_problem(&findings, "Warning zookeeper.version", "3.4.14 is older");
        assert_problem(&findings, "Warning zookeeper.version", "differ");
    }

    #[test]
    fn the_znode_of_the_queues_must_be_usable() {
        let with = |root| spoilt(|_, survey| survey.root = root);
        let missing = with(Root::Missing);
        assert_problem(&missing, "Warning zookeeper.root", "music engine init");
        assert_problem(&with(Root::Refused), "Error zookeeper.root", "password");
        let unknown = with(Root::Unknown("timed out".to_owned()));
        assert_problem(&unknown, "Warning zookeeper.root", "timed out");
    }

    #[test]
    fn a_call_has_time_for_several_agreements() {
        let findings = spoilt(|config, _| config.patience = Duration::from_millis(200));
        assert_problem(&findings, "Warning zookeeper.timeouts", "set it above 300");
    }
}
