//! Three sites, their inventories, and workers that can be made to die.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use music_client::{Client, Options};
use music_core::time::Lease;
use music_placement::service::{
    self, Audit, Event, MemoryInventory, News, Pace, Probe, Station, Step, Trap, Worker,
    WorkerProcess, audit, progress, submit,
};
use music_placement::{Catalogue, Demand, Reader, Template, built_in};
use music_server::dev::{Deployment, DevConfig};
use tokio::sync::mpsc;

/// Longer than anything takes.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// How long nodes and clients may go unheard.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// How soon what is waited for is looked at again, where nothing is heard.
const LOOK: Duration = Duration::from_millis(50);

/// Three sites of one building.
pub(crate) const SITES: [&str; 3] = ["a", "b", "c"];

/// Three sites.
pub(crate) struct Cloud {
    pub(crate) deployment: Deployment,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) inventories: BTreeMap<String, MemoryInventory>,
    /// What was submitted.
    pub(crate) templates: BTreeMap<String, Demand>,
    events: mpsc::Sender<Event>,
    heard: mpsc::Receiver<Event>,
}

impl Cloud {
    /// Starts the sites and creates the tables.
    pub(crate) async fn start() -> Self {
        Self::with(Catalogue::built_in().unwrap()).await
    }

    /// Starts sites that have what this catalogue says.
    pub(crate) async fn with(catalogue: Catalogue) -> Self {
        let lease = Lease::new(LEASE).unwrap();
        let config = DevConfig {
            base_port: 0,
            node_lease: Some(lease),
            client_lease: Some(lease),
            ..DevConfig::new("local3")
        };
        let deployment = Deployment::start(config).await.unwrap();
        let (events, heard) = mpsc::channel(10_000);
        let cloud = Self {
            deployment,
            catalogue: Arc::new(catalogue),
            inventories: SITES
                .map(|site| (site.to_owned(), MemoryInventory::new()))
                .into(),
            templates: BTreeMap::new(),
            events,
            heard,
        };
        for site in SITES {
            // Again at each, to make sure that it knows them.
            service::create_tables(&cloud.client(site)).await.unwrap();
        }
        cloud
    }

    /// The templates that come with the service and can be read.
    pub(crate) fn built_in(&self) -> Vec<Template> {
        built_in(&Reader::new(&self.catalogue))
            .into_iter()
            .flatten()
            .collect()
    }

    /// The node of a site.
    pub(crate) fn node(site: &str) -> String {
        format!("{site}-1")
    }

    /// A client of the node of a site, and of no other.
    pub(crate) fn client(&self, site: &str) -> Client {
        let nodes = self.deployment.nodes();
        let node = nodes.iter().find(|node| node.site == site).unwrap();
        let options = Options {
            lease: LEASE,
            ..Options::default()
        };
        Client::new([node.url.as_str()], options).unwrap()
    }

    /// Submits a template at a site.
    pub(crate) async fn submit(&mut self, site: &str, template: &Template) {
        submit(&self.client(site), template).await.unwrap();
        self.templates
            .insert(template.name.clone(), template.demand);
    }

    /// Submits the smallest template that comes with the service.
    pub(crate) async fn submit_one(&mut self, site: &str) -> String {
        let templates = self.built_in();
        let one = templates
            .iter()
            .find(|template| template.name == "single_server.yaml");
        self.submit(site, one.unwrap()).await;
        one.unwrap().name.clone()
    }

    /// A worker's post.
    pub(crate) fn station(&self, worker: &str, trap: &Trap) -> Station<MemoryInventory> {
        let site = worker.split('-').next().unwrap();
        Station {
            site: site.to_owned(),
            worker: worker.to_owned(),
            sites: SITES.map(str::to_owned).to_vec(),
            client: self.client(site),
            catalogue: Arc::clone(&self.catalogue),
            inventory: self.inventories[site].clone(),
            lock_wait: Duration::from_secs(5),
            probe: Probe {
                events: Some(self.events.clone()),
                trap: trap.clone(),
                ..Probe::default()
            },
        }
    }

    /// Starts a worker; its name begins with its site's.
    pub(crate) fn hire(&self, worker: &str) -> WorkerProcess {
        self.hire_for(worker, &Trap::new())
    }

    /// Starts a worker that dies where the trap says.
    pub(crate) fn hire_for(&self, worker: &str, trap: &Trap) -> WorkerProcess {
        let pace = Pace {
            idle: Duration::from_millis(50),
            retry: Duration::from_millis(300),
            grace: LEASE,
        };
        let worker = Worker::new(self.station(worker, trap), pace, 1);
        WorkerProcess::start(worker).unwrap()
    }

    /// Starts a worker that dies after this step, and waits until it has.
    pub(crate) async fn lose_worker(&mut self, worker: &str, step: Step) {
        let trap = Trap::new();
        trap.set(step);
        let process = self.hire_for(worker, &trap);
        tokio::time::timeout(LONG, process.ended())
            .await
            .unwrap_or_else(|_| panic!("{worker} does not get to {step:?}"));
    }

    /// Waits until something is heard of a worker.
    pub(crate) async fn hear(&mut self, is_meant: impl Fn(&Event) -> bool) -> Event {
        let meant = async {
            loop {
                let event = self.heard.recv().await.unwrap();
                if is_meant(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(LONG, meant)
            .await
            .expect("it is never heard")
    }

    /// Waits until a worker of that site has done a step.
    pub(crate) async fn reached(&mut self, site: &str, step: Step) {
        let news = News::Reached(step);
        self.hear(|event| event.site == site && event.news == news)
            .await;
    }

    /// Waits until nothing is left to be placed, as this site sees it.
    pub(crate) async fn all_placed(&mut self, site: &str) {
        let (client, sites) = (self.client(site), SITES.map(str::to_owned));
        let (catalogue, templates) = (Arc::clone(&self.catalogue), self.templates.clone());
        let is_placed = async {
            loop {
                let seen = progress(&client, &catalogue, &sites, &templates).await;
                if seen.is_ok_and(|seen| seen.waiting.is_empty()) {
                    return;
                }
                self.listen().await;
            }
        };
        let placed = tokio::time::timeout(LONG, is_placed).await;
        placed.expect("not everything is placed");
    }

    /// Waits until nothing is left to be cleaned up, with the workers at it;
    /// what an audit says then.
    pub(crate) async fn settled(&mut self, site: &str) -> Audit {
        let is_settled = async {
            loop {
                let audit = self.audit(site).await;
                if audit.unsettled.is_empty() {
                    return audit;
                }
                self.listen().await;
            }
        };
        let settled = tokio::time::timeout(LONG, is_settled).await;
        settled.expect("not everything is cleaned up")
    }

    /// Waits for news, for a while.
    async fn listen(&mut self) {
        drop(tokio::time::timeout(LOOK, self.heard.recv()).await);
    }

    /// What an audit says.
    pub(crate) async fn audit(&self, site: &str) -> Audit {
        let names: Vec<String> = self.templates.keys().cloned().collect();
        let client = self.client(site);
        let audit = async {
            loop {
                match audit(&client, &names, &self.catalogue, &self.inventories).await {
                    // Where the machine is busy, the audit's own lease may run out.
                    Err(error) if error.is_retryable() => {}
                    audit => return audit.unwrap(),
                }
            }
        };
        let audit = tokio::time::timeout(LONG, audit).await;
        audit.expect("the audit does not end")
    }

    /// Waits until all is placed and cleaned up, and makes sure that every
    /// template is placed exactly once.
    pub(crate) async fn exactly_once(&mut self, site: &str) -> Audit {
        self.all_placed(site).await;
        let audit = self.settled(site).await;
        let placed: Vec<&String> = audit.rows.iter().map(|row| &row.template).collect();
        let submitted: Vec<&String> = self.templates.keys().collect();
        assert_eq!(placed, submitted, "{audit:?}");
        let expected = Audit {
            rows: audit.rows.clone(),
            ..Audit::default()
        };
        assert_eq!(audit, expected);
        audit
    }

    /// Ends the sites.
    pub(crate) async fn end(self) {
        self.deployment.shutdown().await;
    }
}
