//! Following other sites: what they have committed is applied here before
//! anybody asks for it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Replicated, chain, places};
use crate::clock;
use crate::error::Result;
use crate::ownership::Database as _;
use crate::partition::Partition;

/// Between two looks at the own replica.
const EVERY: Duration = Duration::from_millis(500);

impl Replicated {
    /// Follows the other sites, and tells them of eventual tables, until it is told
    /// to stop.
    pub async fn follow(&self, stop: CancellationToken) {
        let follow = async {
            loop {
                if let Err(error) = self.follow_once().await {
                    tracing::warn!(error = chain(&error), "the other sites cannot be followed");
                }
                clock::sleep(EVERY).await;
            }
        };
        tokio::join!(
            stop.run_until_cancelled(follow),
            self.send_letters(&stop),
            self.tend_letters(&stop),
        );
    }

    /// What is wrong with the logs holds up no letters, nor the other way round.
    async fn follow_once(&self) -> Result<()> {
        let followed = self.follow_logs().await;
        followed.and(self.inner.receive_all().await)
    }

    async fn follow_logs(&self) -> Result<()> {
        let inner = &self.inner;
        let followed = inner
            .log
            .follow(self.followed()?, &inner.local.applied())
            .await;
        let entries = followed.map_err(super::unavailable)?;
        if !entries.is_empty() {
            inner.local.replay(entries).await?;
        }
        self.note_age()?;
        let said_us = clock::wall_us();
        let durable = inner.local.durable().await?;
        let published = inner.log.sites().publish_applied(&durable, said_us).await;
        published.map_err(super::unavailable)
    }

    /// Where all is applied that others have said to be committed, the local
    /// database is as old as what they said.
    fn note_age(&self) -> Result<()> {
        let inner = &self.inner;
        let sites = inner.log.sites();
        let reports = sites.reports();
        let applied = inner.local.applied();
        let is_level = |partition: &Partition| {
            let mut claims = reports.claims(partition).into_iter();
            claims.all(|point| point.position <= applied.point(partition).position)
        };
        if let Some(said_us) = reports.said_us(sites.own())
            && self.followed()?.iter().all(is_level)
        {
            inner.level_us.fetch_max(said_us, Ordering::Relaxed);
        }
        Ok(())
    }

    fn followed(&self) -> Result<BTreeSet<Partition>> {
        let mut partitions = self.inner.local.database.partitions()?;
        partitions.insert(places::schema()?);
        Ok(partitions)
    }
}
