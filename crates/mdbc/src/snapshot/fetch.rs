//! Getting a snapshot.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::timeout;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::Type;
use xxhash_rust::xxh3::Xxh3;

use super::known::Known;
use super::peer::{Connected, Peer, PeerError, told};
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

/// A snapshot that comes from a site.
pub(super) struct Incoming {
    head: Head,
    rows: Rows,
    /// What came last: a piece, or the checksum where nothing is behind it.
    last: Option<Bytes>,
    sum: Xxh3,
    bytes: u64,
    donor: String,
    progress: Progress,
    _connected: Connected,
}

/// Asks a site for a snapshot, which must have all that is known.
///
/// # Cancel safety
///
/// The site is told that nobody listens any more.
pub(super) async fn fetch(
    peer: &Peer,
    known: &Known,
    progress: &Progress,
) -> Result<Incoming, FetchError> {
    let connected = peer.connect().await?;
    let ask = format!("COPY {} TO STDOUT (FORMAT binary)", super::RELATION);
    let stream = Box::pin(connected.client.copy_out(&ask));
    let stream = timeout(COPY_WAIT, stream)
        .await
        .map_err(|_| FetchError::Silent(COPY_WAIT))?
        .map_err(FetchError::Ended)?;
    let mut rows: Rows = Box::pin(BinaryCopyOutStream::new(stream, &[Type::BYTEA]));
    let first = next(&mut rows, COPY_WAIT).await?.ok_or_else(too_early)?;
    let head = read_head(&first)?;
    check_whose(&head, &peer.database, &known.own)?;
    if let Some(lacking) = known.lacking(&head) {
        return Err(FetchError::TooOld(lacking));
    }
    progress.at(&peer.address, 0, head.bytes);
    Ok(Incoming {
        last: next(&mut rows, PIECE_WAIT).await?,
        head,
        rows,
        sum: Xxh3::new(),
        bytes: 0,
        donor: peer.address.clone(),
        progress: progress.clone(),
        _connected: connected,
    })
}

impl Incoming {
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// The bytes that have come.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece. None after the last, when the checksum was right.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let Some(piece) = self.last.take() else {
            return Ok(None);
        };
        self.last = next(&mut self.rows, PIECE_WAIT).await?;
        if self.last.is_none() {
            if *piece != self.sum.digest().to_be_bytes() {
                let came = format!("{} bytes with another checksum", self.bytes);
                return Err(FetchError::Damaged(came));
            }
            return Ok(None);
        }
        self.sum.update(&piece);
        let before = self.bytes;
        let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.bytes = before.saturating_add(count);
        let (bytes, total) = (self.bytes, self.head.bytes.max(self.bytes));
        self.progress.at(&self.donor, bytes, total);
        if bytes / TOLD_EVERY != before / TOLD_EVERY {
            tracing::info!(bytes, total, donor = self.donor, "a snapshot comes");
        }
        Ok(Some(piece))
    }

    /// All pieces, in their order, up to the first failure.
    pub(super) fn pieces(self) -> impl Stream<Item = Result<Bytes, FetchError>> + Send + Unpin {
        let next = async |mut incoming: Self| {
            let piece = incoming.next().await?;
            Ok(piece.map(|piece| (piece, incoming)))
        };
        Box::pin(stream::try_unfold(self, next))
    }
}

fn too_early() -> FetchError {
    FetchError::Damaged("it ends too early".to_owned())
}

/// The next piece; none where the `COPY` is over.
async fn next(rows: &mut Rows, wait: Duration) -> Result<Option<Bytes>, FetchError> {
    let row: BinaryCopyOutRow = match timeout(wait, rows.next()).await {
        Err(_) => return Err(FetchError::Silent(wait)),
        Ok(Some(row)) => row.map_err(FetchError::Ended)?,
        Ok(None) => return Ok(None),
    };
    let piece: &[u8] = row.try_get(0).map_err(FetchError::Ended)?;
    Ok(Some(Bytes::copy_from_slice(piece)))
}

fn check_whose(head: &Head, database: &str, own: &str) -> Result<(), FetchError> {
    if head.database != database {
        return Err(FetchError::Other(format!(
            "it is of the database {}",
            head.database
        )));
    }
    if head.site == own {
        return Err(FetchError::Other("it is this site's own".to_owned()));
    }
    Ok(())
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
