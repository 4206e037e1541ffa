//! The shortest history that still fails: fewer faults, fewer clients, less
//! time, as long as the run fails still.

use std::time::Duration;

use super::settings::Settings;
use super::{Error, Run, run, verdict};

/// How many runs are spent on it.
const RUNS_MAX: usize = 60;

/// A run that fails.
#[derive(Debug)]
pub struct Failing {
    /// What makes it fail.
    pub settings: Settings,
    /// How it fails.
    pub verdict: Vec<String>,
    /// What happened.
    pub run: Run,
}

/// Makes a failing run smaller.
///
/// # Errors
/// Where the simulation itself cannot run.
pub(super) fn shrink(settings: Settings) -> Result<Failing, Error> {
    let mut failing = attempt(settings)?;
    let mut runs = 0;
    loop {
        let mut smaller = None;
        for candidate in candidates(&failing.settings) {
            if runs >= RUNS_MAX {
                return Ok(failing);
            }
            runs += 1;
            let tried = attempt(candidate)?;
            if !tried.verdict.is_empty() {
                smaller = Some(tried);
                break;
            }
        }
        match smaller {
            Some(tried) => failing = tried,
            None => return Ok(failing),
        }
    }
}

fn attempt(settings: Settings) -> Result<Failing, Error> {
    let run = run(&settings)?;
    Ok(Failing {
        verdict: verdict(&run),
        settings,
        run,
    })
}

/// Settings that are smaller in one thing, the smallest first.
fn candidates(settings: &Settings) -> Vec<Settings> {
    let mut candidates = Vec::new();
    for share in [0.25, 0.5, 0.75, 0.9] {
        let length = settings.length.mul_f64(share);
        if length >= Duration::from_millis(200) {
            // Whole milliseconds, as the command line has them.
            let length = Duration::from_millis(u64::try_from(length.as_millis()).unwrap_or(200));
            candidates.push(Settings {
                length,
                ..settings.clone()
            });
        }
    }
    for fault in &settings.faults {
        let mut fewer = settings.clone();
        fewer.faults.remove(fault);
        candidates.push(fewer);
    }
    for trade in settings.trades.iter().filter(|_| settings.trades.len() > 1) {
        let mut fewer = settings.clone();
        fewer.trades.remove(trade);
        candidates.push(fewer);
    }
    if settings.clients > 1 {
        candidates.push(Settings {
            clients: settings.clients - 1,
            ..settings.clone()
        });
    }
    candidates
}
