//! What holds for every lock store of its own: a majority, the time that its
//! agreement takes, how many servers vote.

use std::time::Duration;

use super::finding::{Finding, ms};

/// How long one request may take, as the engines have it.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// How many agreements a call must have time for.
const CALL_AGREEMENTS: u32 = 5;

/// The names of the checks, and of what is checked.
pub(super) struct Names {
    pub(super) engine: &'static str,
    pub(super) majority: &'static str,
    pub(super) voters: &'static str,
    pub(super) timeouts: &'static str,
    pub(super) timeout_setting: &'static str,
}

/// An engine of which nothing is known.
pub(super) fn unusable(engine: &'static str, reason: &str) -> Finding {
    Finding::error(engine, reason)
        .because("nothing else of it could be checked, and a node of MUSIC does not serve")
        .advise("mend that, then check again")
}

/// Whether a majority answers, and in time.
pub(super) fn majority(
    names: &Names,
    agreed: &Result<Duration, String>,
    patience: Duration,
) -> Vec<Finding> {
    let engine = names.engine;
    let took = match agreed {
        Ok(took) => *took,
        Err(reason) => {
            let what = format!("no majority of {engine} agrees on anything: {reason}");
            return vec![
                Finding::error(names.majority, what)
                    .because("no lock is granted or released; writes of what is held go on")
                    .advise(format!(
                        "start {engine}'s servers, mend the network between them, and see that \
                         the user may read and write where the queues are"
                    )),
            ];
        }
    };
    let what = format!("a majority of {engine} agrees within {}", ms(took));
    let mut findings = vec![Finding::ok(names.majority, what)];
    let slow = took.saturating_mul(2) > REQUEST_TIME;
    if slow || patience < took.saturating_mul(CALL_AGREEMENTS) {
        let what = format!(
            "{} is {}, and an agreement takes {}",
            names.timeout_setting,
            patience.as_millis(),
            ms(took)
        );
        let wanted = took.saturating_mul(CALL_AGREEMENTS).as_millis();
        findings.push(
            Finding::warning(names.timeouts, what)
                .because(
                    "a command that meets others at its key takes several, and a request that \
                     takes 2 s is given up",
                )
                .advise(if slow {
                    format!("find out why {engine} is so slow: disk, network, load")
                } else {
                    format!("set it above {wanted}")
                }),
        );
    }
    findings
}

/// Whether one of the servers that vote may fail.
pub(super) fn voters(names: &Names, voters: Option<usize>) -> Finding {
    let engine = names.engine;
    let advice = "run three or five, at three sites or more";
    match voters {
        None => Finding::ok(names.voters, format!("{engine} does not tell who votes"))
            .because("the configuration may name only some of its servers"),
        Some(1) => Finding::warning(names.voters, format!("{engine} is one server"))
            .because("when it fails, no lock is granted")
            .advise(advice),
        Some(2) => Finding::warning(names.voters, format!("{engine} has two servers that vote"))
            .because("when either fails, no lock is granted")
            .advise(advice),
        Some(voters) => {
            let may_fail = voters.saturating_sub(1) / 2;
            let what = format!("{voters} servers of {engine} vote; {may_fail} may fail");
            Finding::ok(names.voters, what)
        }
    }
}

/// Whether a node has another server to turn to.
pub(super) fn choices(names: &Names, named: usize, voters: Option<usize>) -> Option<Finding> {
    let voters = voters.filter(|voters| named == 1 && *voters > 1)?;
    let engine = names.engine;
    let what = format!("the configuration names one of {voters} servers of {engine}");
    Some(
        Finding::warning(names.voters, what)
            .because("when that one fails, this node has no other to turn to")
            .advise("name all, that of this site first"),
    )
}
