//! A copy of what is committed, for another site.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use serde::{Deserialize, Serialize};

use super::error::Translated;
use super::lane::Held;
use super::{Database, mail, rows, store};
use crate::error::{Result, SqlError, state};

/// The session that copies: no client's.
const SESSION: u64 = 0;

/// What a database holds, for whoever decides whether that is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// How far each partition's log is applied.
    pub(crate) positions: BTreeMap<String, u64>,
    /// The last letter of each other site that is applied.
    pub(crate) received: BTreeMap<String, u64>,
    /// The last letter that the database's own site has written.
    pub(crate) last_letter: u64,
}

impl Contents {
    /// Of a database that this connection has open.
    pub(super) fn of(connection: &Connection) -> Result<Self> {
        let positions = store::positions(connection)?.into_iter();
        Ok(Self {
            positions: positions
                .map(|(partition, at)| (partition, at.position))
                .collect(),
            received: mail::received(connection)?,
            last_letter: rows::last_letter(connection)?,
        })
    }
}

impl Database {
    /// Copies what is committed to a new file, whole pages at once, and tells what
    /// is in it. No transaction waits for that. What is written meanwhile is not in
    /// it, and stays in the write-ahead log until the copy is done.
    ///
    /// # Errors
    ///
    /// When there is no room, or the database cannot be read; a part of the file
    /// may be there.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the copy to be made to its end.
    pub(crate) async fn copy_to(&self, path: PathBuf) -> Result<Contents> {
        let reader = self.reader().map_err(SqlError::internal)?;
        reader.call(SESSION, move |held| held.copy_to(&path)).await
    }
}

impl Held {
    fn copy_to(&mut self, path: &Path) -> Result<Contents> {
        self.connection.execute_batch("BEGIN DEFERRED").plain()?;
        let copied = copy(&self.connection, path);
        self.connection.execute_batch("ROLLBACK").plain()?;
        copied
    }
}

fn copy(source: &Connection, path: &Path) -> Result<Contents> {
    // This is the first to be read: from here on, the snapshot is taken.
    let contents = Contents::of(source)?;
    let mut target = Connection::open(path).plain()?;
    // It is no database yet: whoever loses power begins again.
    target
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")
        .plain()?;
    let backup = Backup::new(source, &mut target).plain()?;
    let step = backup.step(-1).plain()?;
    drop(backup);
    if step != StepResult::Done {
        return Err(SqlError::new(
            state::LOCK_NOT_AVAILABLE,
            format!("the local database cannot be copied now: {step:?}"),
        ));
    }
    target
        .execute_batch("PRAGMA journal_mode = DELETE")
        .plain()?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;
    use crate::catalog::schema::TableKind;

    #[tokio::test]
    async fn a_copy_is_what_was_committed_though_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            path: folder.path().join("site.db"),
            site: 1,
            sites_max: 3,
            default_kind: TableKind::Strong,
        };
        let database = Database::open(&options).unwrap();
        let write = |text: &'static str| {
            let job = move |held: &mut Held| held.connection.execute_batch(text).plain();
            database.inner.writer.call(SESSION, job)
        };
        write("INSERT INTO mdbc_meta VALUES ('last_letter', 7)")
            .await
            .unwrap();
        write("BEGIN IMMEDIATE; UPDATE mdbc_meta SET value = 9 WHERE name = 'last_letter'")
            .await
            .unwrap();
        let copy = folder.path().join("copy");
        let contents = database.copy_to(copy.clone()).await.unwrap();
        assert_eq!(contents.last_letter, 7);
        write("COMMIT").await.unwrap();
        let copy = Connection::open(copy).unwrap();
        assert_eq!(rows::last_letter(&copy).unwrap(), 7);
    }
}
