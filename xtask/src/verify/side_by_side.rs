//! Runs cases on as many cores as there are, at most [`CASES_MAX`] at a time.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use super::verdict::Finding;

/// A case may take two gigabytes of memory; a machine may have many cores.
const CASES_MAX: usize = 2;

/// Checks every case and says so as each ends. The findings are in the order
/// of the cases.
///
/// # Errors
///
/// The first error of a check; the others are then not begun.
pub(super) fn run<Case: Send>(
    cases: Vec<Case>,
    check: impl Fn(Case) -> Result<Finding> + Sync,
) -> Result<Vec<Finding>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let queue = Mutex::new(cases.into_iter().enumerate());
    let results = Mutex::new(Vec::new());
    let work = || {
        while let Some((index, case)) = locked(&queue, Iterator::next) {
            let result = check(case);
            if let Ok(finding) = &result {
                println!("{finding}");
            } else {
                // Nothing that follows can make this good.
                locked(&queue, |rest| while rest.next().is_some() {});
            }
            locked(&results, |results| results.push((index, result)));
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores.min(CASES_MAX) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn locked<T, R>(mutex: &Mutex<T>, use_it: impl FnOnce(&mut T) -> R) -> R {
    use_it(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::bail;

    use super::super::verdict::{Expected, Question, Verdict};
    use super::*;

    fn finding(number: u64) -> Finding {
        let question = Question {
            model: "m".to_owned(),
            property: "p".to_owned(),
            bounds: String::new(),
            expected: Expected::Holds,
        };
        Finding {
            question,
            verdict: Verdict::Holds,
            states: Some(number),
            is_exhaustive: true,
            took: Duration::ZERO,
            history: String::new(),
        }
    }

    #[test]
    fn findings_are_in_the_order_of_the_cases() {
        let findings = run((0..9).collect(), |number| Ok(finding(number))).unwrap();
        let numbers: Vec<u64> = findings.iter().filter_map(|f| f.states).collect();
        assert_eq!(numbers, (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_ends_it() {
        let begun = Mutex::new(0);
        let result = run((0..1000).collect(), |number| {
            locked(&begun, |begun| *begun += 1);
            if number == 0 {
                bail!("out of memory");
            }
            thread::yield_now();
            Ok(finding(number))
        });
        assert_eq!(result.unwrap_err().to_string(), "out of memory");
        assert!(locked(&begun, |begun| *begun) < 1000);
    }
}
