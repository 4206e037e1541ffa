//! Why something failed, and what that means for its transaction.

use std::fmt;

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing was done; the same may be tried again.
    Again,
    /// The connection is gone; nothing was done, unless it was committing.
    Lost,
    /// It may have been done, or not.
    Unknown,
    /// Nothing was done, and another try would fail too.
    Wrong,
}

/// A failure of a statement or transaction.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) meaning: Meaning,
    /// As the server names it, or `lost`.
    pub(crate) code: String,
    text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(crate) fn new(meaning: Meaning, code: &str, text: impl fmt::Display) -> Self {
        Self {
            meaning,
            code: code.to_owned(),
            text: text.to_string(),
        }
    }

    /// What it means where a commit was under way.
    pub(crate) fn of_commit(mut self) -> Self {
        if self.meaning == Meaning::Lost {
            self.meaning = Meaning::Unknown;
        }
        self
    }

    /// As the product that it is from means it.
    pub(crate) fn of_sqlstate(code: &str, text: impl fmt::Display) -> Self {
        let meaning = match code {
            // Serialization, deadlock, lock timeout, and a site that cannot do it now.
            "40001" | "40P01" | "55P03" | "57P03" => Meaning::Again,
            "40003" | "08007" => Meaning::Unknown,
            _ if code.starts_with("08") || code.starts_with("57P") => Meaning::Lost,
            _ => Meaning::Wrong,
        };
        Self::new(meaning, code, text)
    }

    /// As MariaDB means it.
    pub(crate) fn of_mariadb(code: u16, text: impl fmt::Display) -> Self {
        let meaning = match code {
            // Lock timeout, deadlock or certification, and a node that is no
            // part of the primary component.
            1205 | 1213 | 1047 => Meaning::Again,
            1053 | 1927 => Meaning::Lost,
            _ => Meaning::Wrong,
        };
        Self::new(meaning, &code.to_string(), text)
    }

    /// Of a connection that is no more.
    pub(crate) fn lost(text: impl fmt::Display) -> Self {
        Self::new(Meaning::Lost, "lost", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_tried_again_and_mistakes_are_not() {
        let meaning = |code| Failure::of_sqlstate(code, "").meaning;
        assert_eq!(meaning("40001"), Meaning::Again);
        assert_eq!(meaning("40003"), Meaning::Unknown);
        assert_eq!(meaning("57P01"), Meaning::Lost);
        assert_eq!(meaning("42601"), Meaning::Wrong);
        assert_eq!(Failure::of_mariadb(1213, "").meaning, Meaning::Again);
        assert_eq!(Failure::of_mariadb(1062, "").meaning, Meaning::Wrong);
    }

    #[test]
    fn a_connection_lost_while_committing_leaves_it_unknown() {
        assert_eq!(Failure::lost("").of_commit().meaning, Meaning::Unknown);
        let again = Failure::of_sqlstate("40001", "").of_commit();
        assert_eq!(again.meaning, Meaning::Again);
    }
}
