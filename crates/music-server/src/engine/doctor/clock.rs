//! Whether the clocks agree.

use std::time::Duration;

use music_store::cassandra::survey::Survey;

use super::finding::{Finding, Level};

const CLOCK: &str = "cassandra.clock";
/// A difference that a machine whose clock is kept does not have.
const DOUBTFUL: Duration = Duration::from_millis(500);
/// A difference at which the order of eventual writes is anybody's guess.
const WRONG: Duration = Duration::from_secs(5);

/// Judges each node's clock against this machine's.
pub(super) fn judge(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut largest = None;
    for node in &survey.nodes {
        let Ok(answer) = &node.answer else { continue };
        let ahead_ms = answer.clock.ahead_ms;
        let apart = Duration::from_millis(ahead_ms.unsigned_abs());
        // As much of it as the round trip cannot explain.
        let sure = apart.saturating_sub(answer.clock.uncertainty);
        let level = match sure {
            sure if sure > WRONG => Level::Error,
            sure if sure > DOUBTFUL => Level::Warning,
            _ => {
                largest = largest.max(Some(apart));
                continue;
            }
        };
        let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
        let (address, ms) = (node.address, apart.as_millis());
        let what = format!("the clock of {address} is {ms} ms {way} this machine's");
        findings.push(
            Finding::new(level, CLOCK, what)
                .because(
                    "in eventual tables the later write wins by the clock of the node that took \
                     it: where clocks differ, an earlier one does, and Cassandra's own \
                     transactions collide more often. Critical tables do not depend on clocks",
                )
                .advise("keep all clocks by NTP or PTP, that of this machine too"),
        );
    }
    if let Some(largest) = largest.filter(|_| findings.is_empty()) {
        let ms = largest.as_millis();
        let what = format!("the nodes' clocks and this machine's agree to {ms} ms");
        findings.push(Finding::ok(CLOCK, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::doctor::fixture::{self, answer, assert_problem, levels, problems};

    fn at(ahead_ms: i64, uncertainty_ms: u64) -> Vec<Finding> {
        let mut survey = fixture::cassandra();
        let clock = &mut answer(&mut survey, "oregon").clock;
        clock.ahead_ms = ahead_ms;
        clock.uncertainty = Duration::from_millis(uncertainty_ms);
        judge(&survey)
    }

    #[test]
    fn clocks_that_are_kept_are_right() {
        let findings = at(-200, 0);
        assert_eq!(levels(&findings), ["Ok"]);
        assert!(findings[0].what.contains("200 ms"));
    }

    #[test]
    fn a_clock_that_is_off_is_named_with_its_direction() {
        let check = "cassandra.clock: the clock of 10.0.0.3:9042 is";
        assert_problem(&at(900, 0), &format!("Warning {check}"), "900 ms ahead of");
        assert_problem(&at(-9_000, 0), &format!("Error {check}"), "9000 ms behind");
    }

    #[test]
    fn what_the_way_may_have_taken_is_no_fault() {
        assert_eq!(problems(&at(600, 150)), [] as [String; 0]);
        assert_eq!(problems(&at(600, 50)).len(), 1);
    }
}
