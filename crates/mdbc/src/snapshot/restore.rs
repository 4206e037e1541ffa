//! A restore, from its reason to the database in its place.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fetch::{FetchError, fetch};
use super::known::Known;
use super::peer::Peer;
use super::progress::Progress;
use super::{Head, replace};
use crate::clock;
use crate::config::{Config, MusicConfig, RestoreConfig};
use crate::engine::Options;
use crate::engine::sqlite::localise::{Localisation, Survey, localise, survey};
use crate::error::{SqlError, state};
use crate::outbox::{Letter, Outbox, OutboxError};
use crate::redo_log::{Error as LogError, RedoLog};

/// How often each site is asked.
const ROUNDS_MAX: u32 = 10;
/// Between two rounds: a site that is asked follows this one meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the connections to the old file may take to close.
const CLOSE_WAIT: Duration = Duration::from_secs(30);
/// Between two attempts to have it alone.
const CLOSE_PAUSE: Duration = Duration::from_millis(20);
/// Letters of this site that are read from MUSIC, as no file has them.
const LETTERS_MAX: u64 = 100_000;

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
    /// Snapshots are of SQLite.
    #[error(
        "{0}; with PostgreSQL as engine that is mended by hand: stop mdbc at another site, copy its \
         database here (docs/sql.md), and start both"
    )]
    ByHand(String),
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
enum Attempt {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Letters(#[from] OutboxError),
    #[error("the snapshot cannot be made this site's: {0}")]
    Localise(SqlError),
    #[error("the database cannot be replaced: {0}")]
    Replace(io::Error),
}

/// How a site restores its database.
#[derive(Debug, Clone)]
pub(crate) struct Restore {
    peers: Vec<Peer>,
    options: Options,
    database: String,
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
            options: config.options(),
            database: config.database.clone(),
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
        let path = &self.options.path;
        let old = survey_alone(path).await.map_err(RestoreError::Own)?;
        let old = old.filter(|old| *old != Survey::default());
        let mut failures = BTreeMap::new();
        for round in 0..ROUNDS_MAX {
            if round > 0 {
                clock::sleep(PAUSE).await;
            }
            let reports = log.sites().refresh().await.map_err(LogError::from)?;
            let mut known = Known::of(&self.own, &reports);
            if let Some(old) = &old {
                known = known.with(&old.contents);
            }
            for peer in &self.peers {
                match Box::pin(self.attempt(peer, &known, old.as_ref(), outbox)).await {
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
        replace::tidy(path);
        Err(RestoreError::Vain(failures))
    }

    async fn attempt(
        &self,
        peer: &Peer,
        known: &Known,
        old: Option<&Survey>,
        outbox: &Outbox,
    ) -> Result<(), Attempt> {
        let path = self.options.path.clone();
        let new = replace::restoring(&path);
        replace::tidy(&path);
        let head = fetch(peer, &new, known, &self.progress).await?;
        self.check_whose(&head)?;
        let letters = self.letters(&head, known, old, outbox).await?;
        let what = Localisation {
            own: self.own.clone(),
            donor: head.site,
            written: known.written,
            letters,
            options: self.options.clone(),
        };
        let is_kept = old.is_some();
        let replaced = tokio::task::spawn_blocking(move || {
            let old = is_kept.then_some(path.as_path());
            localise(&new, old, &what).map_err(Attempt::Localise)?;
            replace::replace(&path, is_kept).map_err(Attempt::Replace)
        });
        let replaced = replaced
            .await
            .map_err(|error| Attempt::Localise(SqlError::internal(error)))??;
        let kept = replaced.map(|path| path.display().to_string());
        tracing::info!(
            donor = peer.address,
            bytes = head.bytes,
            kept,
            "the database is restored"
        );
        Ok(())
    }

    fn check_whose(&self, head: &Head) -> Result<(), FetchError> {
        if head.database != self.database {
            return Err(FetchError::Other(format!(
                "it is of the database {}",
                head.database
            )));
        }
        if head.site == self.own {
            return Err(FetchError::Other("it is this site's own".to_owned()));
        }
        Ok(())
    }

    /// Letters of this site that neither the snapshot nor the old file has.
    async fn letters(
        &self,
        head: &Head,
        known: &Known,
        old: Option<&Survey>,
        outbox: &Outbox,
    ) -> Result<Vec<Letter>, Attempt> {
        let received = &head.contents.received;
        let covered = received.get(&self.own).copied().unwrap_or_default();
        let kept = old.and_then(|old| Some(old.first_letter?..=old.contents.last_letter));
        let is_kept = |number: &u64| kept.as_ref().is_some_and(|kept| kept.contains(number));
        let numbers = covered.saturating_add(1)..=known.written;
        if known.written.saturating_sub(covered) > LETTERS_MAX && kept.is_none() {
            return Err(Attempt::Localise(SqlError::new(
                state::PROGRAM_LIMIT_EXCEEDED,
                format!("it lacks more than {LETTERS_MAX} letters of this site"),
            )));
        }
        let mut letters = Vec::new();
        for number in numbers.filter(|number| !is_kept(number)) {
            letters.extend(outbox.own(number).await?);
        }
        Ok(letters)
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

/// Looks at the old file as soon as nobody has it open any more: the threads of
/// its connections end a moment after their users.
async fn survey_alone(path: &Path) -> Result<Option<Survey>, SqlError> {
    let began = clock::now();
    loop {
        let path = path.to_owned();
        let looked = tokio::task::spawn_blocking(move || survey(&path)).await;
        match looked.map_err(SqlError::internal)? {
            Err(error)
                if error.state == state::LOCK_NOT_AVAILABLE
                    && clock::now().saturating_duration_since(began) < CLOSE_WAIT =>
            {
                clock::sleep(CLOSE_PAUSE).await;
            }
            looked => return looked,
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    crate::replicated::chain(error)
}
