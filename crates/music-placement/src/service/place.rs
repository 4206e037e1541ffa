//! Placing a template: the critical section that the service is about.
//!
//! ```text
//!  createLockRef {placements/NAME, capacity/SITE} ─▶ acquire
//!    critical get of both        placed already, or no room: release, done
//!    critical put of both        claimed by SITE, room reserved
//!    inventory.create(token)     outside MUSIC, fenced by the token
//!    critical put                placed at SITE
//!  confirmed release             nobody was granted in between
//! ```
//!
//! Why each step is what it is:
//! - A *lock*, because check and change must not be parted by another worker's.
//! - *Critical gets*, because the local replica may not know of a placement yet.
//! - The reservation goes out *before* the inventory is asked: whoever is
//!   granted the site next sees that something may be there. The claim beside
//!   it costs nothing more, and keeps other workers from waiting for the lock.
//! - The record says `placed` *after* the inventory has it, so it never names a
//!   site that has yet to do something.
//! - A *confirmed* release, because the worker is about to tell its user. If it
//!   is told `lost`, it claims nothing and looks again under a new lock.

use super::error::Error;
use super::inventory::Inventory;
use super::probe::Step;
use super::station::{Records, Station, leave};
use super::tables::{
    PLACEMENTS, Placement, Status, capacity_key, critical_get, critical_put, placement_key,
};
use crate::demand::Demand;
use crate::hot::Template;

/// How an attempt to place a template ended.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is placed here, for good.
    Placed,
    /// Another section had placed it before.
    Elsewhere,
    /// The site has no room for it.
    NoRoom,
    /// The lock was not free within the wait.
    Busy,
    /// Everything was done, and whether it counts could not be confirmed.
    Unconfirmed(Error),
}

impl<I: Inventory> Station<I> {
    /// Places a template at this site unless it is placed already.
    ///
    /// # Errors
    /// Those of MUSIC and of the inventory. What was done by then is cleaned up
    /// later, by whoever finds it.
    pub(crate) async fn place(&self, template: &Template) -> Result<Attempt, Error> {
        let name = template.name.as_str();
        self.reached(Step::Picked, name).await;
        let section = match self.enter(name).await {
            Err(error) if is_busy(&error) => return Ok(Attempt::Busy),
            entered => entered?,
        };
        self.reached(Step::Locked, name).await;

        let records = self.read(&section, name).await?;
        if records.placement.as_ref().is_some_and(is_placed) {
            leave(section).await;
            return Ok(Attempt::Elsewhere);
        }
        if !self.has_room(&records, name, template.demand) {
            leave(section).await;
            return Ok(Attempt::NoRoom);
        }
        self.reached(Step::Checked, name).await;

        let claim = self.signed(&section, Status::Claimed);
        let mut reservations = records.reservations;
        reservations
            .templates
            .insert(name.to_owned(), template.demand);
        tokio::try_join!(
            critical_put(&section, placement_key(name), &claim),
            critical_put(&section, capacity_key(&self.site), &reservations),
        )?;
        self.reached(Step::Claimed, name).await;

        section
            .run(self.inventory.create(name, section.token()))
            .await??;
        self.reached(Step::Created, name).await;

        let placed = self.signed(&section, Status::Placed);
        critical_put(&section, placement_key(name), &placed).await?;
        self.reached(Step::Recorded, name).await;

        if let Err(error) = section.confirm().await {
            return Ok(Attempt::Unconfirmed(error.into()));
        }
        self.reached(Step::Confirmed, name).await;
        Ok(Attempt::Placed)
    }

    /// Records that a template cannot be placed at any site, unless a worker
    /// that knows better has it. Returns whether it did.
    ///
    /// # Errors
    /// Those of MUSIC.
    pub(crate) async fn refuse(&self, name: &str, reason: &str) -> Result<bool, Error> {
        let request = self.client.lock([placement_key(name)]);
        let section = request.wait(self.lock_wait).acquire().await?;
        let known: Option<Placement> = critical_get(&section, PLACEMENTS, name).await?;
        let unknown = known.is_none();
        if unknown {
            let reason = reason.to_owned();
            let refused = self.signed(&section, Status::Unplaceable { reason });
            critical_put(&section, placement_key(name), &refused).await?;
        }
        leave(section).await;
        Ok(unknown)
    }

    fn has_room(&self, records: &Records, name: &str, demand: Demand) -> bool {
        let total = self.catalogue.capacity(&self.site).unwrap_or_default();
        let free = records.reservations.free_for(name, total);
        free.is_some_and(|free| demand.fits(free))
    }
}

/// Whether the lock was only held by others.
pub(crate) fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Music(music_client::Error::TimedOut { .. }))
}

fn is_placed(placement: &Placement) -> bool {
    placement.status == Status::Placed
}
