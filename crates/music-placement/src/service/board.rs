//! What a worker knows of the work: three eventual reads at its own site.
//!
//! None of it is certain, and none of it has to be: a worker that believes in
//! old news takes a lock for nothing, or does so a little later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::clock::Instant;
use super::error::Error;
use super::inventory::Inventory;
use super::settle::Known;
use super::station::Station;
use super::tables::{
    CAPACITY, Placement, Reservations, Status, Submission, TEMPLATES, hint, placements, read, scan,
};
use crate::catalogue::Catalogue;
use crate::hot::{Reader, Template};

/// Something to do.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// Clean up what an unfinished section of this site left.
    Settle(String),
    /// Place a template here.
    Place(Arc<Template>),
    /// Record that a template cannot be placed anywhere.
    Refuse { template: String, reason: String },
}

impl Job {
    /// The template it is about.
    pub(crate) fn template(&self) -> &str {
        match self {
            Self::Settle(template) | Self::Refuse { template, .. } => template,
            Self::Place(template) => &template.name,
        }
    }
}

/// What a worker knows of the work.
#[derive(Debug, Default)]
pub(crate) struct Board {
    templates: BTreeMap<String, Submitted>,
    placements: BTreeMap<String, Placement>,
    reservations: Reservations,
    inventory: BTreeMap<String, u64>,
    /// Claims of others, and when each was first seen here.
    claims: BTreeMap<String, (u64, Instant)>,
}

/// A template as this site's replica has it, read once for each text.
#[derive(Debug)]
struct Submitted {
    stamp: u64,
    /// Or why it cannot be read.
    template: Result<Arc<Template>, String>,
}

impl Board {
    /// Looks again.
    ///
    /// # Errors
    /// Where the own site does not serve.
    ///
    /// # Cost
    /// Requests to the own site; no wide-area round.
    pub(crate) async fn look<I: Inventory>(
        &mut self,
        station: &Station<I>,
        now: Instant,
    ) -> Result<(), Error> {
        let (client, site) = (&station.client, station.site.as_str());
        let inventory = async { Ok(station.inventory.list().await?) };
        let (templates, placements, reservations, inventory) = tokio::try_join!(
            scan(client, TEMPLATES),
            placements(client),
            hint(client, CAPACITY, site),
            inventory,
        )?;
        self.inventory = inventory;
        self.reservations = reservations.unwrap_or_default();
        self.placements = placements;
        let reader = Reader::new(&station.catalogue);
        for (name, record) in templates {
            let stamp = record.stamp;
            if self
                .templates
                .get(&name)
                .is_none_or(|known| known.stamp != stamp)
            {
                let template = read::<Submission>(&record)
                    .map_err(|error| error.to_string())
                    .and_then(|submission| {
                        let template = reader.read(&name, &submission.files);
                        template
                            .map(Arc::new)
                            .map_err(|error| error.reason.to_string())
                    });
                self.templates.insert(name, Submitted { stamp, template });
            }
        }
        self.note_claims(now);
        Ok(())
    }

    /// Notes when a claim was first seen: others leave it alone for a while.
    fn note_claims(&mut self, now: Instant) {
        let claimed = self.placements.iter();
        let claimed = claimed.filter(|(_, placement)| placement.status == Status::Claimed);
        let claims = claimed.map(|(name, placement)| {
            let known = self.claims.get(name);
            let known = known.filter(|(token, _)| *token == placement.token);
            (
                name.clone(),
                known.copied().unwrap_or((placement.token, now)),
            )
        });
        self.claims = claims.collect();
    }

    /// What there is to do at this station, the most urgent first.
    pub(crate) fn jobs<I: Inventory>(
        &self,
        station: &Station<I>,
        seed: u64,
        patience: (Instant, Duration),
    ) -> Vec<Job> {
        let known = Known {
            placements: &self.placements,
            reservations: &self.reservations,
            inventory: &self.inventory,
        };
        let unsettled: BTreeSet<String> = known.unsettled(&station.site);
        let mut settling: Vec<Job> = unsettled.into_iter().map(Job::Settle).collect();
        let open = self.templates.iter().filter(|(name, _)| {
            let placement = self.placements.get(*name);
            placement.is_none_or(|placement| self.is_open(placement, station, patience))
        });
        let mut placing: Vec<Job> = open
            .filter_map(|(name, submitted)| self.job(name, submitted, station))
            .collect();
        // Workers with orders of their own seldom want the same template.
        let order = |job: &Job| rank(seed, &station.worker, job.template());
        settling.sort_by_key(order);
        placing.sort_by_key(order);
        settling.extend(placing);
        settling
    }

    /// Whether a template with this record may be left for this worker.
    fn is_open<I>(
        &self,
        placement: &Placement,
        station: &Station<I>,
        (now, grace): (Instant, Duration),
    ) -> bool {
        match placement.status {
            Status::Placed | Status::Unplaceable { .. } => false,
            Status::Claimed if placement.worker == station.worker => true,
            Status::Claimed => self.claims.values().any(|(token, seen)| {
                *token == placement.token && now.saturating_duration_since(*seen) >= grace
            }),
        }
    }

    fn job<I>(&self, name: &str, submitted: &Submitted, station: &Station<I>) -> Option<Job> {
        let refuse = |reason| {
            let template = name.to_owned();
            // Once: what is refused already stays so.
            let known = self.placements.contains_key(name);
            (!known).then_some(Job::Refuse { template, reason })
        };
        let template = match &submitted.template {
            Ok(template) => template,
            Err(reason) => return refuse(format!("unreadable: {reason}")),
        };
        let total = station
            .catalogue
            .capacity(&station.site)
            .unwrap_or_default();
        let free = self.reservations.free_for(name, total);
        if free.is_some_and(|free| template.demand.fits(free)) {
            return Some(Job::Place(Arc::clone(template)));
        }
        refuse(fits_nowhere(template, &station.catalogue, &station.sites)?)
    }
}

/// Why a template is too large for each site even when it is empty; `None` if
/// it is not.
fn fits_nowhere(template: &Template, catalogue: &Catalogue, sites: &[String]) -> Option<String> {
    let shortages: Option<Vec<String>> = sites
        .iter()
        .map(|site| {
            let total = catalogue.capacity(site).unwrap_or_default();
            let shortage = template.demand.shortage(total)?;
            Some(format!("{site}: {shortage}"))
        })
        .collect();
    Some(format!("fits no site: {}", shortages?.join("; ")))
}

/// A place in a worker's order: the 64-bit FNV-1a hash of the three.
fn rank(seed: u64, worker: &str, template: &str) -> u64 {
    let bytes = seed.to_le_bytes().into_iter();
    let bytes = bytes
        .chain(worker.bytes())
        .chain([0])
        .chain(template.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use music_client::{Client, Options};

    use super::*;
    use crate::demand::Demand;
    use crate::load::{built_in, built_in_files};
    use crate::service::clock;
    use crate::service::inventory::MemoryInventory;
    use crate::service::probe::Probe;

    const GRACE: Duration = Duration::from_secs(2);

    fn station(worker: &str) -> Station<MemoryInventory> {
        Station {
            site: "ohio".to_owned(),
            worker: worker.to_owned(),
            sites: vec!["ohio".to_owned(), "oregon".to_owned()],
            client: Client::new(["http://127.0.0.1:1"], Options::default()).unwrap(),
            catalogue: Arc::new(Catalogue::built_in().unwrap()),
            inventory: MemoryInventory::new(),
            lock_wait: Duration::ZERO,
            probe: Probe::default(),
        }
    }

    /// A board with all built-in templates, the unreadable one included.
    fn board() -> Board {
        let catalogue = Catalogue::built_in().unwrap();
        let names = built_in_files().into_keys();
        let read = names.zip(built_in(&Reader::new(&catalogue)));
        let templates = read.map(|(name, template)| {
            let template = template
                .map(Arc::new)
                .map_err(|error| error.reason.to_string());
            (name, Submitted { stamp: 1, template })
        });
        Board {
            templates: templates.collect(),
            ..Board::default()
        }
    }

    fn record(status: Status, worker: &str) -> Placement {
        Placement {
            status,
            site: "ohio".to_owned(),
            worker: worker.to_owned(),
            token: 5,
            lock_ref: String::new(),
            at_ms: 0,
        }
    }

    fn jobs(board: &Board, worker: &str, now: Instant) -> Vec<String> {
        let jobs = board.jobs(&station(worker), 1, (now, GRACE));
        let show = |job: &Job| match job {
            Job::Settle(name) => format!("settle {name}"),
            Job::Place(template) => format!("place {}", template.name),
            Job::Refuse { template, .. } => format!("refuse {template}"),
        };
        jobs.iter().map(show).collect()
    }

    #[test]
    fn every_template_is_a_job_and_the_unreadable_one_is_to_be_refused() {
        let jobs = jobs(&board(), "ohio-1", clock::now());
        assert_eq!(jobs.len(), built_in_files().len());
        assert!(jobs.contains(&"refuse unreadable.yaml".to_owned()));
        assert!(jobs.contains(&"place three_tier.yaml".to_owned()));
    }

    #[test]
    fn workers_take_the_same_templates_in_orders_of_their_own() {
        let (board, now) = (board(), clock::now());
        let first = ["ohio-1", "ohio-2", "oregon-1"].map(|worker| jobs(&board, worker, now));
        assert_eq!(first[0], jobs(&board, "ohio-1", now));
        assert_ne!(first[0], first[1]);
        assert_ne!(first[1], first[2]);
    }

    #[test]
    fn what_is_placed_or_refused_is_no_job() {
        let mut board = board();
        let reason = String::new();
        for (name, status) in [
            ("tier.yaml", Status::Placed),
            ("unreadable.yaml", Status::Unplaceable { reason }),
        ] {
            board
                .placements
                .insert(name.to_owned(), record(status, "ohio-2"));
        }
        board.inventory.insert("tier.yaml".to_owned(), 5);
        let jobs = jobs(&board, "ohio-1", clock::now()).join(" ");
        assert!(
            !jobs.contains("unreadable.yaml") && !jobs.contains(" tier.yaml"),
            "{jobs}"
        );
    }

    #[test]
    fn the_claim_of_another_worker_is_left_alone_for_a_while() {
        let (mut board, now) = (board(), clock::now());
        board.templates.retain(|name, _| name == "tier.yaml");
        let claim = record(Status::Claimed, "ohio-2");
        board.placements.insert("tier.yaml".to_owned(), claim);
        board.note_claims(now);
        assert!(jobs(&board, "ohio-1", now).is_empty());
        assert_eq!(jobs(&board, "ohio-2", now), ["place tier.yaml"]);
        board.note_claims(now + GRACE);
        assert_eq!(jobs(&board, "ohio-1", now + GRACE), ["place tier.yaml"]);
    }

    #[test]
    fn what_is_out_of_order_comes_first() {
        let mut board = board();
        let mut placed = record(Status::Placed, "oregon-1");
        placed.site = "oregon".to_owned();
        board.placements.insert("tier.yaml".to_owned(), placed);
        board.inventory.insert("tier.yaml".to_owned(), 3);
        let jobs = jobs(&board, "ohio-1", clock::now());
        assert_eq!(jobs.first().unwrap(), "settle tier.yaml");
    }

    #[test]
    fn what_does_not_fit_now_is_no_job_and_what_fits_nowhere_is_refused() {
        let mut board = board();
        board.templates.retain(|name, _| name == "three_tier.yaml");
        let full = Demand {
            vcpus: 30,
            ..Demand::default()
        };
        let other = ("other".to_owned(), full);
        board.reservations.templates = BTreeMap::from([other]);
        board
            .placements
            .insert("other".to_owned(), record(Status::Claimed, "ohio-2"));
        let now = clock::now();
        assert!(jobs(&board, "ohio-1", now).is_empty());

        let submitted = board.templates.get_mut("three_tier.yaml").unwrap();
        let template = submitted.template.as_mut().unwrap();
        Arc::make_mut(template).demand.vcpus = 33;
        assert_eq!(jobs(&board, "ohio-1", now), ["refuse three_tier.yaml"]);
    }
}
