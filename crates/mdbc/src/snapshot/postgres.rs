//! A database of the site's own PostgreSQL, in whose place a snapshot comes.

use futures_util::TryStreamExt as _;

use super::fetch::{FetchError, Incoming};
use super::known::Known;
use super::restore::Attempt;
use crate::engine::sqlite::copy::Contents;
use crate::engine::{Postgres, PostgresError, PostgresOptions};
use crate::error::{Result, SqlError};

/// The old database, open for nobody else.
#[derive(Debug)]
pub(super) struct Target {
    postgres: Postgres,
    contents: Contents,
}

impl Target {
    /// Opens the database: what an earlier process left there is ended.
    pub(super) async fn open(options: PostgresOptions) -> Result<Self> {
        let opened = Postgres::open(options).await;
        let postgres = opened.map_err(|error| match error {
            PostgresError::Database(error) => error,
            other => SqlError::internal(other),
        })?;
        let positions = postgres.positions().await?.into_iter();
        let contents = Contents {
            positions: positions
                .map(|(partition, at)| (partition, at.position))
                .collect(),
            ..Contents::default()
        };
        Ok(Self { postgres, contents })
    }

    /// What it holds.
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Makes a snapshot the database.
    pub(super) async fn take(&self, snapshot: Incoming, known: &Known) -> Result<(), Attempt> {
        let Some(origin) = snapshot.head().postgres else {
            let other = "it is of SQLite, and this site's engine is PostgreSQL".to_owned();
            return Err(FetchError::Other(other).into());
        };
        let donor = snapshot.head().site.clone();
        let pieces = snapshot.pieces().map_err(Attempt::from);
        self.postgres.restore(origin, pieces, &known.given).await?;
        tracing::info!(donor, "the database is restored");
        Ok(())
    }
}
