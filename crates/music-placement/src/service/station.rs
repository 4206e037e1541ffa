//! A worker's post at a site: what every step of its work needs.

use std::sync::Arc;
use std::time::Duration;

use music_client::{Client, CriticalSection};

use super::clock;
use super::error::Error;
use super::inventory::Inventory;
use super::probe::{Event, News, Probe, Step};
use super::tables::{
    CAPACITY, PLACEMENTS, Placement, Reservations, Status, capacity_key, critical_get,
    placement_key,
};
use crate::catalogue::Catalogue;

/// A worker's post at a site.
#[derive(Debug, Clone)]
pub struct Station<I> {
    /// The site.
    pub site: String,
    /// The worker, as it signs its records.
    pub worker: String,
    /// All sites, this one included.
    pub sites: Vec<String>,
    /// A client of the site's own nodes.
    pub client: Client,
    /// What the sites have.
    pub catalogue: Arc<Catalogue>,
    /// What runs at the site.
    pub inventory: I,
    /// How long to wait for a lock that others hold before doing something
    /// else. Longer than a section takes, or busy sites starve.
    pub lock_wait: Duration,
    /// Who watches.
    pub probe: Probe,
}

/// What a section has read.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) placement: Option<Placement>,
    pub(crate) reservations: Reservations,
}

impl<I: Inventory> Station<I> {
    /// Enters the section of a template and this site: one lockRef for both
    /// keys, so that there is no moment in which a worker holds the one and
    /// waits for the other.
    pub(crate) async fn enter(&self, template: &str) -> Result<CriticalSection, Error> {
        let keys = [placement_key(template), capacity_key(&self.site)];
        let request = self.client.lock(keys).wait(self.lock_wait);
        Ok(request.acquire().await?)
    }

    /// Reads both records at once: one round.
    pub(crate) async fn read(
        &self,
        section: &CriticalSection,
        template: &str,
    ) -> Result<Records, Error> {
        let (placement, reservations) = tokio::try_join!(
            critical_get(section, PLACEMENTS, template),
            critical_get(section, CAPACITY, &self.site),
        )?;
        let reservations = reservations.unwrap_or_default();
        Ok(Records {
            placement,
            reservations,
        })
    }

    /// A record of this worker in this section.
    pub(crate) fn signed(&self, section: &CriticalSection, status: Status) -> Placement {
        Placement {
            status,
            site: self.site.clone(),
            worker: self.worker.clone(),
            token: section.token(),
            lock_ref: section.lock_ref().to_owned(),
            at_ms: clock::wall_ms(),
        }
    }

    /// Notes a step.
    pub(crate) async fn reached(&self, step: Step, template: &str) {
        let event = self.event(template, News::Reached(step));
        self.probe.reached(event, step).await;
    }

    /// Tells of something.
    pub(crate) fn tell(&self, template: &str, news: News) {
        self.probe.tell(self.event(template, news));
    }

    fn event(&self, template: &str, news: News) -> Event {
        Event {
            site: self.site.clone(),
            worker: self.worker.clone(),
            template: template.to_owned(),
            news,
        }
    }
}

/// Releases a section in which nothing is at stake any more: whether it is
/// still held makes no difference.
pub(crate) async fn leave(section: CriticalSection) {
    if let Err(error) = section.release().await {
        tracing::debug!(%error, "a section that is over could not be released");
    }
}
