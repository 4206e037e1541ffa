//! Whether a service is healthy, by the checks that failed. No clock, no
//! script: what to do next is a value.

use super::config::CheckConfig;

/// How a service has done so far.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    failures_max: u64,
    restarts_max: u64,
    /// Checks that failed, one after the other, since it was last mended.
    failures: u64,
    /// How often it was mended since a check succeeded.
    restarts: u64,
}

/// What a check or a restart comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well.
    Healthy,
    /// It is too soon to say.
    Open,
    /// It is to be mended, for the time of that number since it was well.
    Restart(u64),
    /// It is not healthy, and nothing is left to try.
    Unhealthy,
}

impl Health {
    /// Of a service that is mended as often as that; a passive one is not.
    pub(crate) fn new(config: CheckConfig, can_restart: bool) -> Self {
        Self {
            failures_max: config.failures,
            restarts_max: if can_restart { config.restarts } else { 0 },
            failures: 0,
            restarts: 0,
        }
    }

    /// A check ended.
    pub(crate) fn checked(&mut self, succeeded: bool) -> Verdict {
        if succeeded {
            (self.failures, self.restarts) = (0, 0);
            return Verdict::Healthy;
        }
        self.failures += 1;
        if self.failures < self.failures_max {
            Verdict::Open
        } else {
            self.mend()
        }
    }

    /// A restart ended: one that succeeded has as many checks as at first, one
    /// that failed counts as tried.
    pub(crate) fn restarted(&mut self, succeeded: bool) -> Verdict {
        if succeeded {
            self.failures = 0;
            Verdict::Open
        } else {
            self.mend()
        }
    }

    fn mend(&mut self) -> Verdict {
        if self.restarts >= self.restarts_max {
            return Verdict::Unhealthy;
        }
        self.restarts += 1;
        Verdict::Restart(self.restarts)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn health(failures: u64, restarts: u64, can_restart: bool) -> Health {
        let config = CheckConfig {
            interval: Duration::from_secs(1),
            failures,
            restarts,
        };
        Health::new(config, can_restart)
    }

    #[test]
    fn so_many_failures_in_a_row_are_one_too_many() {
        let mut health = health(3, 0, true);
        for _ in 0..2 {
            assert_eq!(health.checked(false), Verdict::Open);
            assert_eq!(health.checked(false), Verdict::Open);
            assert_eq!(health.checked(true), Verdict::Healthy);
        }
        assert_eq!(health.checked(false), Verdict::Open);
        assert_eq!(health.checked(false), Verdict::Open);
        assert_eq!(health.checked(false), Verdict::Unhealthy);
        assert_eq!(health.checked(false), Verdict::Unhealthy, "still");
        assert_eq!(health.checked(true), Verdict::Healthy, "again");
    }

    #[test]
    fn restarts_are_bounded_until_a_check_succeeds() {
        let mut health = health(2, 2, true);
        for _ in 0..2 {
            assert_eq!(health.checked(false), Verdict::Open);
            assert_eq!(health.checked(false), Verdict::Restart(1));
            assert_eq!(health.restarted(true), Verdict::Open);
            assert_eq!(health.checked(false), Verdict::Open);
            assert_eq!(health.checked(false), Verdict::Restart(2));
            assert_eq!(health.restarted(true), Verdict::Open);
            assert_eq!(health.checked(true), Verdict::Healthy);
        }
        assert_eq!(health.checked(false), Verdict::Open);
        assert_eq!(health.checked(false), Verdict::Restart(1));
        assert_eq!(health.restarted(false), Verdict::Restart(2));
        assert_eq!(health.restarted(false), Verdict::Unhealthy);
    }

    #[test]
    fn without_a_restart_nothing_is_mended() {
        let mut health = health(1, 5, false);
        assert_eq!(health.checked(false), Verdict::Unhealthy);
    }
}
