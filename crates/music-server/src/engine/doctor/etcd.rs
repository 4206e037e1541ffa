//! Judges a deployment of etcd.

use std::collections::BTreeSet;
use std::time::Duration;

use music_store::etcd::EtcdConfig;
use music_store::etcd::survey::{AlarmKind, Answer, Endpoint, Survey};

use super::agreement::{self, Names};
use super::finding::{Finding, Level, major_minor, ms};

const MEMBER: &str = "etcd.member";
const CLUSTER: &str = "etcd.cluster";
const LEADER: &str = "etcd.leader";
const VERSION: &str = "etcd.version";
const ALARMS: &str = "etcd.alarms";
const SPACE: &str = "etcd.space";
const ELECTIONS: &str = "etcd.elections";
const NAMES: Names = Names {
    engine: "etcd",
    majority: "etcd.majority",
    voters: "etcd.voters",
    timeouts: "etcd.timeouts",
    timeout_setting: "etcd.call_timeout_ms",
};
/// The oldest whose learners are told from members.
const VERSION_MIN: (u32, u32) = (3, 4);
/// A round trip at which etcd's own times are those of another network.
const FAR: Duration = Duration::from_millis(20);

/// Judges all of it.
pub(super) fn judge(config: &EtcdConfig, survey: &Survey) -> Vec<Finding> {
    let mut findings: Vec<_> = survey.endpoints.iter().map(member).collect();
    findings.extend(agreement::majority(&NAMES, &survey.agreed, config.patience));
    let voters = survey.members.as_ref();
    let voters = voters.map(|all| all.iter().filter(|member| !member.learner).count());
    findings.push(agreement::voters(&NAMES, voters));
    findings.extend(agreement::choices(&NAMES, config.endpoints.len(), voters));
    findings.extend(cluster(survey));
    findings.extend(versions(survey));
    findings.extend(alarms(survey));
    findings.extend(survey.endpoints.iter().filter_map(space));
    findings.extend(elections(survey));
    findings
}

fn member(endpoint: &Endpoint) -> Finding {
    let address = &endpoint.address;
    let answer = match &endpoint.answer {
        Ok(answer) => answer,
        Err(reason) => {
            let what = format!("{address} does not answer: {reason}");
            return Finding::warning(MEMBER, what)
                .because("others do its work while they are a majority")
                .advise("see that it runs, and that this machine reaches it at that address");
        }
    };
    let Answer {
        version, term, rtt, ..
    } = answer;
    let (role, rtt) = (answer.role(), ms(*rtt));
    let what = format!("{address}: etcd {version}, {role}, term {term}, {rtt} away");
    if answer.learner {
        Finding::warning(MEMBER, what)
            .because("a learner serves no client: requests that come to it fail")
            .advise("promote it (`etcdctl member promote`), or take it out of etcd.endpoints")
    } else if answer.leader.is_none() {
        Finding::warning(MEMBER, what)
            .because("it is cut off from a majority, or an election is under way")
            .advise("check again; if it stays so, mend the network between the members")
    } else {
        Finding::ok(MEMBER, what)
    }
}

fn answers(survey: &Survey) -> impl Iterator<Item = (&str, &Answer)> {
    let endpoints = survey.endpoints.iter();
    endpoints.filter_map(|endpoint| {
        let answer = endpoint.answer.as_ref().ok()?;
        Some((endpoint.address.as_str(), answer))
    })
}

/// Whether the endpoints are one cluster with one leader.
fn cluster(survey: &Survey) -> Vec<Finding> {
    let clusters: BTreeSet<u64> = answers(survey).map(|(_, answer)| answer.cluster).collect();
    if clusters.len() > 1 {
        let each = answers(survey)
            .map(|(address, answer)| format!("{address} is of cluster {:x}", answer.cluster));
        let what = each.collect::<Vec<_>>().join(", ");
        return vec![
            Finding::error(CLUSTER, what)
                .because("each has queues of its own: two sections could hold one lock")
                .advise("name the members of one cluster in etcd.endpoints, at all nodes"),
        ];
    }
    let leaders: BTreeSet<u64> = answers(survey)
        .filter_map(|(_, answer)| answer.leader)
        .collect();
    if leaders.len() > 1 {
        return vec![
            Finding::warning(LEADER, "the members name different leaders")
                .because("an election was under way when they were asked")
                .advise("check again; if it happens often, see etcd.elections"),
        ];
    }
    Vec::new()
}

fn versions(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let versions: BTreeSet<&str> = answers(survey)
        .map(|(_, answer)| answer.version.as_str())
        .collect();
    if versions.len() > 1 {
        let all = versions.iter().copied().collect::<Vec<_>>().join(", ");
        findings.push(
            Finding::warning(VERSION, format!("the members differ in version: {all}"))
                .because("fine during an upgrade; the cluster goes by the oldest")
                .advise("end the upgrade"),
        );
    }
    let old = |version: &&&str| major_minor(version).is_some_and(|found| found < VERSION_MIN);
    if let Some(old) = versions.iter().find(old) {
        findings.push(
            Finding::warning(VERSION, format!("etcd {old} is older than 3.4"))
                .because("MUSIC is not tested with it, and nobody maintains it")
                .advise("upgrade to 3.5 or later"),
        );
    }
    findings
}

fn alarms(survey: &Survey) -> Vec<Finding> {
    let Some(alarms) = &survey.alarms else {
        let what = "no member tells its alarms";
        let meaning = "where etcd asks for a user, only some may ask";
        return vec![Finding::ok(ALARMS, what).because(meaning)];
    };
    let finding = |alarm: &music_store::etcd::survey::Alarm| {
        let member = alarm.member;
        let (what, meaning, advice) = match alarm.kind {
            AlarmKind::NoSpace => (
                format!("member {member:x} is out of space"),
                "no member writes any more: no lock is granted",
                "compact and defragment the members, then `etcdctl alarm disarm`; raise \
                 --quota-backend-bytes if that is not enough",
            ),
            AlarmKind::Corrupt => (
                format!("member {member:x} holds other data than the rest"),
                "what it answers may be wrong: two sections could hold one lock",
                "take it out of the cluster, and add it again empty",
            ),
            AlarmKind::Other(number) => (
                format!("member {member:x} raises alarm {number}"),
                "this program does not know what it means",
                "see `etcdctl alarm list`",
            ),
        };
        Finding::error(ALARMS, what).because(meaning).advise(advice)
    };
    if alarms.is_empty() {
        return vec![Finding::ok(ALARMS, "no alarm is raised")];
    }
    alarms.iter().map(finding).collect()
}

/// Whether the database has room.
fn space(endpoint: &Endpoint) -> Option<Finding> {
    let answer = endpoint.answer.as_ref().ok()?;
    let (size, max) = (answer.db_bytes, answer.db_bytes_max?);
    (size >= max / 5 * 4).then(|| {
        let mebibytes = |bytes: u64| bytes >> 20;
        let what = format!(
            "the database of {} has {} of {} MiB",
            endpoint.address,
            mebibytes(size),
            mebibytes(max)
        );
        Finding::new(Level::Warning, SPACE, what)
            .because("at its quota all members refuse to write, and no lock is granted")
            .advise(
                "let etcd compact itself (--auto-compaction-retention), defragment the members \
                 one by one, or raise --quota-backend-bytes",
            )
    })
}

/// What cannot be read from here, and matters where members are far apart.
fn elections(survey: &Survey) -> Option<Finding> {
    let farthest = answers(survey).map(|(_, answer)| answer.rtt).max()?;
    (farthest > FAR).then(|| {
        let what = format!("the farthest member is {} away", ms(farthest));
        Finding::ok(ELECTIONS, what)
            .because(
                "etcd does not tell its heartbeat interval (100 ms unless set) and election \
                 timeout (1 s): over such a way, a leader is deposed for nothing",
            )
            .advise(format!(
                "see that each member has --heartbeat-interval of about the longest round trip \
                 between members ({}), and --election-timeout of ten times that",
                farthest.as_millis().saturating_add(1)
            ))
    })
}

#[cfg(test)]
mod tests {
    use music_store::etcd::survey::Alarm;

    use super::*;
    use crate::engine::doctor::fixture::{self, assert_problem, problems};

    fn spoilt(spoil: impl FnOnce(&mut EtcdConfig, &mut Survey)) -> Vec<Finding> {
        let (mut config, mut survey) = fixture::etcd();
        spoil(&mut config, &mut survey);
        judge(&config, &survey)
    }

    fn second(survey: &mut Survey) -> &mut Answer {
        survey.endpoints[1].answer.as_mut().unwrap()
    }

    #[test]
    fn three_members_with_a_leader_are_right() {
        let findings = spoilt(|_, _| {});
        assert_eq!(problems(&findings), [] as [String; 0]);
        let leader = &findings[1].what;
        assert!(
            leader.contains("http://b:2379: etcd 3.6.16, leader, term 4"),
            "{leader}"
        );
        assert!(findings.iter().any(|finding| finding.check == ELECTIONS));
    }

    #[test]
    fn a_member_that_is_down_is_named_and_a_lost_majority_is_an_error() {
        let findings = spoilt(|_, survey| {
            survey.endpoints[2].answer = Err("connection refused".to_owned());
        });
        assert_problem(
            &findings,
            "Warning etcd.member",
            "http://c:2379 does not answer",
        );
        assert_eq!(problems(&findings).len(), 1);
        let findings = spoilt(|_, survey| survey.agreed = Err("no leader".to_owned()));
        assert_problem(&findings, "Error etcd.majority", "no leader");
    }

    #[test]
    fn learners_and_members_without_a_leader_are_told_of() {
        let findings = spoilt(|_, survey| second(survey).learner = true);
        assert_problem(&findings, "Warning etcd.member", "learner");
        let findings = spoilt(|_, survey| second(survey).leader = None);
        assert_problem(&findings, "Warning etcd.member", "no leader");
    }

    #[test]
    fn two_clusters_are_an_error_and_two_leaders_an_election() {
        let findings = spoilt(|_, survey| second(survey).cluster = 8);
        assert_problem(
            &findings,
            "Error etcd.cluster",
            "http://b:2379 is of cluster 8",
        );
        let findings = spoilt(|_, survey| second(survey).leader = Some(1));
        assert_problem(&findings, "Warning etcd.leader", "an election");
    }

    #[test]
    fn few_voters_and_few_choices_are_warnings() {
        for (voters, words) in [(1, "one server"), (2, "when either fails")] {
            let findings = spoilt(|_, survey| {
                survey.members.as_mut().unwrap().truncate(voters);
            });
            assert_problem(&findings, "Warning etcd.voters", words);
        }
        let findings = spoilt(|_, survey| {
            survey.members.as_mut().unwrap()[0].learner = true;
        });
        assert_problem(&findings, "Warning etcd.voters", "two servers that vote");
        let findings = spoilt(|config, survey| {
            config.endpoints.truncate(1);
            survey.endpoints.truncate(1);
        });
        assert_problem(&findings, "Warning etcd.voters", "one of 3 servers");
        let findings = spoilt(|_, survey| survey.members = None);
        assert_eq!(problems(&findings), [] as [String; 0]);
    }

    #[test]
    fn alarms_and_a_database_that_fills_are_told_of() {
        let raise = |kind| {
            spoilt(|_, survey| {
                survey.alarms = Some(vec![Alarm {
                    member: 0xbeef,
                    kind,
                }]);
            })
        };
        let check = "Error etcd.alarms: member beef";
        assert_problem(&raise(AlarmKind::NoSpace), check, "alarm disarm");
        assert_problem(&raise(AlarmKind::Corrupt), check, "other data");
        assert_problem(&raise(AlarmKind::Other(9)), check, "alarm 9");
        let findings = spoilt(|_, survey| second(survey).db_bytes = 1_900 << 20);
        assert_problem(&findings, "Warning etcd.space", "1900 of 2048 MiB");
    }

    #[test]
    fn old_and_mixed_versions_are_warnings() {
        let findings = spoilt(|_, survey| "3.3.27".clone_into(&mut second(survey).version));
        assert_problem(&findings, "Warning etcd.version", "differ in version");
        assert_problem(&findings, "Warning etcd.version", "etcd 3.3.27 is older");
    }

    #[test]
    fn a_call_has_time_for_several_agreements() {
        let findings = spoilt(|config, _| config.patience = Duration::from_millis(200));
        assert_problem(&findings, "Warning etcd.timeouts", "set it above 300");
        let findings = spoilt(|_, survey| survey.agreed = Ok(Duration::from_millis(1_500)));
        assert_problem(&findings, "Warning etcd.timeouts", "so slow");
    }
}
