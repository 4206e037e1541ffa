//! The settings of the daemon: one TOML file, checked whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use music_client::{Client, Options};
use music_core::time::Lease;
use toml::de::DeTable;

use super::read::{Fault, Faults, Section};
use super::scripts::Scripts;

/// The longest name of a service, a replica or a site, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// The most active replicas of a service.
const ACTIVE_MAX: u64 = 64;

/// All settings.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The service.
    pub(crate) service: String,
    /// This replica, unlike all others of the service.
    pub(crate) replica: String,
    /// Where it is.
    pub(crate) site: String,
    /// How many replicas are to be active.
    pub(crate) active: u64,
    /// The sites, the best first.
    pub(crate) sites: Vec<String>,
    /// Whether an active replica steps down for one of a better site.
    pub(crate) failback: bool,
    /// The nodes; `None` for those that the command line or the environment
    /// names.
    pub(crate) endpoints: Option<Vec<String>>,
    /// How long this daemon may go unheard.
    pub(crate) lease: Duration,
    /// How long the replica does not ask after its service failed.
    pub(crate) out: Duration,
    /// How long a script that is told to end may go on.
    pub(crate) kill_after: Duration,
    /// What is run.
    pub(crate) scripts: Scripts,
    /// When the service is healthy.
    pub(crate) check: CheckConfig,
}

/// When a service is healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckConfig {
    /// The time from the end of a check to the next one.
    pub(crate) interval: Duration,
    /// How many checks have to fail, one after the other.
    pub(crate) failures: u64,
    /// How often `restart` is tried then.
    pub(crate) restarts: u64,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Settings are unknown, missing, malformed or contradictory.
    #[error("{} has {} fault(s):{}", path.display(), faults.len(), list(faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// In the order of the file.
        faults: Vec<Fault>,
    },
}

fn list(faults: &[Fault]) -> String {
    let mut list = String::new();
    for fault in faults {
        list += "\n  ";
        list += &fault.to_string();
    }
    list
}

impl Config {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path)?;
            Ok((text, std::path::absolute(path)?))
        };
        let (text, absolute) = read(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let directory = absolute.parent().unwrap_or(&absolute);
        Self::parse(&text, directory).map_err(|faults| Error::Faults {
            path: path.to_owned(),
            faults,
        })
    }

    /// Reads a file's text; scripts with relative paths begin at `directory`.
    pub(crate) fn parse(text: &str, directory: &Path) -> Result<Self, Vec<Fault>> {
        let faults = Faults::new(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map(|span| span.start);
            faults.add(at, "", error.message());
        }
        let config = Self::read(table.get_ref(), &faults, directory);
        let faults = faults.finish();
        config.filter(|_| faults.is_empty()).ok_or(faults)
    }

    fn read(table: &DeTable<'_>, faults: &Faults<'_>, directory: &Path) -> Option<Self> {
        let whole = Section::whole(table, faults);
        let service = whole.text("service", NAME_BYTES_MAX);
        let replica = whole.text("replica", NAME_BYTES_MAX);
        let site = whole.text("site", NAME_BYTES_MAX);
        let active = whole.number("active", 1, 1..=ACTIVE_MAX);
        let sites = whole.texts("sites", r#"["ohio", "oregon"]"#);
        let sites = sites.unwrap_or_default();
        let failback = whole.flag("failback");
        if failback && !sites.contains(&site) {
            whole.wrong("failback", "needs `sites`, this one among them");
        }
        let endpoints = whole.texts("endpoints", r#"["http://10.0.0.7:7701"]"#);
        check_endpoints(&whole, endpoints.as_deref());
        let lease = lease(&whole);
        let out = whole.time("out_ms", 60_000);
        let (scripts, timeouts) = (whole.section("scripts"), whole.section("timeouts"));
        let all = Scripts::read(&scripts, &timeouts, directory);
        let kill_after = timeouts.time("kill_ms", 5_000);
        let check = whole.section("check");
        let check_config = CheckConfig {
            interval: check.time("interval_ms", 5_000),
            failures: check.number("failures", 3, 1..=1_000),
            restarts: check.number("restarts", 1, 0..=1_000),
        };
        for section in [scripts, timeouts, check, whole] {
            section.finish();
        }
        Some(Self {
            service,
            replica,
            site,
            active,
            sites,
            failback,
            endpoints,
            lease,
            out,
            kill_after,
            scripts: all?,
            check: check_config,
        })
    }
}

fn lease(whole: &Section<'_>) -> Duration {
    let ms = |lease: Lease| u64::try_from(lease.get().as_millis()).unwrap_or(u64::MAX);
    let allowed = ms(Lease::MIN)..=ms(Lease::MAX);
    Duration::from_millis(whole.number("lease_ms", 10_000, allowed))
}

fn check_endpoints(whole: &Section<'_>, endpoints: Option<&[String]>) {
    let Some(endpoints) = endpoints else { return };
    if let Err(error) = Client::new(endpoints, Options::default()) {
        whole.wrong("endpoints", error.to_string());
    }
}

#[cfg(test)]
mod tests;
