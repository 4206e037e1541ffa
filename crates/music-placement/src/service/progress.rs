//! How far the work is, as a client at a site sees it.

use std::collections::{BTreeMap, BTreeSet};

use music_client::Client;

use super::error::Error;
use super::tables::{CAPACITY, Placement, Reservations, Status, hint, placements};
use crate::catalogue::Catalogue;
use crate::demand::{Capacity, Demand};

/// How far the work is, by the nearest replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Templates that are placed.
    pub placed: BTreeSet<String>,
    /// Templates that a worker found to fit no site.
    pub unplaceable: BTreeSet<String>,
    /// Templates for which no site has room, with all that is placed. Nothing
    /// will come of them unless something is taken away.
    pub without_room: BTreeSet<String>,
    /// All others: something is still to come.
    pub waiting: BTreeSet<String>,
    /// Templates of which some site may have something that it should not: its
    /// workers will clean up.
    pub untidy: BTreeSet<String>,
}

/// Asks the nearest replica how far the work on these templates is.
///
/// # Errors
/// Where the client's site does not serve.
///
/// # Cost
/// Requests to the own site; no wide-area round.
///
/// # Cancel safety
/// Changes nothing.
pub async fn progress(
    client: &Client,
    catalogue: &Catalogue,
    sites: &[String],
    templates: &BTreeMap<String, Demand>,
) -> Result<Progress, Error> {
    let placements = placements(client).await?;
    let mut rooms = BTreeMap::new();
    for site in sites {
        let taken: Option<Reservations> = hint(client, CAPACITY, site).await?;
        let total = catalogue.capacity(site).unwrap_or_default();
        rooms.insert(site.clone(), (total, taken.unwrap_or_default()));
    }
    Ok(sort(templates, &placements, &rooms))
}

fn sort(
    templates: &BTreeMap<String, Demand>,
    placements: &BTreeMap<String, Placement>,
    rooms: &BTreeMap<String, (Capacity, Reservations)>,
) -> Progress {
    let is_placed = |name: &String| {
        let placement = placements.get(name);
        placement.is_some_and(|placement| placement.status == Status::Placed)
    };
    // What is reserved for a template that is not placed may become free.
    let is_final = rooms
        .values()
        .all(|(_, taken)| taken.templates.keys().all(is_placed));
    let mut progress = Progress {
        untidy: untidy(placements, rooms),
        ..Progress::default()
    };
    for (name, demand) in templates {
        let fits = rooms.values().any(|(total, taken)| {
            let free = taken.free_for(name, *total);
            free.is_some_and(|free| demand.fits(free))
        });
        let group = match placements.get(name).map(|placement| &placement.status) {
            Some(Status::Placed) => &mut progress.placed,
            Some(Status::Unplaceable { .. }) => &mut progress.unplaceable,
            Some(Status::Claimed) | None if is_final && !fits => &mut progress.without_room,
            Some(Status::Claimed) | None => &mut progress.waiting,
        };
        group.insert(name.clone());
    }
    progress
}

/// The templates of which a site may have something that it should not.
fn untidy(
    placements: &BTreeMap<String, Placement>,
    rooms: &BTreeMap<String, (Capacity, Reservations)>,
) -> BTreeSet<String> {
    let in_excess = rooms.iter().flat_map(|(site, (_, taken))| {
        let names = taken.templates.keys();
        names.filter(|name| {
            let placement = placements.get(*name);
            !placement.is_some_and(|placement| placement.is_placed_at(site))
        })
    });
    in_excess.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(vcpus: u64) -> Demand {
        Demand {
            vcpus,
            ..Demand::default()
        }
    }

    fn at(status: Status) -> Placement {
        Placement {
            status,
            site: "ohio".to_owned(),
            worker: "ohio-1".to_owned(),
            token: 1,
            lock_ref: String::new(),
            at_ms: 0,
        }
    }

    /// A site of four processors of which three are taken by `web`.
    fn sorted(web: Option<Status>, database: u64) -> Progress {
        let names = [("database", database), ("web", 3)];
        let templates = names.map(|(name, vcpus)| (name.to_owned(), demand(vcpus)));
        let placements = web.map(|status| ("web".to_owned(), at(status)));
        let total = Capacity {
            vcpus: 4,
            ..Capacity::default()
        };
        let taken = Reservations {
            templates: BTreeMap::from([("web".to_owned(), demand(3))]),
        };
        sort(
            &templates.into(),
            &placements.into_iter().collect(),
            &BTreeMap::from([("ohio".to_owned(), (total, taken))]),
        )
    }

    fn only(name: &str) -> BTreeSet<String> {
        BTreeSet::from([name.to_owned()])
    }

    #[test]
    fn what_fits_beside_what_is_placed_is_waited_for() {
        let progress = sorted(Some(Status::Placed), 1);
        assert_eq!(
            (progress.placed, progress.waiting),
            (only("web"), only("database"))
        );
    }

    #[test]
    fn what_does_not_fit_beside_what_is_placed_is_not() {
        let progress = sorted(Some(Status::Placed), 2);
        assert_eq!(progress.without_room, only("database"));
        assert!(progress.waiting.is_empty());
    }

    #[test]
    fn what_may_become_free_is_waited_for() {
        for status in [None, Some(Status::Claimed)] {
            let progress = sorted(status, 2);
            assert_eq!(progress.waiting.len(), 2);
        }
    }

    #[test]
    fn what_is_reserved_where_it_is_not_placed_is_untidy() {
        assert!(sorted(Some(Status::Placed), 1).untidy.is_empty());
        assert_eq!(sorted(Some(Status::Claimed), 1).untidy, only("web"));
        assert_eq!(sorted(None, 1).untidy, only("web"));
    }

    #[test]
    fn what_is_refused_is_not_waited_for() {
        let reason = String::new();
        let progress = sorted(Some(Status::Unplaceable { reason }), 2);
        assert_eq!(progress.unplaceable, only("web"));
    }
}
