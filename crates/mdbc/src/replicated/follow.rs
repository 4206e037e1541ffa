//! Following other sites: what they have committed is applied here before
//! anybody asks for it.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, Replicated, chain, places};
use crate::clock;
use crate::error::Result;
use crate::ownership::Database as _;
use crate::partition::{Partition, PartitionSet};
use crate::redo_log::Access;
use crate::sites::News;

/// After how many looks entries are missed that do not come.
const STUCK: u32 = 20;
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
        self.check_round()?;
        self.note_age()?;
        let said_us = clock::wall_us();
        let durable = inner.local.durable().await?;
        let sites = inner.log.sites();
        let published = sites.publish_applied(&durable, said_us).await;
        published.map_err(super::unavailable)?;
        let given = inner.local.given().await?;
        let news = News {
            given,
            ..News::default()
        };
        sites.say(news).await.map_err(super::unavailable)?;
        self.free_stuck().await
    }

    /// Whether the logs hold what is lacked here, as far as that is known.
    pub(super) fn check_round(&self) -> Result<()> {
        let applied = self.inner.local.applied();
        let checked = self.inner.log.check_round(&self.followed()?, &applied);
        checked.map_err(super::unavailable)
    }

    /// Where entries that are known to be committed do not come for long, the log is
    /// read as its owner reads it: they come then, or are found to be gone.
    async fn free_stuck(&self) -> Result<()> {
        let inner = &self.inner;
        let (reports, applied) = (inner.log.sites().reports(), inner.local.applied());
        let followed = self.followed()?.into_iter();
        let behind: BTreeSet<Partition> = followed
            .filter(|partition| {
                let mut claims = reports.claims(partition).into_iter();
                claims.any(|point| point.position > applied.point(partition).position)
            })
            .collect();
        let Some(worst) = inner.note_stuck(behind) else {
            return Ok(());
        };
        let wanted = PartitionSet::from(worst);
        let entered = inner.ownership.enter(&wanted, Access::Read, super::WAIT);
        drop(entered.await.map_err(super::not_entered)?);
        Ok(())
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

    pub(super) fn followed(&self) -> Result<BTreeSet<Partition>> {
        let mut partitions = self.inner.local.database.partitions()?;
        partitions.insert(places::schema()?);
        Ok(partitions)
    }
}

impl Inner {
    /// Notes which partitions lack entries now; one that has done so for too long.
    fn note_stuck(&self, behind: BTreeSet<Partition>) -> Option<Partition> {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.retain(|partition, _| behind.contains(partition));
        for partition in behind {
            let count = stuck.entry(partition).or_default();
            *count = count.saturating_add(1);
        }
        let worst = stuck.iter().max_by_key(|(_, count)| **count);
        let worst = worst.filter(|(_, count)| **count >= STUCK)?.0.clone();
        stuck.remove(&worst);
        Some(worst)
    }
}
