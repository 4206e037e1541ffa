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
//! - The claim goes out *before* the inventory is asked: whoever is granted
//!   next sees that something may be there.
//! - The record says `placed` *after* the inventory has it, so it never names a
//!   site that has yet to do something.
//! - A *confirmed* release, because the worker is about to tell its user. If it
//!   is told `lost`, it claims nothing and looks again under a new lock.

use std::collections::BTreeMap;

use music_client::CriticalSection;

use super::error::Error;
use super::inventory::Inventory;
use super::probe::Step;
use super::station::{Records, Station, leave};
use super::tables::{PLACEMENTS, Placement, Status, critical_get, critical_put, placement_key};
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
    /// Those of MUSIC and of the inventory. A claim may be left, which the next
    /// section on the template deals with.
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

        let claim = self.claim(&section, &records, template);
        self.write(&section, name, &records, &claim).await?;
        self.reached(Step::Claimed, name).await;

        section
            .run(self.inventory.create(name, section.token()))
            .await??;
        self.reached(Step::Created, name).await;

        let mut placed = self.signed(&section, Status::Placed);
        placed.leftovers = leftovers(claim.placement, &self.site);
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

    /// The records with the template claimed by this site, and room reserved.
    fn claim(&self, section: &CriticalSection, read: &Records, template: &Template) -> Records {
        let Records {
            placement,
            mut reservations,
        } = read.clone();
        let mut claimed = self.signed(section, Status::Claimed);
        claimed.leftovers = leftovers(placement, &self.site);
        reservations
            .templates
            .insert(template.name.clone(), template.demand);
        Records {
            placement: Some(claimed),
            reservations,
        }
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

/// Where earlier claims may have left something, once this site claims.
///
/// Not at this site: to create the template here with a higher token settles
/// what an earlier claim of this site may still do.
fn leftovers(before: Option<Placement>, site: &str) -> BTreeMap<String, u64> {
    let Some(before) = before else {
        return BTreeMap::new();
    };
    let mut leftovers = before.leftovers;
    if before.status == Status::Claimed {
        leftovers.insert(before.site, before.token);
    }
    leftovers.remove(site);
    leftovers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(site: &str, token: u64, leftovers: &[(&str, u64)]) -> Placement {
        Placement {
            status: Status::Claimed,
            site: site.to_owned(),
            worker: format!("{site}-1"),
            token,
            lock_ref: String::new(),
            at_ms: 0,
            leftovers: named(leftovers),
        }
    }

    fn named(leftovers: &[(&str, u64)]) -> BTreeMap<String, u64> {
        let owned = leftovers.iter();
        owned
            .map(|(site, token)| ((*site).to_owned(), *token))
            .collect()
    }

    #[test]
    fn the_first_claim_leaves_nothing_to_clean() {
        assert_eq!(leftovers(None, "ohio"), named(&[]));
    }

    #[test]
    fn a_claim_of_another_site_that_came_to_nothing_is_kept_in_mind() {
        let before = claimed("oregon", 3, &[("ohio", 1)]);
        let expected = named(&[("ohio", 1), ("oregon", 3)]);
        assert_eq!(leftovers(Some(before), "ncalifornia"), expected);
    }

    #[test]
    fn a_site_that_claims_again_settles_its_own_earlier_claim() {
        let before = claimed("oregon", 3, &[("ohio", 1)]);
        assert_eq!(
            leftovers(Some(before.clone()), "oregon"),
            named(&[("ohio", 1)])
        );
        assert_eq!(leftovers(Some(before), "ohio"), named(&[("oregon", 3)]));
    }

    #[test]
    fn what_was_refused_was_never_at_a_site() {
        let before = Placement {
            status: Status::Unplaceable {
                reason: String::new(),
            },
            ..claimed("oregon", 3, &[])
        };
        assert_eq!(leftovers(Some(before), "ohio"), named(&[]));
    }
}
