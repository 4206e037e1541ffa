//! A file of SQLite, in whose place a snapshot comes.

use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::fetch::{FetchError, Incoming};
use super::known::Known;
use super::restore::Attempt;
use super::{Head, replace};
use crate::clock;
use crate::engine::Options;
use crate::engine::sqlite::copy::Contents;
use crate::engine::sqlite::localise::{Localisation, Survey, localise, survey};
use crate::error::{Result, SqlError, state};
use crate::outbox::{Letter, Outbox};

/// How long the connections to the old file may take to close.
const CLOSE_WAIT: Duration = Duration::from_secs(30);
/// Between two attempts to have it alone.
const CLOSE_PAUSE: Duration = Duration::from_millis(20);
/// Letters of this site that are read from MUSIC, as no file has them.
const LETTERS_MAX: u64 = 100_000;

/// The old file, which nobody has open.
#[derive(Debug)]
pub(super) struct Target {
    options: Options,
    /// None where it is not there, or empty.
    old: Option<Survey>,
}

impl Target {
    /// Looks at the file.
    pub(super) async fn open(options: Options) -> Result<Self> {
        let old = survey_alone(&options.path).await?;
        let old = old.filter(|old| *old != Survey::default());
        Ok(Self { options, old })
    }

    /// What it holds; none where it is not there.
    pub(super) fn contents(&self) -> Option<&Contents> {
        self.old.as_ref().map(|old| &old.contents)
    }

    /// Removes what an attempt has left.
    pub(super) fn tidy(&self) {
        replace::tidy(&self.options.path);
    }

    /// Makes a snapshot the database.
    pub(super) async fn take(
        &self,
        mut snapshot: Incoming,
        known: &Known,
        outbox: &Outbox,
    ) -> Result<(), Attempt> {
        let path = self.options.path.clone();
        let new = replace::restoring(&path);
        self.tidy();
        write(&mut snapshot, &new).await?;
        let bytes = snapshot.bytes();
        let head = snapshot.head();
        let letters = self.letters(head, known, outbox).await?;
        let what = Localisation {
            own: known.own.clone(),
            donor: head.site.clone(),
            written: known.written,
            letters,
            options: self.options.clone(),
        };
        let is_kept = self.old.is_some();
        let replaced = tokio::task::spawn_blocking(move || {
            let old = is_kept.then_some(path.as_path());
            localise(&new, old, &what).map_err(Attempt::Localise)?;
            replace::replace(&path, is_kept).map_err(Attempt::Replace)
        });
        let replaced = replaced
            .await
            .map_err(|error| Attempt::Localise(SqlError::internal(error)))??;
        let kept = replaced.map(|path| path.display().to_string());
        let donor = head.site.clone();
        tracing::info!(donor, bytes, kept, "the database is restored");
        Ok(())
    }

    /// Letters of this site that neither the snapshot nor the old file has.
    async fn letters(
        &self,
        head: &Head,
        known: &Known,
        outbox: &Outbox,
    ) -> Result<Vec<Letter>, Attempt> {
        let received = &head.contents.received;
        let covered = received.get(&known.own).copied().unwrap_or_default();
        let old = self.old.as_ref();
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

/// Writes a snapshot to a file.
async fn write(snapshot: &mut Incoming, path: &Path) -> Result<(), FetchError> {
    if snapshot.head().postgres.is_some() {
        let other = "it is of PostgreSQL, and this site's engine is SQLite".to_owned();
        return Err(FetchError::Other(other));
    }
    let mut file = File::create(path).await?;
    while let Some(piece) = snapshot.next().await? {
        file.write_all(&piece).await?;
    }
    let (bytes, all) = (snapshot.bytes(), snapshot.head().bytes);
    if bytes != all {
        return Err(FetchError::Damaged(format!("{bytes} bytes of {all}")));
    }
    file.sync_all().await?;
    Ok(())
}

/// Looks at the old file as soon as nobody has it open any more: the threads of
/// its connections end a moment after their users.
async fn survey_alone(path: &Path) -> Result<Option<Survey>> {
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
