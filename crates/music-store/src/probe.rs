//! Timing requests to the servers of an engine.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How a server's clock compares with this machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset {
    /// How much the server's clock is ahead, in ms; negative where it is
    /// behind.
    pub ahead_ms: i64,
    /// By how much that may be wrong: half of the round trip.
    pub uncertainty: Duration,
}

/// An answer, and when it was asked for and came.
pub(crate) struct Timed<T> {
    pub(crate) answer: T,
    pub(crate) took: Duration,
    /// This machine's clock in the middle, in ms since 1970.
    middle_ms: i64,
}

impl<T> Timed<T> {
    /// What a server's clock, as the answer has it, says of the two clocks.
    pub(crate) fn offset(&self, server_ms: i64) -> ClockOffset {
        ClockOffset {
            ahead_ms: server_ms.saturating_sub(self.middle_ms),
            uncertainty: self.took / 2,
        }
    }
}

/// Asks once, and takes the time.
pub(crate) async fn timed<T, E>(ask: impl Future<Output = Result<T, E>>) -> Result<Timed<T>, E> {
    let (begin, wall) = (Instant::now(), SystemTime::now());
    let answer = ask.await?;
    let took = begin.elapsed();
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let middle = since.saturating_add(took / 2).as_millis();
    Ok(Timed {
        answer,
        took,
        middle_ms: i64::try_from(middle).unwrap_or(i64::MAX),
    })
}

/// Asks several times, one after the other, and gives all answers, the
/// quickest first. What comes before them is not counted: a connection may
/// have to be made.
pub(crate) async fn repeated<T, E, F>(
    times: usize,
    mut ask: impl FnMut() -> F,
) -> Result<Vec<Timed<T>>, E>
where
    F: Future<Output = Result<T, E>>,
{
    ask().await?;
    let mut answers = Vec::new();
    for _ in 0..times {
        answers.push(timed(ask()).await?);
    }
    answers.sort_by_key(|answer| answer.took);
    Ok(answers)
}

/// The middle one of answers that [`repeated`] gave.
pub(crate) fn median<T>(sorted: &[Timed<T>]) -> Option<Duration> {
    sorted.get(sorted.len() / 2).map(|answer| answer.took)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_is_not_counted() {
        let mut asked = 0;
        let answers = repeated(3, || {
            asked += 1;
            let number = asked;
            async move { Ok::<_, Infallible>(number) }
        });
        let mut numbers: Vec<i32> = answers
            .await
            .unwrap()
            .into_iter()
            .map(|answer| answer.answer)
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [2, 3, 4]);
    }

    #[test]
    fn the_middle_answer_counts_and_half_of_its_way_is_doubt() {
        let took = [1, 2, 90].map(Duration::from_millis);
        let answers = took.map(|took| Timed {
            answer: (),
            took,
            middle_ms: 1_000,
        });
        assert_eq!(median(&answers), Some(Duration::from_millis(2)));
        assert_eq!(median::<()>(&[]), None);
        let offset = ClockOffset {
            ahead_ms: -400,
            uncertainty: Duration::from_millis(45),
        };
        assert_eq!(answers[2].offset(600), offset);
    }
}
