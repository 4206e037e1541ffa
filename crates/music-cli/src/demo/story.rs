//! What happens in the demonstration, and when.
//!
//! The faults wait for the workers, not for a clock: each comes when somebody
//! has got to the point where it hurts. What is left to chance is drawn from
//! the seed: the step at which a worker dies, which site is cut off, which
//! site's node is killed. Which worker gets there first is up to the race.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use music_client::Client;
use music_placement::service::{
    self, Audit, Event, News, Probe, Progress, Step, audit, progress, submit,
};
use music_placement::{Demand, Template};
use tokio::sync::mpsc;

use crate::demo::cast::Cast;
use crate::demo::chance::Chance;
use crate::demo::clock::{self, Instant};
use crate::demo::error::Error;
use crate::demo::placement::Script;
use crate::demo::report::{Fault, Report};
use crate::demo::stage::{LEASE, Stage};
use crate::failure::Failure;
use crate::output::Output;

/// How often the story looks how far the work is.
const LOOK: Duration = Duration::from_millis(200);

/// How long a fault waits for a worker to get to the point.
const CUE_MAX: Duration = Duration::from_secs(5);

/// How long a site is cut off, or a node is dead, at most.
const FAULT_MAX: Duration = Duration::from_secs(15);

/// How long cleaning up and the audit may take after the deadline.
const AUDIT_MAX: Duration = Duration::from_mins(1);

/// How often what the workers left is cleaned up before the verdict.
const SETTLE_MAX: usize = 10;

/// The demonstration, from the first template to the verdict.
pub(crate) struct Story<'a> {
    stage: &'a Stage,
    script: &'a Script,
    output: &'a Output,
    cast: Cast<'a>,
    events: mpsc::Receiver<Event>,
    demands: BTreeMap<String, Demand>,
    began: Instant,
    seen: Seen,
    faults: Vec<Fault>,
    submitted: BTreeSet<String>,
    /// Templates that MUSIC does not take, with the reason.
    refused: BTreeMap<String, String>,
}

/// What has been seen of the workers so far.
#[derive(Debug, Default)]
struct Seen {
    progress: Progress,
    /// Sites where a worker has made a claim, since this was last cleared.
    claimed: BTreeSet<String>,
    /// Sites where a worker was refused something, since this was last cleared.
    refused: BTreeSet<String>,
    /// The worker that died.
    died: Option<Event>,
}

impl<'a> Story<'a> {
    /// A story that has not begun.
    pub(crate) fn new(stage: &'a Stage, script: &'a Script, output: &'a Output) -> Self {
        let (cast, events) = Cast::new(stage, script);
        Self {
            stage,
            script,
            output,
            cast,
            events,
            demands: script.demands(),
            began: clock::now(),
            seen: Seen::default(),
            faults: Vec::new(),
            submitted: BTreeSet::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Plays it to the end.
    pub(crate) async fn play(mut self) -> Result<Report, Failure> {
        let (script, sites) = (self.script, self.stage.sites());
        let chance = Chance::draw(script.seed, &sites, &script.templates);
        let watcher = self.stage.client_besides(&chance.cut_off)?;
        self.say(&format!(
            "{} templates, {} workers at each of {}, {}, seed {}",
            script.templates.len() + script.unreadable.len(),
            script.workers,
            sites.join(", "),
            self.stage.title(),
            script.seed,
        ));
        for site in &sites {
            // The second and third time to make sure that the site knows them.
            let client = self.stage.client_at(site)?;
            service::create_tables(&client).await.map_err(Error::from)?;
        }
        for error in &self.script.unreadable {
            self.say(&error.to_string());
        }
        self.cast.hire_all()?;
        if self.script.faults {
            self.acts(&chance, &watcher).await?;
        } else {
            self.submit(&chance.templates, &self.stage.sites()).await?;
        }
        let rest = self.deadline().saturating_duration_since(clock::now());
        let is_done = |seen: &Seen| {
            let Progress {
                waiting, untidy, ..
            } = &seen.progress;
            waiting.is_empty() && untidy.is_empty()
        };
        if !self.wait(&watcher, rest, is_done).await? {
            self.say("the deadline is over");
        }
        self.cast.dismiss().await;
        self.drain();
        let seconds = self.began.elapsed().as_secs_f64();
        self.say("all workers have stopped: comparing every site with the mapping");
        let audited = tokio::time::timeout(AUDIT_MAX, self.audit(&watcher)).await;
        let mut audit = audited.map_err(|_elapsed| Error::NoVerdict)??;
        audit.unplaceable.append(&mut self.refused);
        Ok(Report::new(
            self.script,
            self.stage,
            audit,
            self.faults,
            seconds,
        ))
    }

    /// The three faults, each with some templates to place while it lasts.
    async fn acts(&mut self, chance: &Chance, watcher: &Client) -> Result<(), Failure> {
        let size = chance.templates.len().div_ceil(4).max(1);
        let mut parts = chance.templates.chunks(size);
        let mut part = || parts.next().unwrap_or_default();
        let parts = [part(), part(), part(), part()];

        let [first, second, third, fourth] = parts;
        self.kill_a_worker(chance.step, first, watcher).await?;
        if self.stage.sites().len() > 2 {
            let during = (second, third);
            self.cut_a_site_off(&chance.cut_off, during, watcher)
                .await?;
        } else {
            self.say("a site is cut off only where two others remain");
            let sites = self.stage.sites();
            self.submit(second, &sites).await?;
            self.submit(third, &sites).await?;
        }
        self.kill_a_node(&chance.killed, fourth, watcher).await
    }

    async fn kill_a_worker(
        &mut self,
        step: Step,
        templates: &[Template],
        watcher: &Client,
    ) -> Result<(), Failure> {
        self.cast.trap.set(step);
        self.submit(templates, &self.stage.sites()).await?;
        self.wait(watcher, CUE_MAX, |seen| seen.died.is_some())
            .await?;
        Ok(())
    }

    async fn cut_a_site_off(
        &mut self,
        site: &str,
        (before, during): (&[Template], &[Template]),
        watcher: &Client,
    ) -> Result<(), Failure> {
        self.seen.claimed.clear();
        self.submit(before, &[site.to_owned()]).await?;
        self.cue(site, watcher).await?;
        self.stage.set_cut(site, true)?;
        self.fault("site_cut", site, None);
        self.say(&format!(
            "CUT OFF {site}: it takes submissions, and can place nothing"
        ));
        self.seen.refused.clear();
        let sites = self.stage.sites();
        self.submit(during, &sites).await?;
        // What is submitted at the site that is cut off waits there.
        let at_sites = during.iter().zip(sites.iter().cycle());
        let elsewhere = at_sites.filter(|(_, at)| *at != site);
        let elsewhere: Vec<&str> = elsewhere
            .map(|(template, _)| template.name.as_str())
            .collect();
        let others_go_on = |seen: &Seen| {
            let placed = &seen.progress.placed;
            seen.refused.contains(site) && elsewhere.iter().all(|name| placed.contains(*name))
        };
        self.wait(watcher, FAULT_MAX, others_go_on).await?;
        self.stage.set_cut(site, false)?;
        self.fault("site_healed", site, None);
        self.say(&format!("HEALED {site}"));
        Ok(())
    }

    async fn kill_a_node(
        &mut self,
        site: &str,
        templates: &[Template],
        watcher: &Client,
    ) -> Result<(), Failure> {
        self.seen.claimed.clear();
        self.submit(templates, &[site.to_owned()]).await?;
        self.cue(site, watcher).await?;
        let node = self.stage.node_of(site);
        self.stage.kill(node).await?;
        self.fault("node_killed", node, None);
        self.say(&format!("KILLED node {node} of {site}"));
        let dead = clock::now();
        let goes_on = |seen: &Seen| seen.progress.waiting.is_empty() || dead.elapsed() > LEASE * 2;
        self.wait(watcher, FAULT_MAX, goes_on).await?;
        self.stage.start(node).await?;
        self.fault("node_started", node, None);
        self.say(&format!("STARTED node {node} again"));
        Ok(())
    }

    /// Submits templates, each at the next of these sites.
    async fn submit(&mut self, templates: &[Template], sites: &[String]) -> Result<(), Failure> {
        let mut submitted: BTreeMap<&str, usize> = BTreeMap::new();
        for (template, site) in templates.iter().zip(sites.iter().cycle()) {
            match submit(&self.stage.client_near(site)?, template).await {
                Ok(()) => {
                    self.submitted.insert(template.name.clone());
                    *submitted.entry(site).or_default() += 1;
                }
                Err(error) if error.is_retryable() => return Err(Error::from(error).into()),
                // It is too large, say; that stops none of the others.
                Err(error) => {
                    let reason = format!("cannot be submitted: {error}");
                    self.say(&format!("{} {reason}", template.name));
                    self.demands.remove(&template.name);
                    self.refused.insert(template.name.clone(), reason);
                }
            }
        }
        let counts = submitted.iter();
        let counts: Vec<String> = counts
            .map(|(site, count)| format!("{count} at {site}"))
            .collect();
        if !counts.is_empty() {
            self.say(&format!("templates submitted: {}", counts.join(", ")));
        }
        Ok(())
    }

    /// Waits for a worker of this site to make a claim; not if there is nothing
    /// left to claim.
    async fn cue(&mut self, site: &str, watcher: &Client) -> Result<(), Failure> {
        let submitted = self.submitted.clone();
        let is_cue = |seen: &Seen| {
            let placed = &seen.progress.placed;
            seen.claimed.contains(site) || submitted.iter().all(|name| placed.contains(name))
        };
        self.wait(watcher, CUE_MAX, is_cue).await?;
        Ok(())
    }

    /// Waits until something is seen, the time is over, or the deadline has
    /// come. Returns whether it was seen.
    async fn wait(
        &mut self,
        watcher: &Client,
        limit: Duration,
        is_seen: impl Fn(&Seen) -> bool,
    ) -> Result<bool, Failure> {
        let until = self.deadline().min(clock::now() + limit);
        self.look(watcher).await;
        let mut look = clock::now() + LOOK;
        while !is_seen(&self.seen) {
            if clock::now() >= until {
                return Ok(false);
            }
            let news = tokio::time::timeout_at(look.min(until), self.events.recv());
            if let Ok(Some(event)) = news.await {
                self.hear(event)?;
                continue;
            }
            self.look(watcher).await;
            look = clock::now() + LOOK;
        }
        Ok(true)
    }

    /// Looks how far the work is. A look that fails is made again soon.
    async fn look(&mut self, watcher: &Client) {
        let sites = self.stage.sites();
        let catalogue = &self.script.catalogue;
        if let Ok(progress) = progress(watcher, catalogue, &sites, &self.demands).await {
            self.seen.progress = progress;
        }
    }

    fn hear(&mut self, event: Event) -> Result<(), Failure> {
        let Event {
            site,
            worker,
            template,
            news,
        } = &event;
        match news {
            News::Reached(Step::Claimed) => {
                self.seen.claimed.insert(site.clone());
            }
            News::Placed => self.say(&format!("{worker} placed {template}")),
            News::Settled => self.say(&format!("{worker} cleaned up after {template}")),
            News::Refused { reason } => self.say(&format!("{worker} refused {template}: {reason}")),
            News::Unconfirmed { reason } => {
                self.say(&format!(
                    "{worker} cannot tell whether {template} counts: {reason}"
                ));
            }
            News::Failed { reason } => self.hear_refusal(site, worker, reason),
            News::Died(step) => {
                let done = step.done();
                self.fault("worker_killed", worker, Some((done, template)));
                self.say(&format!(
                    "KILLED worker {worker}, which had just {done} {template}"
                ));
                let next = self.cast.hire(site)?;
                self.say(&format!("{next} takes its place"));
                self.seen.died = Some(event);
            }
            _ => {}
        }
        Ok(())
    }

    /// The first of a site is worth telling; what follows is the same.
    fn hear_refusal(&mut self, site: &str, worker: &str, reason: &str) {
        if self.seen.refused.insert(site.to_owned()) {
            self.say(&format!("{worker} is refused: {reason}"));
        }
    }

    /// Hears what is left to be heard.
    fn drain(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            if event.news == News::Placed {
                self.say(&format!("{} placed {}", event.worker, event.template));
            }
        }
    }

    /// Cleans up what is left, and audits.
    async fn audit(&self, watcher: &Client) -> Result<Audit, Failure> {
        let names: Vec<String> = self.demands.keys().cloned().collect();
        let catalogue = &self.script.catalogue;
        let mut rounds = 0;
        loop {
            let found = audit(watcher, &names, catalogue, &self.cast.inventories).await;
            let found = found.map_err(Error::from)?;
            rounds += 1;
            if found.unsettled.is_empty() || rounds > SETTLE_MAX {
                return Ok(found);
            }
            for entry in &found.unsettled {
                let worker = format!("{}-auditor", entry.site);
                let station = self.cast.station(&entry.site, &worker, Probe::default())?;
                if station.settle(&entry.template).await.map_err(Error::from)? {
                    self.say(&format!("{worker} cleaned up after {}", entry.template));
                }
            }
        }
    }

    fn fault(&mut self, kind: &'static str, target: &str, at: Option<(&'static str, &str)>) {
        self.faults.push(Fault {
            kind,
            target: target.to_owned(),
            after: at.map(|(step, _)| step),
            template: at.map(|(_, template)| template.to_owned()),
            seconds: self.began.elapsed().as_secs_f64(),
        });
    }

    fn say(&self, text: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.output.narrate(&format!("{seconds:6.1} s  {text}"));
    }

    fn deadline(&self) -> Instant {
        self.began + self.script.deadline
    }
}
