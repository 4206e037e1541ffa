//! The audit: is every template at exactly one site?
//!
//! The truth is read in shared sections (latest state, whatever a replica
//! believes), then compared with what each site's inventory really holds.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use music_client::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;
use super::inventory::Inventory;
use super::settle::Known;
use super::tables::{CAPACITY, PLACEMENTS, Placement, Reservations, Status, critical_get};
use crate::catalogue::Catalogue;
use crate::demand::Capacity;

/// How many sections an audit has under way at a time.
const SECTIONS_MAX: usize = 8;

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// The templates that are placed: in the mapping, and in the inventory of
    /// the site that it names.
    pub rows: Vec<Row>,
    /// Inventory entries that the mapping does not name.
    pub duplicates: Vec<Entry>,
    /// Templates that are at no site, though nobody says that they fit none.
    pub lost: Vec<String>,
    /// Templates that cannot be placed, with the reason.
    pub unplaceable: BTreeMap<String, String>,
    /// Sites of which more is reserved than they have.
    pub overcommitted: Vec<String>,
    /// What is still to be cleaned up.
    pub unsettled: Vec<Entry>,
}

/// A template that is placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The template.
    pub template: String,
    /// The site that has it.
    pub site: String,
    /// The worker that placed it.
    pub worker: String,
    /// The fencing token of the section that placed it.
    pub token: u64,
    /// The lockRef of that section.
    pub lock_ref: String,
    /// When, in ms since 1970.
    pub at_ms: u64,
}

/// A template at a site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry {
    /// The site.
    pub site: String,
    /// The template.
    pub template: String,
}

/// What there is, read at one time.
#[derive(Debug, Default)]
struct Found {
    placements: BTreeMap<String, Placement>,
    sites: BTreeMap<String, AtSite>,
}

/// What there is at a site.
#[derive(Debug, Default)]
struct AtSite {
    total: Capacity,
    reservations: Reservations,
    inventory: BTreeMap<String, u64>,
}

/// Compares the truth about these templates with what the sites hold. Nothing
/// is judged while workers are at it: stop them first.
///
/// # Errors
/// Where no majority answers, or an inventory fails.
///
/// # Cost
/// A shared section for each template and each site, some at a time.
///
/// # Cancel safety
/// Changes nothing.
pub async fn audit<I: Inventory>(
    client: &Client,
    templates: &[String],
    catalogue: &Catalogue,
    inventories: &BTreeMap<String, I>,
) -> Result<Audit, Error> {
    let mut found = Found {
        placements: truths(client, PLACEMENTS, templates).await?,
        sites: BTreeMap::new(),
    };
    let sites: Vec<String> = inventories.keys().cloned().collect();
    let mut reservations = truths(client, CAPACITY, &sites).await?;
    for (site, inventory) in inventories {
        let at_site = AtSite {
            total: catalogue.capacity(site).unwrap_or_default(),
            reservations: reservations.remove(site).unwrap_or_default(),
            inventory: inventory.list().await?,
        };
        found.sites.insert(site.clone(), at_site);
    }
    Ok(judge(templates, &found))
}

/// The latest state of these records, those that there are.
async fn truths<T: DeserializeOwned>(
    client: &Client,
    table: &'static str,
    keys: &[String],
) -> Result<BTreeMap<String, T>, Error> {
    let reads = keys.iter().map(|key| async move {
        let section = client.lock([(table, key)]).shared().acquire().await?;
        let record = critical_get(&section, table, key).await?;
        section.release().await?;
        Ok(record.map(|record| (key.clone(), record)))
    });
    let read: Vec<Option<(String, T)>> = stream::iter(reads)
        .buffer_unordered(SECTIONS_MAX)
        .try_collect::<Vec<_>>()
        .await
        .map_err(|error: Error| error)?;
    Ok(read.into_iter().flatten().collect())
}

fn judge(templates: &[String], found: &Found) -> Audit {
    let mut audit = Audit::default();
    for template in templates {
        let placement = found.placements.get(template);
        let is_held = placement.is_some_and(|placement| {
            let site = found.sites.get(&placement.site);
            site.is_some_and(|site| site.inventory.contains_key(template))
        });
        match placement.map(|placement| (&placement.status, placement)) {
            Some((Status::Placed, placement)) if is_held => {
                audit.rows.push(row(template, placement));
            }
            Some((Status::Unplaceable { reason }, _)) => {
                audit.unplaceable.insert(template.clone(), reason.clone());
            }
            _ => audit.lost.push(template.clone()),
        }
    }
    for (name, site) in &found.sites {
        let entry = |template: &String| Entry {
            site: name.clone(),
            template: template.clone(),
        };
        let known = Known {
            placements: &found.placements,
            reservations: &site.reservations,
            inventory: &site.inventory,
        };
        audit
            .unsettled
            .extend(known.unsettled(name).iter().map(entry));
        let unnamed = site.inventory.keys().filter(|template| {
            let placement = found.placements.get(*template);
            !placement.is_some_and(|placement| placement.is_placed_at(name))
        });
        audit.duplicates.extend(unnamed.map(entry));
        // The empty name is no template's: everything that is taken counts.
        if site.reservations.free_for("", site.total).is_none() {
            audit.overcommitted.push(name.clone());
        }
    }
    audit
}

fn row(template: &str, placement: &Placement) -> Row {
    let placement = placement.clone();
    Row {
        template: template.to_owned(),
        site: placement.site,
        worker: placement.worker,
        token: placement.token,
        lock_ref: placement.lock_ref,
        at_ms: placement.at_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Demand;

    fn placed(site: &str) -> Placement {
        Placement {
            status: Status::Placed,
            site: site.to_owned(),
            worker: format!("{site}-1"),
            token: 5,
            lock_ref: "lock".to_owned(),
            at_ms: 9,
        }
    }

    fn holding(templates: &[&str]) -> AtSite {
        let one = Demand {
            vcpus: 1,
            ..Demand::default()
        };
        let names = || templates.iter().map(|name| (*name).to_owned());
        AtSite {
            total: Capacity {
                vcpus: 1,
                ..Capacity::default()
            },
            reservations: Reservations {
                templates: names().map(|name| (name, one)).collect(),
            },
            inventory: names().map(|name| (name, 5)).collect(),
        }
    }

    fn audit_of(placement: Option<Placement>, ohio: &[&str], oregon: &[&str]) -> Audit {
        let found = Found {
            placements: placement
                .map(|placement| ("web".to_owned(), placement))
                .into_iter()
                .collect(),
            sites: [("ohio", ohio), ("oregon", oregon)]
                .map(|(site, held)| (site.to_owned(), holding(held)))
                .into(),
        };
        judge(&["web".to_owned()], &found)
    }

    fn at(site: &str) -> Vec<Entry> {
        let (site, template) = (site.to_owned(), "web".to_owned());
        vec![Entry { site, template }]
    }

    #[test]
    fn a_template_at_the_site_that_the_mapping_names_is_placed() {
        let audit = audit_of(Some(placed("ohio")), &["web"], &[]);
        let expected = Audit {
            rows: vec![row("web", &placed("ohio"))],
            ..Audit::default()
        };
        assert_eq!(audit, expected);
    }

    #[test]
    fn a_template_at_a_second_site_is_a_duplicate() {
        let audit = audit_of(Some(placed("ohio")), &["web"], &["web"]);
        assert_eq!(
            (audit.duplicates, audit.unsettled),
            (at("oregon"), at("oregon"))
        );
        assert_eq!(audit.rows.len(), 1);
    }

    #[test]
    fn a_template_that_its_site_does_not_have_is_lost() {
        let audit = audit_of(Some(placed("ohio")), &[], &[]);
        assert_eq!(
            (audit.lost, audit.unsettled),
            (vec!["web".to_owned()], at("ohio"))
        );
    }

    #[test]
    fn a_template_that_nobody_placed_is_lost_and_what_a_site_has_of_it_too_much() {
        let mut claimed = placed("ohio");
        claimed.status = Status::Claimed;
        for placement in [None, Some(claimed)] {
            let audit = audit_of(placement, &["web"], &[]);
            assert_eq!(
                (audit.lost, audit.duplicates),
                (vec!["web".to_owned()], at("ohio"))
            );
        }
    }

    #[test]
    fn a_template_that_fits_nowhere_is_named_with_the_reason() {
        let mut refused = placed("ohio");
        refused.status = Status::Unplaceable {
            reason: "too large".to_owned(),
        };
        let audit = audit_of(Some(refused), &[], &[]);
        let expected = BTreeMap::from([("web".to_owned(), "too large".to_owned())]);
        assert_eq!((audit.unplaceable, audit.lost), (expected, Vec::new()));
    }

    #[test]
    fn a_site_that_promised_more_than_it_has_is_named() {
        let audit = audit_of(Some(placed("ohio")), &["web", "database"], &[]);
        assert_eq!(audit.overcommitted, ["ohio"]);
    }
}
