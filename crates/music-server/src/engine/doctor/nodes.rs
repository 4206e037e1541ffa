//! Which nodes of Cassandra answer, what that is enough for, what they run and
//! which schema they hold.

use std::collections::{BTreeMap, BTreeSet};

use music_store::cassandra::survey::{Answer, Node, Schema, Survey};
use music_store::cassandra::{Config, SCHEMA_VERSION};

use super::finding::{Finding, Level, counted, major_minor, ms};
use super::replicas;

const NODE: &str = "cassandra.node";
const MAJORITY: &str = "cassandra.majority";
const LOCAL: &str = "cassandra.local";
const VERSION: &str = "cassandra.version";
const SCHEMA: &str = "cassandra.schema";
const READ_REPAIR: &str = "cassandra.read_repair";
/// The first with Paxos v2.
const VERSION_MIN: (u32, u32) = (4, 1);

/// Judges the nodes.
pub(super) fn judge(config: &Config, survey: &Survey) -> Vec<Finding> {
    let mut findings: Vec<_> = survey.nodes.iter().map(node).collect();
    findings.push(majority(config, survey));
    findings.push(local(config, survey));
    findings.extend(versions(survey));
    findings.push(schema(config, survey));
    findings.extend(read_repair(config, survey));
    findings
}

fn node(node: &Node) -> Finding {
    let Node {
        address,
        datacentre,
        answer,
    } = node;
    match answer {
        Ok(answer) => {
            let (product, away) = (product(answer), ms(answer.rtt));
            let what = format!("{address} in {datacentre}: {product}, {away} away");
            Finding::ok(NODE, what)
        }
        Err(reason) => {
            let what = format!("{address} in {datacentre} does not answer: {reason}");
            Finding::warning(NODE, what)
                .because("others do its work while they are enough; see the majority below")
                .advise("see that it runs, and that this machine reaches it at that address")
        }
    }
}

fn product(answer: &Answer) -> String {
    if answer.scylla {
        format!("ScyllaDB (as Cassandra {})", answer.version)
    } else {
        format!("Cassandra {}", answer.version)
    }
}

/// Nodes of a data centre: those that answer, and those that do not.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    up: usize,
    down: usize,
}

fn count(survey: &Survey) -> BTreeMap<&str, Count> {
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    for node in &survey.nodes {
        let count = counts.entry(&node.datacentre).or_default();
        match node.answer {
            Ok(_) => count.up = count.up.saturating_add(1),
            Err(_) => count.down = count.down.saturating_add(1),
        }
    }
    counts
}

/// Whether a majority of every key's replicas answers. Which nodes have a key
/// is not asked: the worst and the best case are reckoned.
fn majority(config: &Config, survey: &Survey) -> Finding {
    let (counts, replicas) = (count(survey), replicas::replicas(config, survey));
    let needed = replicas::majority(&replicas);
    let total: usize = replicas.values().sum();
    let reached = |least: bool| -> usize {
        let each = replicas.iter().map(|(name, replicas)| {
            let count = counts.get(name.as_str()).copied().unwrap_or_default();
            let up = count.up.min(*replicas);
            if least {
                up.min(replicas.saturating_sub(count.down))
            } else {
                up
            }
        });
        each.sum()
    };
    let (least, most) = (reached(true), reached(false));
    let advice = "start the nodes that do not answer, or mend the network to their sites";
    if least >= needed {
        let what = format!("{least} of {total} replicas answer; a majority is {needed}");
        Finding::ok(MAJORITY, what)
    } else if most >= needed {
        let what =
            format!("some keys may have {least} of {total} replicas; a majority is {needed}");
        Finding::warning(MAJORITY, what)
            .because("critical sections on keys whose nodes are down do not go on")
            .advise(advice)
    } else {
        let what = format!("{most} of {total} replicas answer; a majority is {needed}");
        Finding::error(MAJORITY, what)
            .because("there is no critical section from here: they answer `unavailable`")
            .advise(advice)
    }
}

/// Whether the node's own data centre answers.
fn local(config: &Config, survey: &Survey) -> Finding {
    let name = config.datacentre.as_str();
    let Count { up, down } = count(survey).get(name).copied().unwrap_or_default();
    let replicas = replicas::replicas(config, survey);
    let replicas = replicas.get(name).copied().unwrap_or(0);
    if up == 0 {
        let what = format!("no node of this site's data centre, {name}, answers");
        Finding::error(LOCAL, what)
            .because("eventual gets and puts are local: they fail, and this node is not ready")
            .advise(format!(
                "start the nodes of {name}, or let clients use a MUSIC node of another site"
            ))
    } else if down >= replicas && down > 0 {
        let what = format!(
            "{} of this site's data centre, {name}, not answering",
            counted(down, "node")
        );
        Finding::warning(LOCAL, what)
            .because("eventual gets and puts of keys that only they hold here fail")
            .advise("start them, or give the data centre more replicas")
    } else {
        let what = format!(
            "{} of this site's data centre, {name}, answering",
            counted(up, "node")
        );
        Finding::ok(LOCAL, what)
    }
}

fn answers(survey: &Survey) -> impl Iterator<Item = (&Node, &Answer)> {
    let nodes = survey.nodes.iter();
    nodes.filter_map(|node| Some((node, node.answer.as_ref().ok()?)))
}

fn versions(survey: &Survey) -> Vec<Finding> {
    let products: BTreeSet<String> = answers(survey).map(|(_, answer)| product(answer)).collect();
    let mut findings = Vec::new();
    if products.len() > 1 {
        let all = products.into_iter().collect::<Vec<_>>().join(", ");
        findings.push(
            Finding::warning(VERSION, format!("the nodes differ: {all}"))
                .because(
                    "fine during an upgrade; until its end the schema cannot change, so no table \
                     can be created, and transactions go by the older rules",
                )
                .advise("end the upgrade"),
        );
    }
    let old = |answer: &Answer| {
        !answer.scylla && major_minor(&answer.version).is_some_and(|found| found < VERSION_MIN)
    };
    for (node, _) in answers(survey).filter(|(_, answer)| old(answer)) {
        let what = format!("{} is older than Cassandra 4.1", node.address);
        findings.push(
            Finding::warning(VERSION, what)
                .because(
                    "it has no Paxos v2: an enqueue takes four rounds instead of two, and a \
                     contended key more",
                )
                .advise("upgrade to Cassandra 4.1 or later, and set paxos_variant: v2"),
        );
    }
    findings
}

fn schema(config: &Config, survey: &Survey) -> Finding {
    let keyspace = &config.keyspace;
    match &survey.schema {
        Schema::Missing => {
            let what = format!("the keyspace {keyspace} is not set up");
            Finding::error(SCHEMA, what)
                .because("a node of MUSIC does not start without it")
                .advise("run `music engine init` once, with this configuration")
        }
        Schema::Version(found) if *found > SCHEMA_VERSION => {
            let what = format!(
                "the schema of {keyspace} has version {found}, and this program knows \
                 {SCHEMA_VERSION}"
            );
            Finding::error(SCHEMA, what)
                .because("a newer MUSIC has upgraded it; this one refuses to start")
                .advise("install that newer version of MUSIC here too")
        }
        Schema::Version(found) => Finding::ok(
            SCHEMA,
            format!("the schema of {keyspace} has version {found}"),
        ),
        Schema::Unknown(reason) => {
            let what = format!("the schema of {keyspace} cannot be read at a majority: {reason}");
            Finding::error(SCHEMA, what)
                .because("what a majority does not answer now, it does not answer MUSIC either")
                .advise("mend what the other findings name, then check again")
        }
    }
}

fn read_repair(config: &Config, survey: &Survey) -> Vec<Finding> {
    let Some(tables) = &survey.read_repair else {
        let what = "the servers do not tell the mode of read repair";
        let meaning = "ScyllaDB has no other than the one that MUSIC needs";
        return vec![Finding::ok(READ_REPAIR, what).because(meaning)];
    };
    let wrong = tables.iter().filter(|(_, mode)| *mode != "BLOCKING");
    let mut findings: Vec<_> = wrong
        .map(|(table, mode)| {
            let name = format!("{}.{table}", config.keyspace);
            Finding::new(
                Level::Error,
                READ_REPAIR,
                format!("read repair of {name} is {mode}"),
            )
            .because(
                "what a critical get has seen must be at a majority before it answers, or the \
                 next get may go back",
            )
            .advise(format!("ALTER TABLE {name} WITH read_repair = 'BLOCKING'"))
        })
        .collect();
    if findings.is_empty() && !tables.is_empty() {
        let what = format!(
            "read repair is BLOCKING in {}",
            counted(tables.len(), "CQL table")
        );
        findings.push(Finding::ok(READ_REPAIR, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::doctor::fixture::{self, answer, assert_problem, kill, problems};

    #[test]
    fn three_nodes_that_answer_are_right() {
        let findings = judge(&fixture::config(), &fixture::cassandra());
        assert_eq!(problems(&findings), [] as [String; 0]);
        let node = &findings[0].what;
        assert!(node.contains("10.0.0.1:9042 in ncalifornia"), "{node}");
        assert!(node.contains("Cassandra 5.0.9, 54.0 ms"), "{node}");
    }

    #[test]
    fn a_majority_goes_on_without_one_site_and_not_without_two() {
        let (config, mut survey) = (fixture::config(), fixture::cassandra());
        kill(&mut survey, "oregon");
        let findings = judge(&config, &survey);
        assert_problem(
            &findings,
            "Warning cassandra.node",
            "10.0.0.3:9042 in oregon",
        );
        assert_eq!(problems(&findings).len(), 1);
        kill(&mut survey, "ncalifornia");
        let findings = judge(&config, &survey);
        assert_problem(&findings, "Error cassandra.majority", "1 of 3 replicas");
    }

    #[test]
    fn the_loss_of_the_own_site_is_an_error() {
        let (config, mut survey) = (fixture::config(), fixture::cassandra());
        kill(&mut survey, "ohio");
        let findings = judge(&config, &survey);
        assert_problem(&findings, "Error cassandra.local", "no node of this site");
        assert!(
            problems(&findings)
                .iter()
                .all(|line| !line.contains("majority:"))
        );
    }

    /// Two nodes a site, one replica: which has it is not known.
    #[test]
    fn keys_whose_only_node_is_down_are_told_of() {
        let (config, mut survey) = (fixture::config(), fixture::cassandra());
        survey.nodes.extend(fixture::cassandra().nodes);
        kill(&mut survey, "ohio");
        kill(&mut survey, "oregon");
        let findings = judge(&config, &survey);
        assert_problem(&findings, "Warning cassandra.majority", "may have 1 of 3");
        assert_problem(&findings, "Warning cassandra.local", "1 node of");
    }

    #[test]
    fn old_and_mixed_versions_are_warnings() {
        let (config, mut survey) = (fixture::config(), fixture::cassandra());
        "4.0.11".clone_into(&mut answer(&mut survey, "oregon").version);
        let findings = judge(&config, &survey);
        assert_problem(&findings, "Warning cassandra.version", "the nodes differ");
        assert_problem(
            &findings,
            "Warning cassandra.version",
            "10.0.0.3:9042 is older",
        );
        for name in ["ohio", "ncalifornia", "oregon"] {
            let answer = answer(&mut survey, name);
            (answer.scylla, answer.version) = (true, "3.0.8".to_owned());
        }
        let findings = judge(&config, &survey);
        assert_eq!(problems(&findings), [] as [String; 0]);
    }

    #[test]
    fn a_schema_that_no_node_could_use_is_an_error() {
        let config = fixture::config();
        let with = |schema| {
            let survey = Survey {
                schema,
                ..fixture::cassandra()
            };
            judge(&config, &survey)
        };
        let check = "Error cassandra.schema";
        assert_problem(&with(Schema::Missing), check, "music engine init");
        assert_problem(&with(Schema::Version(SCHEMA_VERSION + 1)), check, "newer");
        let unknown = Schema::Unknown("timed out".to_owned());
        assert_problem(&with(unknown), check, "timed out");
    }

    #[test]
    fn read_repair_must_be_blocking() {
        let (config, mut survey) = (fixture::config(), fixture::cassandra());
        let tables = survey.read_repair.as_mut().unwrap();
        tables.insert("cells_0".to_owned(), "NONE".to_owned());
        let findings = judge(&config, &survey);
        let contains = "ALTER TABLE music.cells_0 WITH read_repair = 'BLOCKING'";
        assert_problem(&findings, "Error cassandra.read_repair", contains);
        survey.read_repair = None;
        assert_eq!(problems(&judge(&config, &survey)), [] as [String; 0]);
    }
}
