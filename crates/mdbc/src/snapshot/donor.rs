//! Giving a snapshot.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::statvfs;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::Xxh3;

use super::{FORMAT, Head, PIECE_BYTES};
use crate::engine::Database;
use crate::error::{Result, SqlError, state};

/// Of the room that a copy takes, how much must be left for the site's own
/// transactions: the size of the database once more.
const ROOM_FACTOR: u64 = 2;

/// Gives snapshots, one at a time.
#[derive(Debug)]
pub(crate) struct Donor {
    database: Database,
    path: PathBuf,
    name: String,
    site: Option<String>,
    one_at_a_time: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Donor {
    /// Of a database that has this name; `site` is none where there are no others.
    pub(crate) fn new(
        database: Database,
        (path, name): (PathBuf, String),
        site: Option<String>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            database,
            path,
            name,
            site,
            one_at_a_time: Arc::new(Semaphore::new(1)),
            shutdown,
        }
    }

    /// Copies the database, to be read piece by piece. The copy takes as much room
    /// as the database until it is dropped.
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
        self.check_room()?;
        let copy = Copy(super::replace::beside(&self.path, "donation"));
        copy.remove();
        let contents = self.database.copy_to(copy.0.clone()).await?;
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
        let head = Head {
            format: FORMAT,
            database: self.name.clone(),
            site,
            bytes,
            contents,
        };
        tracing::info!(bytes, "another site is given a snapshot");
        Ok(Donation {
            head: Some(head),
            file: Some(file),
            sum: Xxh3::new(),
            shutdown: self.shutdown.clone(),
            _permit: permit,
        })
    }

    fn check_room(&self) -> Result<()> {
        let bytes = fs::metadata(&self.path).map_or(0, |file| file.len());
        let folder = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
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

/// A snapshot that is being given.
pub(crate) struct Donation {
    head: Option<Head>,
    file: Option<File>,
    sum: Xxh3,
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
    /// The next piece; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.shutdown.is_cancelled() {
            let ends = "this site ends, and with it the snapshot";
            return Err(SqlError::new(state::ADMIN_SHUTDOWN, ends));
        }
        if let Some(head) = self.head.take() {
            let head = serde_json::to_vec(&head).map_err(SqlError::internal)?;
            return Ok(Some(head.into()));
        }
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let most = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
        file.take(most)
            .read_to_end(&mut piece)
            .await
            .map_err(|error| unreadable(&error))?;
        if piece.is_empty() {
            self.file = None;
            let sum = self.sum.digest().to_be_bytes().to_vec();
            return Ok(Some(sum.into()));
        }
        self.sum.update(&piece);
        Ok(Some(piece.into()))
    }
}
