//! Getting a snapshot.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::Type;
use xxhash_rust::xxh3::Xxh3;

use super::known::Known;
use super::peer::{Peer, PeerError, told};
use super::progress::Progress;
use super::{FORMAT, Head};

/// How long the donor may take to copy its database.
const COPY_WAIT: Duration = Duration::from_mins(30);
/// How long a piece may take.
const PIECE_WAIT: Duration = Duration::from_mins(1);
/// Bytes between two lines in the log.
const TOLD_EVERY: u64 = 64 << 20;

/// Why a site gives no snapshot that will do. The database is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It cannot be reached, or the user is refused.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// It ended in the middle, or refused to begin.
    #[error("the snapshot has ended: {}", told(.0))]
    Ended(tokio_postgres::Error),
    /// Nothing has come for too long.
    #[error("nothing has come for {0:?}")]
    Silent(Duration),
    /// It is not what a snapshot is, or not of this database.
    #[error("what has come is no snapshot that this mdbc can use: {0}")]
    Other(String),
    /// Its bytes are not those that were sent.
    #[error("the snapshot is damaged on its way: {0}")]
    Damaged(String),
    /// It lacks something that this site has had.
    #[error("the snapshot is too old: {0}")]
    TooOld(String),
    /// It cannot be written.
    #[error("the snapshot cannot be written")]
    File(#[from] io::Error),
}

type Rows = Pin<Box<BinaryCopyOutStream>>;

/// Gets a snapshot from a site into a file, which must be this new or newer.
///
/// # Cancel safety
///
/// A part of the file may be there.
pub(super) async fn fetch(
    peer: &Peer,
    path: &Path,
    known: &Known,
    progress: &Progress,
) -> Result<Head, FetchError> {
    let connected = peer.connect().await?;
    let ask = format!("COPY {} TO STDOUT (FORMAT binary)", super::RELATION);
    let stream = Box::pin(connected.client.copy_out(&ask));
    let stream = timeout(COPY_WAIT, stream)
        .await
        .map_err(|_| FetchError::Silent(COPY_WAIT))?
        .map_err(FetchError::Ended)?;
    let mut rows: Rows = Box::pin(BinaryCopyOutStream::new(stream, &[Type::BYTEA]));
    let first = next(&mut rows, COPY_WAIT).await?;
    let head = read_head(piece(&first)?)?;
    if let Some(lacking) = known.lacking(&head) {
        return Err(FetchError::TooOld(lacking));
    }
    let mut file = File::create(path).await?;
    let (mut bytes, mut sum) = (0_u64, Xxh3::new());
    progress.at(&peer.address, 0, head.bytes);
    while bytes < head.bytes {
        let row = next(&mut rows, PIECE_WAIT).await?;
        let piece = piece(&row)?;
        file.write_all(piece).await?;
        sum.update(piece);
        let before = bytes;
        bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        progress.at(&peer.address, bytes, head.bytes);
        if bytes / TOLD_EVERY != before / TOLD_EVERY {
            let total = head.bytes;
            tracing::info!(bytes, total, donor = peer.address, "a snapshot comes");
        }
    }
    let last = next(&mut rows, PIECE_WAIT).await?;
    if bytes != head.bytes || piece(&last)? != sum.digest().to_be_bytes() {
        let came = format!("{bytes} bytes of {} with another checksum", head.bytes);
        return Err(FetchError::Damaged(came));
    }
    file.sync_all().await?;
    Ok(head)
}

async fn next(rows: &mut Rows, wait: Duration) -> Result<BinaryCopyOutRow, FetchError> {
    match timeout(wait, rows.next()).await {
        Err(_) => Err(FetchError::Silent(wait)),
        Ok(Some(row)) => row.map_err(FetchError::Ended),
        Ok(None) => Err(FetchError::Damaged("it ends too early".to_owned())),
    }
}

fn piece(row: &BinaryCopyOutRow) -> Result<&[u8], FetchError> {
    row.try_get(0).map_err(FetchError::Ended)
}

fn read_head(piece: &[u8]) -> Result<Head, FetchError> {
    /// What every version says first.
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let other = |error: serde_json::Error| FetchError::Other(error.to_string());
    let Format { format } = serde_json::from_slice(piece).map_err(other)?;
    if format != FORMAT {
        return Err(FetchError::Other(format!(
            "it has the format {format}, and this one knows {FORMAT}"
        )));
    }
    serde_json::from_slice(piece).map_err(other)
}
