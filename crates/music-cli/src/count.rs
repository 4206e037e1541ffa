//! Counts on the command line: parties, permits and the like.

use std::num::IntErrorKind;

/// A text that is no count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotACount {
    /// No digits, or nothing to count.
    #[error("{0:?} is no count: write a whole number from 1")]
    NoCount(String),
    /// More than any recipe counts.
    #[error("{0} is far too large a count")]
    TooLarge(String),
}

/// Reads a count; how high it may be, the recipe knows.
pub(crate) fn parse(text: &str) -> Result<u64, NotACount> {
    match text.parse::<u64>() {
        Ok(count) if count > 0 => Ok(count),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
            Err(NotACount::TooLarge(text.to_owned()))
        }
        Ok(_) | Err(_) => Err(NotACount::NoCount(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_begin_at_one() {
        assert_eq!(parse("1"), Ok(1));
        assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
        for text in ["0", "-1", "1.5", "", "three", "1e3"] {
            assert!(
                matches!(parse(text), Err(NotACount::NoCount(_))),
                "{text:?}"
            );
        }
        let large = parse("18446744073709551616");
        assert!(matches!(large, Err(NotACount::TooLarge(_))));
    }
}
