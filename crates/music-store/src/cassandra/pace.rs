//! When a transaction begins again, and what its attempts are called: the
//! clock and the dice of the registers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::Rng;
use tokio::time::Instant;

/// How often a transaction begins again before it says that it cannot.
const ATTEMPTS_MAX: u32 = 64;
/// How many attempts follow each other without a delay.
const EAGER_ATTEMPTS: u32 = 2;
/// The longest delay before another attempt, in durations of the last one.
const BACKOFF_MAX: u32 = 8;

/// How long whoever has got a ticket lets others go first, at least; at most twice
/// as long. A transaction of a site that is 70 ms away takes about that.
const REST: Duration = Duration::from_millis(150);
/// The same where others plead for it: they get through then, whatever else is done
/// with the key.
const PLEADED_REST: Duration = Duration::from_millis(450);
/// After how many attempts others are asked to give way.
const PLEA_AFTER: u32 = 3;
/// How long they do so.
const PLEA_HEARD: Duration = Duration::from_secs(2);

/// And in time, where an attempt does not take longer itself.
const BACKOFF_TIME_MAX: Duration = Duration::from_secs(2);

/// After what time a queue is looked at the first time, or again after a
/// change; at most.
const GLANCE_FIRST: Duration = Duration::from_millis(40);
/// The longest time between two looks.
const GLANCE_MAX: Duration = Duration::from_secs(1);

/// When to look again at a queue that tells nobody of its changes: the longer
/// nothing has changed, the later. So a change is seen after as much time
/// again, at most, as it was waited for.
pub(super) struct Glances {
    next: Duration,
}

impl Glances {
    pub(super) fn new() -> Self {
        Self { next: GLANCE_FIRST }
    }

    /// Waits for the time of the next look, which is random: nodes that wait
    /// for the same change do not all look at once.
    pub(super) async fn wait(&mut self) {
        let share = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(self.next.mul_f64(share)).await;
        self.next = self.next.saturating_mul(2).min(GLANCE_MAX);
    }

    /// Begins again, after a change.
    pub(super) fn restart(&mut self) {
        *self = Self::new();
    }
}

/// The attempts of one transaction, one after the other.
pub(super) struct Pace {
    deadline: Instant,
    /// When the present attempt began.
    began: Instant,
    /// How many attempts there were, the present one included.
    attempts: u32,
}

impl Pace {
    /// Begins the first attempt of a transaction that may take so long.
    pub(super) fn new(patience: Duration) -> Self {
        let began = Instant::now();
        Self {
            deadline: began + patience,
            began,
            attempts: 1,
        }
    }

    /// Whether the present attempt is not the first.
    pub(super) fn is_repeated(&self) -> bool {
        self.attempts > 1
    }

    /// Whether the present attempt has come after many: others are asked to give way.
    pub(super) fn is_late(&self) -> bool {
        self.attempts > PLEA_AFTER
    }

    /// Lets others go first, for a random time that grows with the attempts,
    /// in durations of the last one: it took what a transaction takes here.
    /// Returns whether there is to be another attempt.
    pub(super) async fn again(&mut self) -> bool {
        self.attempt_after(self.attempts.checked_sub(EAGER_ATTEMPTS))
            .await
    }

    /// The same after an attempt that was not answered for. Cassandra says that
    /// at once where others are at the same key, so nobody begins again at
    /// once: who does takes the promises away that another has just been given,
    /// and at three sites that do so nobody ever gets through.
    pub(super) async fn again_unanswered(&mut self) -> bool {
        self.attempt_after(Some(self.attempts)).await
    }

    /// Another attempt, after a delay if it is given a number of doublings.
    async fn attempt_after(&mut self, doublings: Option<u32>) -> bool {
        let ended = Instant::now();
        if self.attempts >= ATTEMPTS_MAX || ended >= self.deadline {
            return false;
        }
        if let Some(doublings) = doublings {
            let share = rand::rng().random_range(0.0..1.0);
            let delay = backoff_max(ended - self.began, doublings).mul_f64(share);
            tokio::time::sleep_until(self.deadline.min(ended + delay)).await;
        }
        self.began = Instant::now();
        self.attempts = self.attempts.saturating_add(1);
        true
    }
}

/// The longest delay after an attempt that took so long.
fn backoff_max(last: Duration, doublings: u32) -> Duration {
    let times = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    last.saturating_mul(times.min(BACKOFF_MAX))
        .min(last.max(BACKOFF_TIME_MAX))
}

/// How long whoever has got a ticket lets others go first.
pub(super) fn rest(is_pleaded: bool) -> Duration {
    let rest = if is_pleaded { PLEADED_REST } else { REST };
    rest.mul_f64(rand::rng().random_range(1.0..2.0))
}

/// Whether a plea of that time is to be heard. Clocks that differ cost time alone.
pub(super) fn is_heard(plea_us: i64) -> bool {
    let age = Duration::from_micros(wall_us().abs_diff(plea_us));
    age < PLEA_HEARD
}

pub(super) fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// A name that no other attempt at the same version has.
pub(super) fn attempt_name() -> u64 {
    rand::random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_ends_after_its_attempts_or_its_time() {
        let mut pace = Pace::new(Duration::from_mins(1));
        let mut attempts = 1;
        while pace.again().await {
            attempts += 1;
        }
        assert_eq!(attempts, ATTEMPTS_MAX);
        assert!(!Pace::new(Duration::ZERO).again().await);
    }

    #[test]
    fn a_delay_grows_with_the_attempts_and_is_bounded() {
        let last = Duration::from_millis(150);
        let delays = [1, 2, 3, 4, 40].map(|doublings| backoff_max(last, doublings).as_millis());
        assert_eq!(delays, [300, 600, 1200, 1200, 1200]);
        let last = Duration::from_secs(1);
        assert_eq!(backoff_max(last, 3), BACKOFF_TIME_MAX);
        let last = Duration::from_secs(3);
        assert_eq!(backoff_max(last, 3), last);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_again_and_again_asks_others_to_give_way() {
        let mut pace = Pace::new(Duration::from_mins(1));
        for _ in 0..PLEA_AFTER {
            assert!(!pace.is_late());
            assert!(pace.again().await);
        }
        assert!(pace.is_late());
        let plea = wall_us();
        assert!(is_heard(plea));
        assert!(rest(true) > rest(false));
        let heard = i64::try_from(PLEA_HEARD.as_micros()).unwrap();
        assert!(!is_heard(plea - heard) && !is_heard(plea + 2 * heard));
    }

    /// The times at which attempts begin, of some that take a tenth of a second.
    async fn begins(unanswered: bool) -> Vec<Duration> {
        let begin = Instant::now();
        let mut pace = Pace::new(Duration::from_mins(1));
        let mut begins = Vec::new();
        while begins.len() < 4 {
            begins.push(begin.elapsed());
            tokio::time::advance(Duration::from_millis(100)).await;
            let again = if unanswered {
                pace.again_unanswered().await
            } else {
                pace.again().await
            };
            assert!(again);
        }
        begins
    }

    /// Two that collided and begin again at once collide again, for ever.
    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_was_not_answered_is_never_repeated_at_once() {
        let tenths = |tenths: u64| Duration::from_millis(tenths * 100);
        assert_eq!(begins(false).await[1], tenths(1));
        let late = begins(true).await;
        assert!(
            late.iter()
                .zip(0..)
                .skip(1)
                .all(|(at, number)| *at > tenths(number))
        );
    }
}
