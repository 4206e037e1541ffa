//! Times of the same thing, measured again and again.

use std::time::Duration;

/// Times of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// What was measured.
    pub(super) what: String,
    /// How many rounds it should take.
    pub(super) rounds: u32,
    times: Vec<Duration>,
}

impl Sample {
    /// The time that the given part of all is not above, 0 to 1.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        // Nearest rank: the smallest that enough of them do not exceed.
        let rank = (f64::from(count) * part.clamp(0.0, 1.0)).ceil();
        let before = (1..count).take_while(|n| f64::from(*n) < rank).count();
        times.get(before).copied().unwrap_or_default()
    }
}

/// Times of several things, in the order in which they were first measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampled {
    samples: Vec<Sample>,
}

impl Sampled {
    /// Adds a time.
    pub(super) fn add(&mut self, what: &str, rounds: u32, time: Duration) {
        if let Some(sample) = self.samples.iter_mut().find(|sample| sample.what == what) {
            sample.times.push(time);
            return;
        }
        let (what, times) = (what.to_owned(), vec![time]);
        self.samples.push(Sample {
            what,
            rounds,
            times,
        });
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Sample] {
        &self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(count: u64) -> Sample {
        let times = (1..=count).rev().map(Duration::from_millis).collect();
        Sample {
            what: String::new(),
            rounds: 1,
            times,
        }
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        for (count, part, ms) in [
            (1, 0.5, 1),
            (4, 0.5, 2),
            (5, 0.5, 3),
            (100, 0.99, 99),
            (50, 0.99, 50),
        ] {
            let quantile = sample(count).quantile(part);
            assert_eq!(quantile, Duration::from_millis(ms), "{part} of {count}");
        }
        assert_eq!(sample(0).quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn times_of_one_thing_are_kept_together() {
        let mut sampled = Sampled::default();
        for (what, ms) in [("a", 1), ("b", 9), ("a", 3)] {
            sampled.add(what, 1, Duration::from_millis(ms));
        }
        let [a, b] = sampled.all() else {
            panic!("{sampled:?}")
        };
        assert_eq!(
            (a.quantile(1.0), b.quantile(1.0)),
            (Duration::from_millis(3), Duration::from_millis(9))
        );
    }
}
