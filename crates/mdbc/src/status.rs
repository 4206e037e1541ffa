//! What a site tells of itself: which logs it owns, how far it and the others
//! are. All of it is known here, so a site that is cut off tells it as well.
//!
//! Clients read it as the relations `mdbc_status`, `mdbc_sites` and
//! `mdbc_partitions`.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use serde::Serialize;
use tokio_postgres::types::Type;

use crate::engine::Replication;
use crate::snapshot::{Peer, PeerError, Progress, told};

/// What a site tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SiteStatus {
    /// The site's name; empty where it is alone.
    pub site: String,
    /// How old its strong tables are at most, in microseconds; none where that is
    /// not known.
    pub age_us: Option<i64>,
    /// Why it needs a snapshot, where it does.
    pub behind: Option<String>,
    /// The last letter that it has written.
    pub letters_written: u64,
    /// The last one that it has sent.
    pub letters_sent: u64,
    /// Up to which letters are with all sites, and deleted.
    pub letters_done: u64,
    /// Turns that were opened since the start.
    pub turns: u64,
    /// Entries of other sites that were applied since the start.
    pub entries_replayed: u64,
    /// Transactions that wait for a turn.
    pub waiting: u64,
    /// What is known of all sites.
    pub sites: Vec<SiteLine>,
    /// What is known of the logs of strong tables.
    pub partitions: Vec<PartitionLine>,
}

/// What a site knows of one, itself among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SiteLine {
    /// Its name.
    pub site: String,
    /// Whether it is the one that tells.
    pub is_here: bool,
    /// When it said something last, in microseconds since 1970 by its clock; none for
    /// never.
    pub said_us: Option<i64>,
    /// Entries, in all logs together, that are known to be committed and that it
    /// has not said to have applied.
    pub entries_behind: u64,
    /// The last letter that it has sent.
    pub letters_sent: u64,
    /// Letters of it that are not applied here yet.
    pub letters_to_apply: u64,
    /// Letters of this site that it has not said to have applied.
    pub letters_unapplied: u64,
}

/// What a site knows of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartitionLine {
    /// The partition's name.
    pub partition: String,
    /// `turn` where transactions of this site own it now, `kept` where the site was
    /// the last to own it and may again without asking; none otherwise.
    pub ownership: Option<&'static str>,
    /// The last position that is applied here.
    pub applied: u64,
    /// The last one that is known to be committed.
    pub committed: u64,
    /// How many entries the log must hold, since some site has not applied them.
    pub length: u64,
}

/// Who tells the status, once there is somebody. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Board {
    inner: Arc<OnceLock<Source>>,
}

struct Source {
    // The replication has the database, and the database its board.
    replication: Weak<dyn Replication>,
    progress: Progress,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl Board {
    /// From now on, this one tells.
    pub(crate) fn set(&self, replication: &Arc<dyn Replication>, progress: Progress) {
        let replication = Arc::downgrade(replication);
        let source = Source {
            replication,
            progress,
        };
        // The first one stays.
        drop(self.inner.set(source));
    }

    /// What is told now; none before somebody tells, and after.
    pub(crate) fn status(&self) -> Option<SiteStatus> {
        Some(self.inner.get()?.replication.upgrade()?.status())
    }

    /// The lines of a relation as JSON: a list of objects by column.
    pub(crate) fn lines(&self, relation: &str) -> String {
        let source = self.inner.get();
        let status = self.status().unwrap_or_default();
        let lines = match relation {
            "mdbc_sites" => serde_json::to_string(&status.sites),
            "mdbc_partitions" => serde_json::to_string(&status.partitions),
            _ => {
                let progress = source.map(|source| source.progress.clone());
                let progress = progress.unwrap_or_default();
                serde_json::to_string(&[Whole::of(&status, &progress)])
            }
        };
        // Into memory, it cannot fail.
        lines.unwrap_or_else(|_| "[]".to_owned())
    }
}

/// The line of `mdbc_status`.
#[derive(Serialize)]
struct Whole<'a> {
    state: &'static str,
    restoring: Option<String>,
    restored: u64,
    #[serde(flatten)]
    status: &'a SiteStatus,
}

impl<'a> Whole<'a> {
    fn of(status: &'a SiteStatus, progress: &Progress) -> Self {
        let restoring = progress.restoring();
        Self {
            state: match (&restoring, &status.behind) {
                (Some(_), _) => "restoring",
                (None, Some(_)) => "behind",
                (None, None) => "serving",
            },
            restoring: restoring.map(|restoring| restoring.to_string()),
            restored: progress.counts().0,
            status,
        }
    }
}

/// The relations, with their columns and the types of these.
pub(crate) const RELATIONS: &str = "\
status mdbc_status 5 site:text state:text restoring:text behind:text restored:int8 age_us:int8 \
letters_written:int8 letters_sent:int8 letters_done:int8 turns:int8 entries_replayed:int8 \
waiting:int8
status mdbc_sites 6 site:text is_here:bool said_us:int8 entries_behind:int8 letters_sent:int8 \
letters_to_apply:int8 letters_unapplied:int8
status mdbc_partitions 7 partition:text ownership:text applied:int8 committed:int8 length:int8";

/// The query in SQLite whose rows a relation has.
pub(crate) fn query(relation: &str, columns: impl Iterator<Item = String>) -> String {
    let columns: Vec<String> = columns
        .map(|name| format!("value ->> '{name}' AS {name}"))
        .collect();
    format!(
        "(SELECT {} FROM json_each(mdbc_status('{relation}')))",
        columns.join(", ")
    )
}

/// What a site has told over the network.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The one line of `mdbc_status`, by column.
    pub status: Line,
    /// The lines of `mdbc_sites`.
    pub sites: Vec<Line>,
    /// The lines of `mdbc_partitions`.
    pub partitions: Vec<Line>,
}

/// A line of a relation, by column.
pub type Line = serde_json::Map<String, serde_json::Value>;

/// Why a site does not tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// It cannot be reached, or refuses: it may be restoring its database.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// It does not know what it is asked for.
    #[error("it does not tell its status: {0}")]
    Refused(String),
}

/// Asks a site for its status. It answers also when it is cut off from others.
///
/// # Errors
///
/// [`AskError`]; nothing happened.
///
/// # Cost
///
/// A connection, and three queries that wait for nobody.
///
/// # Cancel safety
///
/// Changes nothing.
pub async fn ask(peer: &Peer) -> Result<Told, AskError> {
    let connected = Box::pin(peer.connect()).await?;
    let lines = async |relation: &str| {
        let query = format!("SELECT * FROM {relation}");
        let rows = connected.client.query(&query, &[]).await;
        let rows = rows.map_err(|error| AskError::Refused(told(&error)))?;
        Ok::<Vec<Line>, AskError>(rows.iter().map(line).collect())
    };
    let status = lines("mdbc_status").await?.pop();
    Ok(Told {
        status: status.unwrap_or_default(),
        sites: lines("mdbc_sites").await?,
        partitions: lines("mdbc_partitions").await?,
    })
}

fn line(row: &tokio_postgres::Row) -> Line {
    let value = |at: usize, ty: &Type| match *ty {
        Type::INT8 => json(row.try_get::<_, Option<i64>>(at)),
        Type::BOOL => json(row.try_get::<_, Option<bool>>(at)),
        _ => json(row.try_get::<_, Option<String>>(at)),
    };
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(at, column)| (column.name().to_owned(), value(at, column.type_())))
        .collect()
}

fn json<T: Into<serde_json::Value>>(
    value: Result<Option<T>, tokio_postgres::Error>,
) -> serde_json::Value {
    value.ok().flatten().into()
}
