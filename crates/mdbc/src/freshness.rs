//! How fresh the strong tables are that a transaction reads: the latest of all
//! sites, or, where the session asks with `SET music.read = 'local'`, as this
//! site has them.

use std::time::Duration;

use crate::error::{Result, SqlError, state};

/// What a transaction has read of strong tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Nothing yet.
    #[default]
    Open,
    /// The latest.
    Latest,
    /// What there was.
    Local,
}

impl Freshness {
    /// How a statement reads that touches strong tables, where the session asks
    /// for what this site has, or does not. Nobody is asked for
    /// [`Local`](Self::Local); the first time, the client is told.
    pub(crate) fn of_next(self, is_local: bool) -> Result<Self> {
        match (self, is_local) {
            (Self::Open | Self::Local, true) => Ok(Self::Local),
            (Self::Local, false) => Err(SqlError::new(
                state::READ_ONLY_SQL_TRANSACTION,
                "the transaction has read strong tables as this site has them, and can only go on \
                 so",
            )
            .with_hint("Set music.read to latest before a transaction that needs the latest.")),
            (Self::Open | Self::Latest, _) => Ok(Self::Latest),
        }
    }
}

/// What a client is told that reads what this site has.
pub(crate) fn notice(age: Option<Duration>) -> SqlError {
    let age = in_words(age);
    SqlError::new(
        state::SUCCESSFUL_COMPLETION,
        format!("strong tables are read as this site has them, {age}"),
    )
}

/// The age of strong tables, in words.
pub(crate) fn in_words(age: Option<Duration>) -> String {
    match age {
        Some(age) => format!("{:.1} s old at most", age.as_secs_f64()),
        None => "of unknown age".to_owned(),
    }
}
