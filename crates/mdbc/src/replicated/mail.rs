//! Eventual tables: letters are sent behind the backs of the transactions that
//! wrote them, and those of other sites applied.
//!
//! ```text
//!  commit ─ letter n in the local database ─▶ answered
//!                    └─ send: put at the own replica, in order, until it is done
//!  other sites: letter n of a site behind n - 1 ─▶ applied, with its number ─▶ said
//!  here: said by all ─▶ deleted, in MUSIC and in the local database
//! ```
//!
//! *The worst failure survived*: the process ends between the local commit and
//! the put. The letter is in the local database, and sent at the next start.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, Replicated, chain, unavailable};
use crate::clock;
use crate::engine::{Rows, Stamped};
use crate::error::{Result, SqlError, state};
use crate::outbox::{BATCH_MAX, Letter, OutboxError};

/// How long a letter waits that could not be sent, or whose writing was not
/// noticed.
const AGAIN: Duration = Duration::from_millis(500);
/// How many batches of each site are received before the logs are followed again.
const ROUNDS_MAX: usize = 32;
/// Between two looks at what some site has not applied.
const TEND_EVERY: Duration = Duration::from_secs(10);
/// How long the stamp of a deleted row is kept at least. It is forgotten when each
/// other site has written a letter after that; one that is forgotten too soon
/// would let an older version of the row come back.
pub const DELETED_KEPT: Duration = Duration::from_hours(30 * 24);

impl Replicated {
    /// Sends letters until it is told to stop.
    pub(super) async fn send_letters(&self, stop: &CancellationToken) {
        let send = async {
            let mut sent = self.inner.outbox.sent();
            loop {
                match self.inner.send_from(sent).await {
                    Ok(last) if last == sent => {
                        let written = self.inner.written.notified();
                        let again = clock::sleep(AGAIN);
                        tokio::select! { () = written => {}, () = again => {} }
                    }
                    Ok(last) => sent = last,
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "letters cannot be sent");
                        clock::sleep(AGAIN).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(send).await;
    }

    /// Sends again what did not arrive, and deletes what has arrived everywhere,
    /// until it is told to stop.
    pub(super) async fn tend_letters(&self, stop: &CancellationToken) {
        let tend = async {
            loop {
                if let Err(error) = self.inner.tend().await {
                    tracing::warn!(error = chain(&error), "letters cannot be tended");
                }
                clock::sleep(TEND_EVERY).await;
            }
        };
        stop.run_until_cancelled(tend).await;
    }
}

impl Inner {
    /// Sends some letters behind those that are sent; the last one that is then.
    async fn send_from(&self, sent: u64) -> Result<u64> {
        let letters = self
            .local
            .letters(sent.saturating_add(1), BATCH_MAX)
            .await?;
        let Some(last) = letters.last() else {
            return Ok(sent);
        };
        self.outbox.send(&letters).await.map_err(unavailable)?;
        Ok(last.sequence)
    }

    async fn tend(&self) -> Result<()> {
        let lacked = self.outbox.lacked().await.map_err(unavailable)?;
        if !lacked.is_empty() {
            let mut letters = self.local.letters(*lacked.start(), BATCH_MAX).await?;
            // What is sent the first time is sent by the other loop.
            letters.retain(|letter| lacked.contains(&letter.sequence));
            self.outbox.send(&letters).await.map_err(unavailable)?;
        }
        while self.outbox.collect().await.map_err(unavailable)? == BATCH_MAX {}
        let own = self.log.sites().own();
        let others = self.log.sites().list().names().filter(|name| *name != own);
        let kept_us = u64::try_from(DELETED_KEPT.as_micros()).unwrap_or(u64::MAX);
        let before_us = clock::wall_us().saturating_sub(kept_us);
        let collected = self.outbox.collected();
        let others = others.map(str::to_owned).collect();
        self.local
            .database
            .forget(collected, others, before_us)
            .await
    }

    /// Applies what has come, as long as more does, but for a bounded time.
    pub(super) async fn receive_all(&self) -> Result<()> {
        for _ in 0..ROUNDS_MAX {
            if !self.receive().await? {
                break;
            }
        }
        Ok(())
    }

    /// Applies some of what has come, and says so; whether there was any. Rows
    /// that wait for a later schema get it, where it can be had.
    async fn receive(&self) -> Result<bool> {
        let mail = self.local.mail_state().await?;
        let arrivals = self
            .outbox
            .receive(&mail.received)
            .await
            .map_err(unavailable)?;
        for refused in &arrivals.refused {
            if let OutboxError::Behind { .. } = refused {
                self.log.behind().note(refused);
            }
            tracing::error!(
                error = chain(refused),
                "letters of a site cannot be received"
            );
        }
        let has_come = !arrivals.letters.is_empty();
        let mut by_site: BTreeMap<String, Vec<Letter>> = BTreeMap::new();
        for letter in arrivals.letters {
            by_site.entry(letter.site.clone()).or_default().push(letter);
        }
        for (site, letters) in by_site {
            // What is wrong with one site holds up none of the others.
            if let Err(error) = self.apply(letters).await {
                tracing::error!(site, error = chain(&error), "letters cannot be applied");
            }
        }
        let mail = self.local.mail_state().await?;
        let said = self.outbox.publish_received(mail.received).await;
        said.map_err(unavailable)?;
        if mail.is_waiting {
            self.catch_up_schema(super::WAIT).await?;
        }
        Ok(has_come)
    }

    async fn apply(&self, letters: Vec<Letter>) -> Result<()> {
        let letters: Result<Vec<Stamped>> = letters.into_iter().map(open).collect();
        self.local.database.receive(letters?).await
    }
}

/// What is in a letter.
fn open(letter: Letter) -> Result<Stamped> {
    let Letter {
        site,
        sequence,
        stamp,
        digest,
    } = letter;
    match Rows::decode(&digest) {
        Ok(rows) if stamp.site == site => Ok(Stamped {
            stamp,
            sequence,
            rows,
        }),
        _ => {
            let error = OutboxError::Damaged { site, sequence };
            Err(SqlError::new(state::DATA_CORRUPTED, error.to_string()))
        }
    }
}
