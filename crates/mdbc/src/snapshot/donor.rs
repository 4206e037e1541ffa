//! Giving a snapshot.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rustix::fs::statvfs;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::Xxh3;

use super::{FORMAT, Head, PIECE_BYTES};
use crate::engine::sqlite::copy::Contents;
use crate::engine::{Database, Postgres, postgres};
use crate::error::{Result, SqlError, state};
use crate::proxy::SIGNATURE;

/// Of the room that a copy takes, how much must be left for the site's own
/// transactions: the size of the database once more.
const ROOM_FACTOR: u64 = 2;

/// The database that snapshots are of.
#[derive(Debug)]
pub(crate) enum Source {
    /// SQLite, with its file.
    Sqlite(Database, PathBuf),
    /// The site's own PostgreSQL.
    Postgres(Postgres),
}

/// Gives snapshots, one at a time.
#[derive(Debug)]
pub(crate) struct Donor {
    source: Source,
    name: String,
    site: Option<String>,
    one_at_a_time: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Donor {
    /// Of a database that has this name; `site` is none where there are no others.
    pub(crate) fn new(
        source: Source,
        name: String,
        site: Option<String>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            source,
            name,
            site,
            one_at_a_time: Arc::new(Semaphore::new(1)),
            shutdown,
        }
    }

    /// Copies the database, to be read piece by piece. A copy of SQLite takes as much
    /// room as the database until it is dropped.
    pub(crate) async fn donate(&self) -> Result<Donation> {
        let site = self.site.clone().ok_or_else(|| {
            SqlError::new(
                state::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "this site is alone, and its database is nobody's but its own",
            )
        })?;
        let permit = Arc::clone(&self.one_at_a_time).try_acquire_owned();
        let permit = permit.map_err(|_| {
            SqlError::new(
                state::CONFIGURATION_LIMIT_EXCEEDED,
                "another site is given a snapshot already",
            )
            .with_hint("Try it again later, or ask another site.")
        })?;
        let (body, bytes, contents) = match &self.source {
            Source::Sqlite(database, path) => copy_file(database, path).await?,
            Source::Postgres(postgres) => copy_tables(postgres).await?,
        };
        let head = Head {
            format: FORMAT,
            database: self.name.clone(),
            site,
            bytes,
            contents,
            postgres: match &body {
                Body::Tables(copy) => Some(copy.origin()),
                _ => None,
            },
        };
        tracing::info!(bytes, "another site is given a snapshot");
        Ok(Donation {
            head: Some(head),
            body,
            sum: Xxh3::new(),
            pieces: 0,
            is_over: false,
            shutdown: self.shutdown.clone(),
            _permit: permit,
        })
    }
}

/// A copy, how many bytes it has, and what is in it.
type Copied = (Body, u64, Contents);

async fn copy_tables(postgres: &Postgres) -> Result<Copied> {
    let copy = postgres.copy().await?;
    let contents = Contents {
        positions: copy.positions().clone(),
        ..Contents::default()
    };
    let bytes = copy.bytes();
    Ok((Body::Tables(Box::new(copy)), bytes, contents))
}

async fn copy_file(database: &Database, path: &Path) -> Result<Copied> {
    check_room(path)?;
    let copy = Copy(super::replace::beside(path, "donation"));
    copy.remove();
    let contents = database.copy_to(copy.0.clone()).await?;
    let file = File::open(&copy.0)
        .await
        .map_err(|error| unreadable(&error))?;
    // From here on nobody finds it, and it is gone when it is closed.
    copy.remove();
    let bytes = file
        .metadata()
        .await
        .map_err(|error| unreadable(&error))?
        .len();
    Ok((Body::File(file), bytes, contents))
}

fn check_room(path: &Path) -> Result<()> {
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let Ok(room) = statvfs(folder.unwrap_or_else(|| ".".as_ref())) else {
        return Ok(());
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < bytes.saturating_mul(ROOM_FACTOR) {
        return Err(SqlError::new(
            state::DISK_FULL,
            format!("a snapshot takes {bytes} bytes here for a while, of {free} that are free"),
        )
        .with_hint("Make room at this site, or ask another site."));
    }
    Ok(())
}

fn unreadable(error: &std::io::Error) -> SqlError {
    SqlError::new(
        state::IO_ERROR,
        format!("the copy of the database cannot be read: {error}"),
    )
}

/// A file that is removed when nobody needs it.
struct Copy(PathBuf);

impl Copy {
    fn remove(&self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            // It is not there.
            drop(fs::remove_file(path));
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What an engine copies.
enum Body {
    File(File),
    Tables(Box<postgres::Copy>),
    /// All of it is given.
    Given,
}

impl Body {
    /// The next piece; none after the last.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let file = match self {
            Self::File(file) => file,
            Self::Tables(copy) => return copy.next().await,
            Self::Given => return Ok(None),
        };
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let most = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
        file.take(most)
            .read_to_end(&mut piece)
            .await
            .map_err(|error| unreadable(&error))?;
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}

/// A snapshot that is being given.
pub(crate) struct Donation {
    head: Option<Head>,
    body: Body,
    sum: Xxh3,
    pieces: u64,
    /// Whether the end of the `COPY` is given.
    is_over: bool,
    shutdown: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for Donation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Donation")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl Donation {
    /// What a client is told next, of a binary `COPY`; none after the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.is_over {
            return Ok(None);
        }
        let mut bytes = BytesMut::new();
        if self.pieces == 0 {
            // A signature, no flags, no extension.
            bytes.put_slice(SIGNATURE);
            bytes.put_i64(0);
        }
        if let Some(piece) = self.piece().await? {
            self.pieces = self.pieces.saturating_add(1);
            bytes.put_i16(1);
            bytes.put_i32(i32::try_from(piece.len()).map_err(SqlError::internal)?);
            bytes.put_slice(&piece);
        } else {
            self.is_over = true;
            bytes.put_i16(-1);
        }
        Ok(Some(bytes.freeze()))
    }

    /// How many pieces were given.
    pub(crate) fn pieces(&self) -> u64 {
        self.pieces
    }

    async fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.shutdown.is_cancelled() {
            let ends = "this site ends, and with it the snapshot";
            return Err(SqlError::new(state::ADMIN_SHUTDOWN, ends));
        }
        if let Some(head) = self.head.take() {
            let head = serde_json::to_vec(&head).map_err(SqlError::internal)?;
            return Ok(Some(head.into()));
        }
        if matches!(self.body, Body::Given) {
            return Ok(None);
        }
        if let Some(piece) = self.body.next().await? {
            self.sum.update(&piece);
            return Ok(Some(piece));
        }
        self.body = Body::Given;
        let sum = self.sum.digest().to_be_bytes().to_vec();
        Ok(Some(sum.into()))
    }
}
