//! How far a restore is, for whoever asks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A restore that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoring {
    /// Why.
    pub reason: String,
    /// From whom, once that is known, as `host:port`.
    pub donor: Option<String>,
    /// Bytes that have come.
    pub bytes: u64,
    /// Bytes that are to come in all; 0 where that is not known yet.
    pub bytes_total: u64,
    /// Why the last attempt has failed, where one has.
    pub failure: Option<String>,
}

impl fmt::Display for Restoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.donor {
            Some(donor) => write!(
                f,
                "{} of {} bytes from {donor}",
                self.bytes, self.bytes_total
            ),
            None => write!(f, "looking for a site that gives a snapshot"),
        }?;
        match &self.failure {
            Some(failure) => write!(f, "; before, {failure}"),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    restoring: Option<Restoring>,
    restored: u64,
    failed: u64,
}

/// The restores of a site. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    inner: Arc<Mutex<Inner>>,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The restore that is under way.
    pub fn restoring(&self) -> Option<Restoring> {
        self.lock().restoring.clone()
    }

    /// How many restores have succeeded since the start, and how many attempts
    /// have failed.
    pub fn counts(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.restored, inner.failed)
    }

    pub(crate) fn begin(&self, reason: &str) {
        self.lock().restoring = Some(Restoring {
            reason: reason.to_owned(),
            donor: None,
            bytes: 0,
            bytes_total: 0,
            failure: None,
        });
    }

    pub(crate) fn at(&self, donor: &str, bytes: u64, bytes_total: u64) {
        if let Some(restoring) = &mut self.lock().restoring {
            restoring.donor = Some(donor.to_owned());
            (restoring.bytes, restoring.bytes_total) = (bytes, bytes_total);
        }
    }

    /// One attempt has failed; another may follow.
    pub(crate) fn fail(&self, why: &str) {
        let mut inner = self.lock();
        inner.failed += 1;
        if let Some(restoring) = &mut inner.restoring {
            (restoring.donor, restoring.failure) = (None, Some(why.to_owned()));
        }
    }

    /// It is over.
    pub(crate) fn end(&self, is_restored: bool) {
        let mut inner = self.lock();
        inner.restoring = None;
        inner.restored += u64::from(is_restored);
    }
}
