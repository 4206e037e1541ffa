//! A copy of what is committed, for another site.
//!
//! It is read in one transaction, of one snapshot: the rows, the positions, and the ids
//! of entries that are committed and that the positions have not passed. What is
//! prepared is in none of them. So whoever has the copy knows of each entry whether it
//! is in it.
//!
//! *Locks before the snapshot*: a table that is emptied by `TRUNCATE` or written anew by
//! a change of the schema looks empty to a snapshot that was taken before. So all strong
//! tables are locked against these first, and what the snapshot sees is compared. Who
//! has to change the schema meanwhile is not held up: the copy ends, and is begun anew.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio_postgres::{Client, CopyOutStream, GenericClient, RowStream};

use super::apply::{SETTINGS, process};
use super::digest::Name;
use super::link::{Link, Open, told};
use super::pieces::{Heading, OWN, Origin, Piece, ROWS_BYTES, own};
use super::{Postgres, install, names};
use crate::error::{Result, SqlError, state};

/// How often a copy is begun, where the schema changes before it has its snapshot.
const ATTEMPTS_MAX: usize = 5;
/// How long it waits for changes of the schema that are under way, in milliseconds.
const LOCK_WAIT_MS: u32 = 5000;
/// After how many pieces it is asked whether somebody waits for the copy.
const LOOK_EVERY: u32 = 8;

const FACTS: &str = "SELECT current_setting('server_version_num')::int, \
    (SELECT value::int FROM mdbc_internal.meta WHERE name = 'sites_max'), \
    (SELECT count(*) FROM mdbc_internal.statements), \
    (SELECT coalesce(sum(pg_table_size(relation)), 0)::bigint \
     FROM mdbc_internal.tables WHERE kind = 'strong')";

const STRONG: &str = "SELECT m.relation, n.nspname::text, c.relname::text \
    FROM mdbc_internal.tables AS m JOIN pg_class AS c ON c.oid = m.relation \
    JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE m.kind = 'strong' ORDER BY n.nspname, c.relname";

/// A copy that is being read.
pub struct Copy {
    postgres: Postgres,
    client: Open,
    process: i32,
    origin: Origin,
    positions: BTreeMap<String, u64>,
    bytes: u64,
    /// Changes of the schema that are yet to be read.
    changes: Option<Pin<Box<RowStream>>>,
    /// Tables whose rows are.
    left: VecDeque<Heading>,
    /// Rows of the table that is being read.
    rows: Option<Pin<Box<CopyOutStream>>>,
    held: BytesMut,
    /// Pieces since it was looked who waits.
    unlooked: u32,
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy")
            .field("origin", &self.origin)
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Begins to copy what is committed. Transactions go on meanwhile, but for those
    /// that change the schema or empty tables by `TRUNCATE`: they wait a moment.
    ///
    /// # Errors
    /// Where the database cannot be read, or its schema does not keep still.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn copy(&self) -> Result<Copy> {
        // The positions are those that this site says.
        self.write_noted().await?;
        for _ in 0..ATTEMPTS_MAX {
            let client = Link::new(&self.inner.server, install::SETUP)
                .connect()
                .await?;
            if let Some(tables) = snapshot(&client).await? {
                return self.of_snapshot(client, tables).await;
            }
        }
        Err(SqlError::again(
            "the schema changes faster than the database is copied",
        ))
    }

    async fn of_snapshot(&self, client: Open, tables: Vec<Name>) -> Result<Copy> {
        let facts = client.query_one(FACTS, &[]).await.map_err(told)?;
        let sites_max: i32 = facts.try_get(1).map_err(told)?;
        let bytes: i64 = facts.try_get(3).map_err(told)?;
        let origin = Origin {
            server: facts.try_get(0).map_err(told)?,
            sites_max: u16::try_from(sites_max).map_err(SqlError::internal)?,
            changes: facts.try_get(2).map_err(told)?,
        };
        let query = "SELECT partition, position, id FROM mdbc_internal.positions";
        let rows = client.query(query, &[]).await.map_err(told)?;
        let mut positions = BTreeMap::new();
        for row in &rows {
            let (partition, at) = install::position(row)?;
            positions.insert(partition, at.position);
        }
        let mut left = VecDeque::new();
        for table in OWN.into_iter().map(own).chain(tables) {
            let columns = names::columns(&*client, &table).await?.stored();
            left.push_back(Heading { table, columns });
        }
        let process = process(&client).await?;
        // Nothing else is asked before all of it is read.
        let query = "SELECT statement::text FROM mdbc_internal.statements ORDER BY version";
        let changes = client.query_raw(query, std::iter::empty::<&str>()).await;
        Ok(Copy {
            process,
            changes: Some(Box::pin(changes.map_err(told)?)),
            postgres: self.clone(),
            client,
            origin,
            positions,
            bytes: u64::try_from(bytes).unwrap_or_default(),
            left,
            rows: None,
            held: BytesMut::new(),
            unlooked: 0,
        })
    }
}

/// Takes a snapshot in which all strong tables are as they were when they were locked;
/// their names. None where the schema has changed meanwhile.
async fn snapshot(client: &Client) -> Result<Option<Vec<Name>>> {
    let before = strong(client).await?;
    let mut begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SETTINGS}; \
         SET LOCAL lock_timeout = {LOCK_WAIT_MS}"
    );
    if !before.is_empty() {
        let names: Vec<String> = before.iter().map(|(_, name)| name.quoted()).collect();
        let names = names.join(", ");
        begin.push_str(&format!("; LOCK TABLE {names} IN ACCESS SHARE MODE"));
    }
    match client.batch_execute(&begin).await.map_err(told) {
        Err(error) if error.state == state::UNDEFINED_TABLE => return Ok(None),
        Err(error) if error.state == state::LOCK_NOT_AVAILABLE => {
            return Err(SqlError::again("a change of the schema is under way"));
        }
        begun => begun?,
    }
    // The first statement that reads: the snapshot is taken here.
    if strong(client).await? != before {
        return Ok(None);
    }
    Ok(Some(before.into_iter().map(|(_, name)| name).collect()))
}

/// The strong tables, and their object ids.
pub(super) async fn strong(client: &impl GenericClient) -> Result<Vec<(u32, Name)>> {
    let rows = client.query(STRONG, &[]).await.map_err(told)?;
    let table = |row: &tokio_postgres::Row| {
        let name = Name {
            schema: row.try_get(1)?,
            relation: row.try_get(2)?,
        };
        Ok((row.try_get(0)?, name))
    };
    rows.iter()
        .map(table)
        .collect::<Result<_, _>>()
        .map_err(told)
}

impl Copy {
    /// What it is of.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// How far the logs are applied in it, by partition.
    pub fn positions(&self) -> &BTreeMap<String, u64> {
        &self.positions
    }

    /// How many bytes it has, roughly.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece; none after the last.
    ///
    /// # Errors
    /// Where the database cannot be read any more, or somebody waits for what the copy
    /// keeps from changing. There is no more of it then.
    ///
    /// # Cancel safety
    /// What was read of a piece may be lost: there is no more of the copy then.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.give_way().await?;
        if let Some(changes) = &mut self.changes {
            if let Some(row) = changes.next().await {
                let row = row.map_err(told)?;
                let text: &str = row.try_get(0).map_err(told)?;
                return Ok(Some(Piece::of_change(text)));
            }
            self.changes = None;
        }
        if let Some(rows) = self.more().await? {
            return Ok(Some(rows));
        }
        let Some(heading) = self.left.pop_front() else {
            return Ok(None);
        };
        let rows = self.client.copy_out(&heading.copy("TO STDOUT")).await;
        self.rows = Some(Box::pin(rows.map_err(told)?));
        Piece::of_table(&heading).map(Some)
    }

    /// More rows of the table that is being read; none after the last.
    async fn more(&mut self) -> Result<Option<Bytes>> {
        while self.held.len() < ROWS_BYTES {
            let Some(rows) = &mut self.rows else { break };
            match rows.next().await {
                Some(row) => self.held.extend_from_slice(&row.map_err(told)?),
                None => self.rows = None,
            }
        }
        if self.held.is_empty() {
            return Ok(None);
        }
        let most = self.held.len().min(ROWS_BYTES);
        Ok(Some(Piece::of_rows(&self.held.split_to(most))))
    }

    /// Fails where a local transaction waits for what this one has locked.
    async fn give_way(&mut self) -> Result<()> {
        self.unlooked = self.unlooked.saturating_add(1);
        if self.unlooked < LOOK_EVERY {
            return Ok(());
        }
        self.unlooked = 0;
        let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND $1 = ANY (pg_blocking_pids(pid)))";
        let keeper = self.postgres.inner.keeper.hold().await?;
        let row = keeper.query_one(waiting, &[&self.process]).await;
        if row.and_then(|row| row.try_get(0)).map_err(told)? {
            return Err(SqlError::again(
                "a change of the schema, or a TRUNCATE, waits for the copy of the database",
            )
            .with_hint("Ask for the copy anew."));
        }
        Ok(())
    }
}
