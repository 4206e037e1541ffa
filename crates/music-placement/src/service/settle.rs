//! Settling: making a site's inventory and reservations what the mapping says.
//!
//! A worker that dies between two steps leaves a claim, a reservation, or an
//! entry of the inventory behind. The mapping (`placements`) is the truth, and
//! each site cleans up at home, under the same lock as a placement, so that no
//! placement is half done while it looks.
//!
//! What is out of order is found by eventual gets (a hint costs nothing);
//! what is done about it is decided by critical gets. Each step can be done
//! twice, so a worker that dies while it cleans up leaves nothing new.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::inventory::Inventory;
use super::place::is_busy;
use super::probe::Step;
use super::station::{Station, leave};
use super::tables::{Placement, Reservations, Status, capacity_key, critical_put};

/// What is known of a site, compared to find what is out of order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) placements: &'a BTreeMap<String, Placement>,
    pub(crate) reservations: &'a Reservations,
    /// The templates in the site's inventory, with their tokens.
    pub(crate) inventory: &'a BTreeMap<String, u64>,
}

impl Known<'_> {
    /// The templates that may be out of order at this site.
    pub(crate) fn unsettled(&self, site: &str) -> BTreeSet<String> {
        let held = self.inventory.keys();
        let held = held.chain(self.reservations.templates.keys());
        let in_excess = held.filter(|name| match self.placements.get(*name) {
            // The claim may not have reached this replica; the lock will tell.
            None => true,
            // A worker is at it, or another one will be.
            Some(placement) if placement.status == Status::Claimed => false,
            Some(placement) => !placement.is_placed_at(site),
        });
        let missing = self.placements.iter().filter(|(name, placement)| {
            placement.is_placed_at(site) && !self.inventory.contains_key(*name)
        });
        in_excess
            .chain(missing.map(|(name, _)| name))
            .cloned()
            .collect()
    }
}

impl<I: Inventory> Station<I> {
    /// Makes what this site has of a template what the mapping says. Returns
    /// false where the lock was not free within the wait.
    ///
    /// # Errors
    /// Those of MUSIC and of the inventory; it can be done again.
    ///
    /// # Cost
    /// A section with one round of reads, and one of writes where something
    /// was out of order.
    ///
    /// # Cancel safety
    /// What is not done is found and done again.
    pub async fn settle(&self, template: &str) -> Result<bool, Error> {
        let section = match self.enter(template).await {
            Err(error) if is_busy(&error) => return Ok(false),
            entered => entered?,
        };
        let records = self.read(&section, template).await?;
        self.reached(Step::Opened, template).await;

        let (token, placement) = (section.token(), records.placement.as_ref());
        let is_here = placement.is_some_and(|placement| placement.is_placed_at(&self.site));
        if is_here {
            let create = self.inventory.create(template, token);
            section.run(create).await??;
        } else {
            // Also where it is not there: the token shuts out a worker that
            // lost its lock and does not know it yet.
            let remove = self.inventory.remove(template, token);
            let _was_there = section.run(remove).await??;
        }
        self.reached(Step::Mended, template).await;

        // Last, so that the next one finds what this one does not get done.
        let mut reservations = records.reservations;
        if !is_here && reservations.templates.remove(template).is_some() {
            critical_put(&section, capacity_key(&self.site), &reservations).await?;
        }
        self.reached(Step::Tidied, template).await;
        leave(section).await;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Demand;

    fn placement(status: Status, site: &str) -> Placement {
        Placement {
            status,
            site: site.to_owned(),
            worker: format!("{site}-1"),
            token: 5,
            lock_ref: String::new(),
            at_ms: 0,
        }
    }

    fn reserved(names: &[&str]) -> Reservations {
        let names = names.iter();
        Reservations {
            templates: names
                .map(|name| ((*name).to_owned(), Demand::default()))
                .collect(),
        }
    }

    /// What is out of order in Ohio.
    fn unsettled(
        placement: Option<Placement>,
        reserved_there: &[&str],
        held_there: &[&str],
    ) -> Vec<String> {
        let named = placement.map(|placement| ("web".to_owned(), placement));
        let held = held_there.iter();
        let known = Known {
            placements: &named.into_iter().collect(),
            reservations: &reserved(reserved_there),
            inventory: &held.map(|name| ((*name).to_owned(), 1)).collect(),
        };
        known.unsettled("ohio").into_iter().collect()
    }

    #[test]
    fn what_the_mapping_names_and_the_site_has_is_in_order() {
        let here = placement(Status::Placed, "ohio");
        assert!(unsettled(Some(here), &["web"], &["web"]).is_empty());
        let elsewhere = placement(Status::Placed, "oregon");
        assert!(unsettled(Some(elsewhere), &[], &[]).is_empty());
        assert!(unsettled(None, &[], &[]).is_empty());
    }

    #[test]
    fn what_the_site_has_and_the_mapping_does_not_name_is_not() {
        let elsewhere = placement(Status::Placed, "oregon");
        assert_eq!(unsettled(Some(elsewhere.clone()), &["web"], &[]), ["web"]);
        assert_eq!(unsettled(Some(elsewhere), &[], &["web"]), ["web"]);
        assert_eq!(unsettled(None, &[], &["web"]), ["web"]);
    }

    #[test]
    fn what_the_mapping_names_and_the_site_lacks_is_not() {
        let here = placement(Status::Placed, "ohio");
        assert_eq!(unsettled(Some(here), &["web"], &[]), ["web"]);
    }

    #[test]
    fn a_claim_is_left_to_whoever_claims() {
        let claimed = placement(Status::Claimed, "ohio");
        assert!(unsettled(Some(claimed), &["web"], &["web"]).is_empty());
    }
}
