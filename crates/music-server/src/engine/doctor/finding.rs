//! What a check found.

use std::time::Duration;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and costs time, or fails where it need not.
    Warning,
    /// It does not work, or does not keep what MUSIC promises.
    Error,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The check, by a name that stays: `cassandra.clock`.
    pub check: &'static str,
    /// What is so.
    pub what: String,
    /// What that means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn new(level: Level, check: &'static str, what: impl Into<String>) -> Self {
        Self {
            level,
            check,
            what: what.into(),
            meaning: None,
            advice: None,
        }
    }

    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, check, what)
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Warning, check, what)
    }

    pub(super) fn error(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Error, check, what)
    }

    /// The same, with what it means.
    pub(super) fn because(self, meaning: impl Into<String>) -> Self {
        Self {
            meaning: Some(meaning.into()),
            ..self
        }
    }

    /// The same, with what to do.
    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }
}

/// A time for people to read.
pub(super) fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 100.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

/// So many things: `1 node`, `3 nodes`.
pub fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// The first two numbers of a version: 4.1 of `4.1.3-SNAPSHOT`.
pub(super) fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|character: char| !character.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next().and_then(|number| number.parse().ok());
    Some((major, minor.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_first_two_numbers() {
        assert_eq!(major_minor("5.0.9"), Some((5, 0)));
        assert_eq!(major_minor("4.1-beta1"), Some((4, 1)));
        assert_eq!(major_minor("6"), Some((6, 0)));
        assert_eq!(major_minor("unknown"), None);
    }
}
