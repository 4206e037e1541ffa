//! Lengths of time on the command line: `500ms`, `10s`, `2m`, `1h`.

use std::time::Duration;

use music_core::time::Lease;

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no length of time: write a number and ms, s, m or h, as 500ms or 10s")]
pub(crate) struct NotADuration(String);

/// Reads a length of time.
pub(crate) fn parse(text: &str) -> Result<Duration, NotADuration> {
    let wrong = || NotADuration(text.to_owned());
    let unit = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().ok().ok_or_else(wrong)?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .ok_or_else(wrong)
}

/// A length of time that is no lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotALease {
    /// It is none.
    #[error(transparent)]
    Duration(#[from] NotADuration),
    /// It is out of bounds.
    #[error("a lease is {:?} to {:?}", Lease::MIN.get(), Lease::MAX.get())]
    OutOfBounds,
}

/// Reads a lease.
pub(crate) fn lease(text: &str) -> Result<Duration, NotALease> {
    let lease = Lease::new(parse(text)?).ok_or(NotALease::OutOfBounds)?;
    Ok(lease.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("1.5m", 90_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_no_number_is_refused() {
        for text in [
            "", "10", "s", "-1s", "1d", "1 s", "1.2.3s", "9e99s", "10sec",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn leases_have_bounds() {
        assert_eq!(lease("100ms"), Ok(Duration::from_millis(100)));
        for text in ["0s", "99ms", "25h"] {
            assert_eq!(lease(text), Err(NotALease::OutOfBounds), "{text}");
        }
        assert!(matches!(lease("10"), Err(NotALease::Duration(_))));
    }
}
