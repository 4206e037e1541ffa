//! A restore, from its reason to the database in its place.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::fetch::{FetchError, fetch};
use super::known::Known;
use super::peer::Peer;
use super::progress::Progress;
use super::{file, postgres};
use crate::clock;
use crate::config::{Config, MusicConfig, RestoreConfig};
use crate::engine::sqlite::copy::Contents;
use crate::engine::{Options, PostgresOptions};
use crate::error::SqlError;
use crate::outbox::{Outbox, OutboxError};
use crate::redo_log::{Error as LogError, RedoLog};

/// How often each site is asked.
const ROUNDS_MAX: u32 = 10;
/// Between two rounds: a site that is asked follows this one meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the database was not restored. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Nobody is told to give a snapshot.
    #[error(
        "{0}; no site is named that could give a snapshot: add [music.restore] with from, user and \
         password_file to the configuration"
    )]
    Nobody(String),
    /// The password cannot be read.
    #[error("cannot read the password in {path}")]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What this site has, or has said, cannot be told.
    #[error("what this site has had cannot be told: {0}")]
    Own(#[source] SqlError),
    /// MUSIC fails.
    #[error("what this site has said cannot be told")]
    Log(#[from] LogError),
    /// The letters of this site cannot be read.
    #[error("the letters of this site cannot be read")]
    Letters(#[from] OutboxError),
    /// Every site was asked in vain.
    #[error("no site gives a snapshot that will do:\n{}", lines(.0))]
    Vain(BTreeMap<String, String>),
}

fn lines(failures: &BTreeMap<String, String>) -> String {
    let lines = failures.iter().map(|(site, why)| format!("{site}: {why}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Why one site's snapshot did not become the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum Attempt {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Letters(#[from] OutboxError),
    #[error("the snapshot cannot be made this site's: {0}")]
    Localise(SqlError),
    #[error("the database cannot be replaced: {0}")]
    Replace(io::Error),
}

impl From<SqlError> for Attempt {
    fn from(error: SqlError) -> Self {
        Self::Localise(error)
    }
}

/// The database that is to be restored, by its engine.
#[derive(Debug, Clone)]
enum Place {
    Sqlite(Options),
    Postgres(PostgresOptions),
}

/// The same, open for nobody else.
#[derive(Debug)]
enum Target {
    Sqlite(file::Target),
    Postgres(postgres::Target),
}

impl Target {
    async fn open(place: &Place) -> Result<Self, SqlError> {
        Ok(match place.clone() {
            Place::Sqlite(options) => Self::Sqlite(file::Target::open(options).await?),
            Place::Postgres(options) => Self::Postgres(postgres::Target::open(options).await?),
        })
    }

    /// What it holds; none where it is not there.
    fn contents(&self) -> Option<&Contents> {
        match self {
            Self::Sqlite(file) => file.contents(),
            Self::Postgres(postgres) => Some(postgres.contents()),
        }
    }
}

/// How a site restores its database.
#[derive(Debug, Clone)]
pub(crate) struct Restore {
    peers: Vec<Peer>,
    place: Place,
    own: String,
    progress: Progress,
}

impl Restore {
    /// As the configuration says; none where nobody is named there.
    pub(crate) fn of(
        config: &Config,
        music: &MusicConfig,
        progress: Progress,
    ) -> Result<Option<Self>, RestoreError> {
        let Some(restore) = &music.restore else {
            return Ok(None);
        };
        Ok(Some(Self {
            peers: peers(restore, &config.database)?,
            place: match config.postgres_options() {
                Some(options) => Place::Postgres(options),
                None => Place::Sqlite(config.options()),
            },
            own: music.site.clone(),
            progress,
        }))
    }

    /// Whether some site would talk to this one.
    pub(crate) async fn check(&self) -> Result<(), RestoreError> {
        let mut failures = BTreeMap::new();
        for peer in &self.peers {
            match Box::pin(peer.connect()).await {
                Ok(_) => return Ok(()),
                Err(error) => failures.insert(peer.address.clone(), error.to_string()),
            };
        }
        Err(RestoreError::Vain(failures))
    }

    /// Restores the database, which nobody in this process uses any more.
    ///
    /// # Cost
    ///
    /// The donor's database over the wire; room for it beside the old one.
    ///
    /// # Cancel safety
    ///
    /// The database is the old one or the new one.
    pub(crate) async fn run(&self, log: &RedoLog, outbox: &Outbox) -> Result<(), RestoreError> {
        let target = Target::open(&self.place).await;
        let target = target.map_err(RestoreError::Own)?;
        let mut failures = BTreeMap::new();
        for round in 0..ROUNDS_MAX {
            if round > 0 {
                clock::sleep(PAUSE).await;
            }
            let reports = log.sites().refresh().await.map_err(LogError::from)?;
            let mut known = Known::of(&self.own, &reports);
            if let Some(contents) = target.contents() {
                known = known.with(contents);
            }
            for peer in &self.peers {
                match Box::pin(self.attempt(peer, &known, &target, outbox)).await {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        let why = chain(&error);
                        self.progress.fail(&format!("{}: {why}", peer.address));
                        tracing::warn!(donor = peer.address, why, "a restore has failed");
                        failures.insert(peer.address.clone(), why);
                    }
                }
            }
        }
        if let Target::Sqlite(file) = &target {
            file.tidy();
        }
        Err(RestoreError::Vain(failures))
    }

    async fn attempt(
        &self,
        peer: &Peer,
        known: &Known,
        target: &Target,
        outbox: &Outbox,
    ) -> Result<(), Attempt> {
        let snapshot = fetch(peer, known, &self.progress).await?;
        match target {
            Target::Sqlite(file) => file.take(snapshot, known, outbox).await,
            Target::Postgres(postgres) => postgres.take(snapshot, known).await,
        }
    }
}

fn peers(restore: &RestoreConfig, database: &str) -> Result<Vec<Peer>, RestoreError> {
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).map_err(|source| RestoreError::Password {
            path: path.clone(),
            source,
        })?;
        Ok::<_, RestoreError>(text.lines().next().unwrap_or_default().to_owned())
    };
    let password = restore.password_file.as_ref().map(read).transpose()?;
    let peer = |address: &String| Peer {
        address: address.clone(),
        database: database.to_owned(),
        user: restore.user.clone(),
        password: password.clone(),
        authority: restore.authority.clone(),
    };
    Ok(restore.from.iter().map(peer).collect())
}

fn chain(error: &dyn std::error::Error) -> String {
    crate::replicated::chain(error)
}
