//! What `music bench sections` prints.

use std::time::Duration;

use serde::Serialize;

use super::clock::ms;
use super::sample::{Sample, Sampled};
use crate::output::columns;

/// How far from its rounds a time may be, in rounds for each round that it
/// should take; a tenth of one round for what should take none.
const TOLERANCE: f64 = 0.1;

/// One thing at one site.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    site: String,
    what: String,
    median_ms: f64,
    p99_ms: f64,
    round_ms: f64,
    median_rounds: f64,
    expected_rounds: u32,
    as_expected: bool,
}

/// The lines of a site, whose round is that long.
pub(super) fn lines(site: &str, round: Duration, sampled: &Sampled) -> Vec<Line> {
    let line = |sample: &Sample| line(site, round, sample);
    sampled.all().iter().map(line).collect()
}

fn line(site: &str, round: Duration, sample: &Sample) -> Line {
    let (median_ms, round_ms) = (ms(sample.quantile(0.5)), ms(round));
    let median_rounds = if round_ms > 0.0 {
        median_ms / round_ms
    } else {
        0.0
    };
    let expected = f64::from(sample.rounds);
    Line {
        site: site.to_owned(),
        what: sample.what.clone(),
        median_ms,
        p99_ms: ms(sample.quantile(0.99)),
        round_ms,
        median_rounds,
        expected_rounds: sample.rounds,
        as_expected: (median_rounds - expected).abs() <= TOLERANCE * expected.max(1.0),
    }
}

/// The table.
pub(super) fn text(lines: &[Line], value_bytes: u32) -> String {
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            [
                line.site.clone(),
                line.what.clone(),
                format!("{:.2}", line.median_ms),
                format!("{:.2}", line.p99_ms),
                format!("{:.2}", line.median_rounds),
                line.expected_rounds.to_string(),
                if line.as_expected { "yes" } else { "NO" }.to_owned(),
            ]
        })
        .collect();
    let head = [
        "site",
        "what",
        "median ms",
        "p99 ms",
        "rounds",
        "expected",
        "within 10 %",
    ];
    format!("values of {value_bytes} bytes\n{}", columns(head, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(rounds: u32, took_ms: f64) -> bool {
        let mut sampled = Sampled::default();
        sampled.add("x", rounds, Duration::from_secs_f64(took_ms / 1e3));
        lines("a", Duration::from_millis(20), &sampled)[0].as_expected
    }

    #[test]
    fn a_tenth_more_is_allowed() {
        assert!(checked(3, 65.9) && !checked(3, 66.1));
        assert!(
            !checked(3, 53.0),
            "less than physics allows is no good sign either"
        );
    }

    #[test]
    fn what_needs_no_round_may_take_a_tenth_of_one() {
        assert!(checked(0, 1.9) && !checked(0, 2.1));
    }
}
