//! Processor time, as the system counts it.

use std::fs;
use std::time::Duration;

use super::error::Error;

/// A process whose processor time is of interest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process(u32);

impl Process {
    /// The process of that number.
    pub(super) fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// This process.
    pub(super) fn own() -> Self {
        Self(std::process::id())
    }

    /// What it has used so far, all its threads together, in steps of 10 ms.
    pub(super) fn used(self) -> Result<Duration, Error> {
        let pid = self.0;
        let unreadable = || Error::ProcessorTime { pid };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let ticks = stat.as_deref().and_then(ticks).ok_or_else(unreadable)?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis(ticks * 1000 / per_second.max(1)))
    }
}

/// Fields 14 and 15: time in the program and in the system for it.
fn ticks(stat: &str) -> Option<u64> {
    // The name, field 2, may have anything in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_counted_whatever_the_name() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 4 0";
        assert_eq!(ticks(stat), Some(281));
    }

    #[test]
    fn what_is_no_stat_has_no_times() {
        assert_eq!(ticks("7 (a) S 1 7"), None);
    }
}
