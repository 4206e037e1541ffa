//! What was asked of a model, what was found, and the table of it.

use std::fmt;
use std::time::Duration;

/// What a model checker was asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The model, and the variant of it.
    pub(super) model: String,
    /// What must hold.
    pub(super) property: String,
    /// Within which bounds.
    pub(super) bounds: String,
    /// Which answer shows that all is well.
    pub(super) expected: Expected,
}

/// Which answer shows that all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// No counterexample.
    Holds,
    /// A counterexample, because this rule is broken.
    Broken(String),
    /// An instance: the model is not empty.
    Possible,
}

/// What a model checker answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No counterexample, and no instance where one was asked for.
    Holds,
    /// A counterexample to this property, or an instance.
    Found(String),
}

/// A question with its answer.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) question: Question,
    pub(super) verdict: Verdict,
    /// How many states were explored, where states are.
    pub(super) states: Option<u64>,
    /// Whether everything within the bounds was explored.
    pub(super) is_exhaustive: bool,
    pub(super) took: Duration,
    /// The counterexample as a history, for people; empty where there is none.
    pub(super) history: String,
}

impl Finding {
    /// Whether the answer is the one that shows that all is well.
    pub(super) fn is_expected(&self) -> bool {
        let found = matches!(self.verdict, Verdict::Found(_));
        found == (self.question.expected != Expected::Holds)
    }

    /// All about it, the history included.
    pub(super) fn report(&self) -> String {
        let Question {
            model, property, ..
        } = &self.question;
        match (&self.question.expected, &self.verdict) {
            (Expected::Broken(rule), _) => {
                format!("{model}: no check notices that a rule is broken: {rule}")
            }
            (Expected::Possible, _) => format!("{model}: {property} is not possible"),
            (Expected::Holds, Verdict::Found(violated)) => {
                format!(
                    "{model}: counterexample to {violated}\n\n{}",
                    self.history.trim_end()
                )
            }
            (Expected::Holds, Verdict::Holds) => format!("{model}: {property} holds"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_expected() { "ok" } else { "FAILED" };
        let Question {
            model, property, ..
        } = &self.question;
        let seconds = self.took.as_secs_f64();
        match &self.question.expected {
            Expected::Broken(rule) => write!(f, "{verdict:<7}{seconds:>6.1} s  {model}: {rule}"),
            _ => write!(f, "{verdict:<7}{seconds:>6.1} s  {model}: {property}"),
        }
    }
}

/// Two tables in Markdown: what holds, and what breaks without a rule.
pub(super) fn table(findings: &[Finding]) -> String {
    let (mut holds, mut breaks) = (Vec::new(), Vec::new());
    for finding in findings {
        match &finding.question.expected {
            Expected::Broken(rule) => breaks.push(broken_row(finding, rule)),
            Expected::Holds | Expected::Possible => holds.push(row(finding)),
        }
    }
    format!(
        "| model | property | bounds | states | time | verdict |\n|---|---|---|---|---|---|\n{}\n\n\
         | model | rule that is broken | found by | states | time |\n|---|---|---|---|---|\n{}\n",
        holds.join("\n"),
        breaks.join("\n")
    )
}

fn row(finding: &Finding) -> String {
    let Question {
        model,
        property,
        bounds,
        expected,
    } = &finding.question;
    let verdict = match (&finding.verdict, expected) {
        (Verdict::Found(_), Expected::Possible) => "possible".to_owned(),
        (Verdict::Found(violated), _) => format!("**counterexample** to {violated}"),
        (Verdict::Holds, Expected::Possible) => "**not possible**".to_owned(),
        (Verdict::Holds, _) if finding.is_exhaustive => "holds".to_owned(),
        (Verdict::Holds, _) => "no counterexample in the part explored".to_owned(),
    };
    let (states, seconds) = (states(finding), finding.took.as_secs_f64());
    format!("| {model} | {property} | {bounds} | {states} | {seconds:.1} s | {verdict} |")
}

fn broken_row(finding: &Finding, rule: &str) -> String {
    let found = match &finding.verdict {
        Verdict::Found(violated) => violated,
        Verdict::Holds => "**nothing**",
    };
    let model = &finding.question.model;
    let (states, seconds) = (states(finding), finding.took.as_secs_f64());
    format!("| {model} | {rule} | {found} | {states} | {seconds:.1} s |")
}

/// A number with commas; a dash where there are no states.
fn states(finding: &Finding) -> String {
    let Some(states) = finding.states else {
        return "–".to_owned();
    };
    let digits = states.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(expected: Expected, verdict: Verdict) -> Finding {
        let question = Question {
            model: "queue".to_owned(),
            property: "exclusion".to_owned(),
            bounds: "2 lockRefs".to_owned(),
            expected,
        };
        Finding {
            question,
            verdict,
            states: Some(1_234_567),
            is_exhaustive: true,
            took: Duration::from_millis(1_500),
            history: "lockRef 1 is issued\n".to_owned(),
        }
    }

    fn found() -> Verdict {
        Verdict::Found("exclusion".to_owned())
    }

    fn broken() -> Expected {
        Expected::Broken("no deletion".to_owned())
    }

    #[test]
    fn a_counterexample_is_expected_only_of_a_broken_rule() {
        assert!(finding(Expected::Holds, Verdict::Holds).is_expected());
        assert!(finding(broken(), found()).is_expected());
        assert!(finding(Expected::Possible, found()).is_expected());
        assert!(!finding(Expected::Holds, found()).is_expected());
        assert!(!finding(broken(), Verdict::Holds).is_expected());
        assert!(!finding(Expected::Possible, Verdict::Holds).is_expected());
    }

    #[test]
    fn a_counterexample_is_shown_as_a_history() {
        let report = finding(Expected::Holds, found()).report();
        assert_eq!(
            report,
            "queue: counterexample to exclusion\n\nlockRef 1 is issued"
        );
        let report = finding(broken(), Verdict::Holds).report();
        assert!(report.contains("no deletion"), "{report}");
    }

    #[test]
    fn the_tables_keep_models_and_broken_rules_apart() {
        let mut partial = finding(Expected::Holds, Verdict::Holds);
        partial.is_exhaustive = false;
        let table = table(&[
            finding(Expected::Holds, Verdict::Holds),
            partial,
            finding(broken(), found()),
            finding(broken(), Verdict::Holds),
        ]);
        for row in [
            "| queue | exclusion | 2 lockRefs | 1,234,567 | 1.5 s | holds |",
            "| 1.5 s | no counterexample in the part explored |",
            "| queue | no deletion | exclusion | 1,234,567 | 1.5 s |",
            "| queue | no deletion | **nothing** |",
        ] {
            assert!(table.contains(row), "{table}");
        }
    }
}
