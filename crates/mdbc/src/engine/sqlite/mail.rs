//! Letters: what this site's transactions on eventual tables are told to others
//! by, and how many of the others' are applied.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::error::Translated;
use super::history::Tables;
use super::lane::Held;
use super::stamps::{self, signed, unsigned};
use super::{Database, rows};
use crate::catalog::schema::Schema;
use crate::engine::Stamped;
use crate::error::{Result, SqlError, state};
use crate::outbox::{BATCH_BYTES_MAX, Letter, Stamp};

pub(super) const TABLES: &str = "
CREATE TABLE mdbc_outbox (sequence INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, site TEXT NOT NULL,
    digest BLOB NOT NULL) STRICT;
CREATE TABLE mdbc_inbox (site TEXT PRIMARY KEY, sequence INTEGER NOT NULL, at_us INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE mdbc_waiting (number INTEGER PRIMARY KEY, schema INTEGER NOT NULL, rows BLOB NOT NULL)
    STRICT;
";

/// The session that applies: no client's.
const SESSION: u64 = 0;

/// What the local database knows of letters.
#[derive(Debug, Clone, Default)]
pub(crate) struct MailState {
    /// The last letter of this site; 0 before the first.
    pub(crate) last: u64,
    /// The highest stamp that the database has seen, in microseconds.
    pub(crate) highest_us: u64,
    /// The last letter of each other site that is applied.
    pub(crate) received: BTreeMap<String, u64>,
    /// Whether rows wait for a later schema.
    pub(crate) is_waiting: bool,
}

impl Database {
    /// Applies letters of other sites in one local transaction; those that are
    /// applied already are left out.
    ///
    /// Waits until no local transaction writes. A dropped future may have
    /// applied all or none.
    pub(crate) async fn receive(&self, letters: Vec<Stamped>) -> Result<()> {
        let of = |letter: &Stamped| Tables::of_rows(&letter.rows);
        let tables = letters
            .iter()
            .fold(Tables::default(), |all, one| all.and(&of(one)));
        self.keep_mail(tables, move |held, schema| {
            letters
                .iter()
                .try_for_each(|letter| held.receive(letter, schema))
        })
        .await
    }

    /// Forgets letters of this site up to a number, and stamps of rows that were
    /// deleted before a time, as far as these other sites can have written
    /// nothing earlier that is yet to come.
    ///
    /// As [`receive`](Self::receive).
    pub(crate) async fn forget(
        &self,
        letter: u64,
        others: Vec<String>,
        before_us: u64,
    ) -> Result<()> {
        self.keep_mail(Tables::default(), move |held, _| {
            let connection = &held.connection;
            connection
                .prepare_cached("DELETE FROM mdbc_outbox WHERE sequence <= ?1")
                .plain()?
                .execute([signed(letter)])
                .plain()?;
            let settled_us = settled(connection, &others)?;
            stamps::forget(connection, settled_us.min(before_us)).map(drop)
        })
        .await
    }

    /// Does something with letters, which changes these tables, in a local
    /// transaction of its own.
    async fn keep_mail(
        &self,
        tables: Tables,
        job: impl FnOnce(&mut Held, &Schema) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let _permit = self.quiet().await?;
        let schema = self.schema();
        let database = self.clone();
        let job = move |held: &mut Held| {
            held.connection.execute_batch("BEGIN IMMEDIATE").plain()?;
            let result = job(held, &schema);
            held.end(result)?;
            database.note_commit(tables);
            Ok(())
        };
        self.inner.writer.call(SESSION, job).await
    }
}

impl Held {
    fn receive(&mut self, letter: &Stamped, schema: &Schema) -> Result<()> {
        let Stamped {
            stamp, sequence, ..
        } = letter;
        let last = received(&self.connection)?
            .get(&stamp.site)
            .copied()
            .unwrap_or_default();
        if *sequence <= last {
            return Ok(());
        }
        if *sequence != last.saturating_add(1) {
            return Err(SqlError::internal(format!(
                "letter {sequence} of {} comes after {last}",
                stamp.site
            )));
        }
        self.take_rows(letter, schema)?;
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO mdbc_inbox VALUES (?1, ?2, ?3)")
            .plain()?
            .execute(params![stamp.site, signed(*sequence), signed(stamp.at_us)])
            .plain()
            .map(drop)
    }

    /// Takes the rows that have waited for this schema.
    pub(super) fn take_waiting(&self, schema: &Schema) -> Result<()> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT rows FROM mdbc_waiting WHERE schema <= ?1 ORDER BY number")
            .plain()?;
        let rows = statement
            .query_map([schema.version], |row| row.get::<_, Vec<u8>>(0))
            .plain()?;
        for row in rows {
            let stamped = Stamped::decode(&row.plain()?).map_err(damaged)?;
            self.take_rows(&stamped, schema)?;
        }
        self.connection
            .execute(
                "DELETE FROM mdbc_waiting WHERE schema <= ?1",
                [schema.version],
            )
            .plain()
            .map(drop)
    }

    pub(crate) fn mail_state(&mut self) -> Result<MailState> {
        Ok(MailState {
            last: rows::last_letter(&self.connection)?,
            highest_us: stamps::highest(&self.connection)?,
            received: received(&self.connection)?,
            is_waiting: is_waiting(&self.connection)?,
        })
    }

    /// Letters of this site from a number on, at most so many, and of not many
    /// more than [`BATCH_BYTES_MAX`] bytes.
    pub(crate) fn letters(&self, first: u64, count: u64) -> Result<Vec<Letter>> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT sequence, at_us, site, digest FROM mdbc_outbox WHERE sequence >= ?1 \
                 ORDER BY sequence LIMIT ?2",
            )
            .plain()?;
        let letter = |row: &rusqlite::Row<'_>| {
            let site: String = row.get(2)?;
            Ok(Letter {
                sequence: unsigned(row.get(0)?),
                stamp: Stamp {
                    at_us: unsigned(row.get(1)?),
                    site: site.clone(),
                },
                digest: row.get::<_, Vec<u8>>(3)?.into(),
                site,
            })
        };
        let letters = statement
            .query_map([signed(first), signed(count)], letter)
            .plain()?;
        let mut batch = Vec::new();
        let mut bytes = 0_usize;
        for letter in letters {
            let letter: Letter = letter.plain()?;
            bytes = bytes.saturating_add(letter.digest.len());
            batch.push(letter);
            if bytes >= BATCH_BYTES_MAX {
                break;
            }
        }
        Ok(batch)
    }
}

fn damaged(error: impl std::fmt::Display) -> SqlError {
    SqlError::new(
        state::DATA_CORRUPTED,
        format!("rows that wait are damaged: {error}"),
    )
}

/// Keeps a letter of this site.
pub(super) fn keep(
    connection: &Connection,
    (sequence, stamp): (u64, &Stamp),
    digest: &[u8],
) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO mdbc_outbox VALUES (?1, ?2, ?3, ?4)")
        .plain()?
        .execute(params![
            signed(sequence),
            signed(stamp.at_us),
            stamp.site,
            digest
        ])
        .plain()
        .map(drop)
}

/// The last letter of each other site that is applied.
pub(super) fn received(connection: &Connection) -> Result<BTreeMap<String, u64>> {
    let mut statement = connection
        .prepare_cached("SELECT site, sequence FROM mdbc_inbox")
        .plain()?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))
        .plain()?;
    rows.collect::<rusqlite::Result<_>>().plain()
}

/// Lets rows wait for a later schema.
pub(super) fn wait(connection: &Connection, stamped: &Stamped) -> Result<()> {
    let bytes = stamped.encode().map_err(SqlError::internal)?;
    connection
        .prepare_cached("INSERT INTO mdbc_waiting (schema, rows) VALUES (?1, ?2)")
        .plain()?
        .execute(params![stamped.rows.schema, bytes])
        .plain()
        .map(drop)
}

fn is_waiting(connection: &Connection) -> Result<bool> {
    connection
        .query_row("SELECT EXISTS (SELECT 1 FROM mdbc_waiting)", [], |row| {
            row.get(0)
        })
        .plain()
}

/// Up to when everything that these sites have written is applied: each has
/// written something later, which is applied, as is what came before that.
fn settled(connection: &Connection, others: &[String]) -> Result<u64> {
    if is_waiting(connection)? {
        return Ok(0);
    }
    let mut settled_us = u64::MAX;
    for site in others {
        let last: rusqlite::Result<i64> = connection
            .prepare_cached("SELECT coalesce(max(at_us), 0) FROM mdbc_inbox WHERE site = ?1")
            .plain()?
            .query_row([site], |row| row.get(0));
        settled_us = settled_us.min(unsigned(last.plain()?));
    }
    Ok(settled_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::schema::TableKind;
    use crate::engine::{Applied, Change, Digest, Options, Row, Rows};
    use crate::types::Value;

    async fn read(database: &Database, sql: &'static str) -> Vec<i64> {
        let read = move |held: &mut Held| {
            let mut statement = held.connection.prepare(sql).plain()?;
            let rows = statement.query_map([], |row| row.get(0)).plain()?;
            rows.collect::<rusqlite::Result<_>>().plain()
        };
        database.inner.writer.call(SESSION, read).await.unwrap()
    }

    /// A letter of the site with a row that has this number.
    fn letter(sequence: u64, schema: i64, id: i64) -> Stamped {
        let row = Row {
            table: crate::catalog::FIRST_OID,
            key: vec![Value::Integer(id)],
            values: Some(vec![(1, Value::Integer(id))]),
            over: None,
        };
        let stamp = Stamp {
            at_us: 10 * sequence,
            site: "ohio".to_owned(),
        };
        let rows = Rows {
            schema,
            rows: vec![row],
            ..Rows::default()
        };
        Stamped {
            stamp,
            sequence,
            rows,
        }
    }

    fn open(folder: &tempfile::TempDir) -> Database {
        let path = folder.path().join("site.db");
        let default_kind = TableKind::Eventual;
        Database::open(&Options {
            path,
            site: 1,
            sites_max: 3,
            default_kind,
        })
        .unwrap()
    }

    async fn change_schema(database: &Database, text: &str) {
        let changes = vec![Change::Schema(text.to_owned())];
        let default_kind = TableKind::Eventual;
        let digest = Digest {
            changes,
            default_kind,
            ..Digest::default()
        };
        let positions = BTreeMap::new();
        database
            .apply(vec![Applied { digest, positions }])
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn rows_of_a_later_schema_wait_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        database
            .receive(vec![letter(1, 1, 5), letter(2, 2, 6)])
            .await
            .unwrap();
        assert_eq!(
            read(&database, "SELECT schema FROM mdbc_waiting ORDER BY number").await,
            [1, 2]
        );
        assert_eq!(
            read(&database, "SELECT sequence FROM mdbc_inbox").await,
            [2],
            "it is here for good"
        );
        change_schema(&database, "CREATE TABLE t (id int PRIMARY KEY)").await;
        assert_eq!(read(&database, "SELECT id FROM t").await, [5]);
        drop(database);
        let database = open(&folder);
        change_schema(&database, "ALTER TABLE t ADD COLUMN n int DEFAULT 7").await;
        assert_eq!(read(&database, "SELECT n FROM t ORDER BY id").await, [7, 7]);
        assert!(
            read(&database, "SELECT number FROM mdbc_waiting")
                .await
                .is_empty()
        );
    }

    #[tokio::test]
    async fn a_letter_is_applied_once_and_in_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        change_schema(&database, "CREATE TABLE t (id int PRIMARY KEY)").await;
        assert!(
            database.receive(vec![letter(2, 1, 6)]).await.is_err(),
            "there is a gap"
        );
        database
            .receive(vec![letter(1, 1, 5), letter(1, 1, 9)])
            .await
            .unwrap();
        database
            .receive(vec![letter(1, 1, 9), letter(2, 1, 6)])
            .await
            .unwrap();
        assert_eq!(
            read(&database, "SELECT id FROM t ORDER BY id").await,
            [5, 6]
        );
    }

    #[tokio::test]
    async fn the_stamp_of_a_deletion_is_forgotten_when_all_others_wrote_later() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        change_schema(&database, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let mut deletion = letter(1, 1, 5);
        deletion.rows.rows[0].values = None;
        database
            .receive(vec![deletion, letter(2, 1, 6)])
            .await
            .unwrap();
        let count = "SELECT count(*) FROM mdbc_stamps";
        let others = || vec!["ohio".to_owned(), "oregon".to_owned()];
        database.forget(0, others(), u64::MAX).await.unwrap();
        assert_eq!(
            read(&database, count).await,
            [2],
            "oregon may have written earlier"
        );
        let mut other = letter(1, 1, 7);
        other.stamp = Stamp {
            at_us: 15,
            site: "oregon".to_owned(),
        };
        database.receive(vec![other]).await.unwrap();
        database.forget(0, others(), 10).await.unwrap();
        assert_eq!(read(&database, count).await, [3], "it is not old enough");
        database.forget(0, others(), u64::MAX).await.unwrap();
        assert_eq!(
            read(
                &database,
                "SELECT count(*) FROM mdbc_stamps WHERE is_deleted"
            )
            .await,
            [0]
        );
        assert_eq!(read(&database, count).await, [2]);
    }

    #[tokio::test]
    async fn of_many_conflicts_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        change_schema(&database, "CREATE TABLE t (id int PRIMARY KEY, n int)").await;
        let wrote = |sequence: u64| {
            let mut letter = letter(sequence.div_ceil(2), 1, 5);
            let site = if sequence.is_multiple_of(2) {
                "ohio"
            } else {
                "oregon"
            };
            letter.stamp = Stamp {
                at_us: sequence,
                site: site.to_owned(),
            };
            let n = i64::try_from(sequence).unwrap();
            letter.rows.rows[0].values = Some(vec![(1, Value::Integer(5)), (2, Value::Integer(n))]);
            letter
        };
        let most = u64::try_from(super::super::CONFLICTS_MAX).unwrap();
        database
            .receive((1..most + 10).map(wrote).collect())
            .await
            .unwrap();
        let bounds =
            "SELECT min(number) FROM mdbc_conflicts UNION ALL SELECT count(*) FROM mdbc_conflicts";
        assert_eq!(
            read(&database, bounds).await,
            [9, super::super::CONFLICTS_MAX]
        );
    }
}
