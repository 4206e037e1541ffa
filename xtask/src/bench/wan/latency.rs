//! Times of the same thing.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Times in microseconds, of any length, to three digits.
pub(super) struct Latencies(Option<Histogram<u64>>);

impl Latencies {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Histogram::new(3).ok())
    }

    /// Adds a time.
    pub(super) fn add(&mut self, time: Duration) {
        if let Some(times) = &mut self.0 {
            let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            times.record(us).unwrap_or_default();
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The time that the given part of all is not above, 0 to 1.
    pub(super) fn quantile_ms(&self, part: f64) -> f64 {
        let us = self
            .0
            .as_ref()
            .map_or(0, |times| times.value_at_quantile(part));
        Duration::from_micros(us).as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_told_to_three_digits() {
        let mut latencies = Latencies::new();
        for ms in 1..=1000 {
            latencies.add(Duration::from_millis(ms));
        }
        assert!((latencies.quantile_ms(0.5) - 500.0).abs() < 1.0);
        assert!((latencies.quantile_ms(0.99) - 990.0).abs() < 1.0);
        assert_eq!((latencies.len(), Latencies::new().len()), (1000, 0));
    }
}
