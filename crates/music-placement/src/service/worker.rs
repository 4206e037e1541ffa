//! A worker: looks what there is to do, does one thing, looks again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::board::{Board, Job};
use super::clock::{self, Instant};
use super::error::Error;
use super::inventory::Inventory;
use super::place::Attempt;
use super::probe::News;
use super::station::Station;

/// How often a worker looks, and how soon it tries again.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long it rests when there is nothing to do.
    pub idle: Duration,
    /// How long it leaves a template alone after it did something about it.
    pub retry: Duration,
    /// How long it leaves another worker's claim alone. The lock protects the
    /// claim in any case; this saves waiting for it.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            idle: Duration::from_millis(200),
            retry: Duration::from_secs(1),
            grace: Duration::from_secs(2),
        }
    }
}

/// A worker at a site.
#[derive(Debug)]
pub struct Worker<I> {
    station: Station<I>,
    pace: Pace,
    seed: u64,
    board: Board,
    /// Templates that are left alone until then.
    later: BTreeMap<String, Instant>,
}

impl<I: Inventory> Worker<I> {
    /// A worker at this post. Its seed decides in which order it takes the
    /// templates.
    pub fn new(station: Station<I>, pace: Pace, seed: u64) -> Self {
        Self {
            station,
            pace,
            seed,
            board: Board::default(),
            later: BTreeMap::new(),
        }
    }

    /// The worker's post.
    pub fn station(&self) -> &Station<I> {
        &self.station
    }

    /// Works until it is told to stop; what it has begun it ends first.
    ///
    /// # Cancel safety
    /// To drop the future is to let the worker die: what it leaves is cleaned
    /// up by others.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let did_something = match self.work_once().await {
                Ok(did_something) => did_something,
                Err(error) => {
                    self.failed("", &error);
                    false
                }
            };
            if !did_something {
                let rest = clock::sleep(self.pace.idle);
                let _stopped = stop.run_until_cancelled(rest).await;
            }
        }
        self.station.client.close().await;
    }

    /// Looks, and does the first thing there is to do. Returns whether there
    /// was any.
    async fn work_once(&mut self) -> Result<bool, Error> {
        let now = clock::now();
        self.later.retain(|_, until| *until > now);
        self.board.look(&self.station, now).await?;
        let patience = (now, self.pace.grace);
        let jobs = self.board.jobs(&self.station, self.seed, patience);
        let mut jobs = jobs.into_iter();
        let Some(job) = jobs.find(|job| !self.later.contains_key(job.template())) else {
            return Ok(false);
        };
        if let Err(error) = self.perform(&job).await {
            self.failed(job.template(), &error);
        }
        // News of what was done may take a while to reach this site's replica.
        let until = clock::now() + self.pace.retry;
        self.later.insert(job.template().to_owned(), until);
        Ok(true)
    }

    async fn perform(&self, job: &Job) -> Result<(), Error> {
        let station = &self.station;
        match job {
            Job::Settle(template) => self.settle(template).await,
            Job::Refuse { template, reason } => {
                if station.refuse(template, reason).await? {
                    let reason = reason.clone();
                    station.tell(template, News::Refused { reason });
                }
                Ok(())
            }
            Job::Place(template) => match station.place(template).await? {
                Attempt::Placed => {
                    station.tell(&template.name, News::Placed);
                    Ok(())
                }
                Attempt::Elsewhere | Attempt::NoRoom | Attempt::Busy => Ok(()),
                Attempt::Unconfirmed(error) => {
                    let reason = describe(&error);
                    station.tell(&template.name, News::Unconfirmed { reason });
                    self.settle(&template.name).await
                }
            },
        }
    }

    async fn settle(&self, template: &str) -> Result<(), Error> {
        if self.station.settle(template).await? {
            self.station.tell(template, News::Settled);
        }
        Ok(())
    }

    fn failed(&self, template: &str, error: &Error) {
        let reason = describe(error);
        tracing::debug!(
            worker = self.station.worker,
            template,
            reason,
            "a step failed"
        );
        self.station.tell(template, News::Failed { reason });
    }
}

/// An error with its causes.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
