//! What a client may be told about time, retries and connections.

use std::num::NonZeroU32;
use std::time::Duration;

/// Settings of a [`Client`](crate::Client).
///
/// ```
/// use std::time::Duration;
/// use music_client::Options;
///
/// let options = Options { local_timeout: Duration::from_secs(2), ..Options::default() };
/// assert!(options.local_timeout < options.majority_timeout);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// How long one attempt of a request may take that a node answers by
    /// itself: on eventual tables, and proofs of life. 3 s.
    pub local_timeout: Duration,
    /// How long one attempt may take that needs a majority, beside the wait
    /// for a grant. 12 s: longer than nodes try, who then say what they know.
    pub majority_timeout: Duration,
    /// How long connecting to a node may take. 1 s.
    pub connect_timeout: Duration,
    /// The lease of a section that names none: how long this client may go
    /// unheard before its node ends the section. 10 s.
    pub lease: Duration,
    /// How failed attempts are repeated.
    pub retry: RetryPolicy,
    /// How long a node that failed is asked after all others. 5 s.
    pub avoid_failed: Duration,
    /// Whether to speak HTTP/2 without asking. False: HTTP/1.1, a connection
    /// for each request under way.
    pub http2_prior_knowledge: bool,
    /// How many sections dropped without a release may be released in the
    /// background at a time. 1024; those beyond end with their lease.
    pub background_releases_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            local_timeout: Duration::from_secs(3),
            majority_timeout: Duration::from_secs(12),
            connect_timeout: Duration::from_secs(1),
            lease: Duration::from_secs(10),
            retry: RetryPolicy::default(),
            avoid_failed: Duration::from_secs(5),
            http2_prior_knowledge: false,
            background_releases_max: 1024,
        }
    }
}

/// How often and how soon a failed attempt is repeated. Only what is safe to
/// repeat is repeated at all, whatever this says.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// How many attempts one request may have at one node, the first
    /// included. 3.
    pub attempts: NonZeroU32,
    /// The longest pause after the first failure; it doubles with each. 25 ms.
    pub pause_min: Duration,
    /// The longest pause of all. 1 s.
    pub pause_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::MIN.saturating_add(2),
            pause_min: Duration::from_millis(25),
            pause_max: Duration::from_secs(1),
        }
    }
}

impl RetryPolicy {
    /// No attempt is repeated.
    pub fn never() -> Self {
        Self {
            attempts: NonZeroU32::MIN,
            ..Self::default()
        }
    }

    /// The pause after the attempt of that number, from 1. `draw`, 0 to 1,
    /// spreads clients that failed together: half the pause is by chance.
    pub fn pause(&self, attempt: u32, draw: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let full = self
            .pause_min
            .saturating_mul(1_u32 << doublings)
            .min(self.pause_max);
        let share = 0.5 + draw.clamp(0.0, 1.0) / 2.0;
        Duration::try_from_secs_f64(full.as_secs_f64() * share).unwrap_or(full)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pause_is_bounded_and_never_zero(attempt in any::<u32>(), draw in 0.0..1.0) {
            let policy = RetryPolicy::default();
            let pause = policy.pause(attempt, draw);
            prop_assert!(pause <= policy.pause_max);
            prop_assert!(pause >= policy.pause_min / 2);
        }

        #[test]
        fn pauses_grow(attempt in 1_u32..40, draw in 0.0..1.0) {
            let policy = RetryPolicy::default();
            prop_assert!(policy.pause(attempt, draw) <= policy.pause(attempt + 1, draw));
        }
    }
}
