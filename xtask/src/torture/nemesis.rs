//! The faults of a run.
//!
//! What is done next, to what, and for how long depends on the seed alone.
//! When something has recovered depends on the machine, and so does which of
//! the faults that are drawn can be had.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::log::Log;
use super::network::SITES;
use super::stage::{Ending, Stage};
use super::wound::{FAULTS, How, Target, Wound, leaves_majority};
use crate::clock::Stopwatch;

/// The time between two faults, in milliseconds.
const PAUSE_MS: Range<u64> = 500..5000;
/// In one of so many cases, a majority is taken away.
const MAJORITY_ONE_IN: u32 = 6;
/// And for no longer than this, in milliseconds.
const MAJORITY_MS: Range<u64> = 500..5000;
/// How often a site is cut off while nothing else is wrong, to measure that.
const MEASURED_EVERY: Duration = Duration::from_secs(90);
/// For how long nothing is wrong before that: no effect of another fault lasts.
const QUIET: Duration = Duration::from_secs(13);
/// How long such a cut lasts: three leases of a node.
const MEASURED_CUT: Duration = Duration::from_secs(15);
/// How often it is seen what is due.
const TICK: Duration = Duration::from_millis(100);
/// How long everything may take to serve again when it is let alone.
const RECOVERY_MAX: Duration = Duration::from_mins(4);
/// How long clients may take to show that everything can be had: the time
/// that faults may go on to have effects, and some.
const FINISH_MAX: Duration = Duration::from_mins(4);

/// What does harm.
pub(super) struct Nemesis<'a> {
    stage: Stage<'a>,
    log: Log,
    dice: SmallRng,
    stopwatch: Stopwatch,
    wounds: Vec<Wound>,
    /// Set by Ctrl-C.
    stop: Arc<AtomicBool>,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(stage: Stage<'a>, log: Log, seed: u64, stop: Arc<AtomicBool>) -> Self {
        Self {
            stop,
            stage,
            log,
            dice: SmallRng::seed_from_u64(seed),
            stopwatch: Stopwatch::start(),
            wounds: Vec::new(),
        }
    }

    /// Starts everything, then does harm for some time.
    ///
    /// # Errors
    ///
    /// When something cannot be started or harmed.
    pub(super) fn rage(&mut self, length: Duration) -> Result<()> {
        self.stage.start()?;
        self.stopwatch = Stopwatch::start();
        let mut next = Duration::from_secs(5);
        let mut measure = MEASURED_EVERY / 2;
        while self.now() < length {
            if self.now() >= measure {
                self.cut_alone()?;
                measure = self.now() + MEASURED_EVERY;
                next = self.now();
            }
            if self.now() >= next {
                self.strike()?;
                next = self.now() + self.ms(PAUSE_MS);
            }
            self.tick()?;
        }
        Ok(())
    }

    /// Starts everything, and lets it alone for some time.
    ///
    /// # Errors
    ///
    /// When something cannot be started.
    pub(super) fn idle(&mut self, length: Duration) -> Result<()> {
        self.stage.start()?;
        self.stopwatch = Stopwatch::start();
        while self.now() < length {
            self.tick()?;
        }
        Ok(())
    }

    /// Undoes all harm, and sees that everything can be had.
    ///
    /// # Errors
    ///
    /// When something cannot be undone. What does not come to rest is noted.
    pub(super) fn relent(&mut self) -> Result<()> {
        for wound in &mut self.wounds {
            wound.until = Duration::ZERO;
        }
        let stopwatch = Stopwatch::start();
        while !self.wounds.is_empty() || !self.stage.is_whole() {
            if stopwatch.elapsed() > RECOVERY_MAX {
                self.fail(&format!(
                    "not all serves after {RECOVERY_MAX:?} without faults"
                ))?;
                break;
            }
            self.tick()?;
        }
        self.log.note("calm", &json!({}))?;
        for ending in self.stage.finish(FINISH_MAX)? {
            self.note(ending)?;
        }
        let rest = self.stage.rest()?;
        self.note(rest)?;
        for panic in self.stage.panics() {
            self.fail(&panic)?;
        }
        self.log.note("end", &json!({}))
    }

    fn note(&mut self, ending: Ending) -> Result<()> {
        match ending {
            Ending::Fine => Ok(()),
            Ending::Bad(text) => self.fail(&text),
        }
    }

    /// Ends all that runs.
    ///
    /// # Errors
    ///
    /// When something does not end.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.stage.clear()
    }

    fn now(&self) -> Duration {
        self.stopwatch.elapsed()
    }

    fn ms(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.dice.random_range(range))
    }

    fn fail(&mut self, text: &str) -> Result<()> {
        self.log.note("failed", &json!({ "text": text }))
    }

    /// Cuts a site off while nothing else is wrong.
    fn cut_alone(&mut self) -> Result<()> {
        let mut since = self.now();
        while self.now() < since + QUIET {
            self.tick()?;
            if !self.wounds.is_empty() {
                since = self.now();
            }
        }
        let site = self.dice.random_range(0..SITES.len());
        self.hit(site, Target::Links, How::Cut, MEASURED_CUT)?;
        while !self.wounds.is_empty() {
            self.tick()?;
        }
        Ok(())
    }

    /// Does some harm, or none where what was drawn cannot be had now.
    fn strike(&mut self) -> Result<()> {
        let site = self.dice.random_range(0..SITES.len());
        let chances: u32 = FAULTS.iter().map(|(_, _, chance, _)| chance).sum();
        let mut draw = self.dice.random_range(0..chances);
        let drawn = FAULTS.iter().find(|(_, _, chance, _)| {
            let here = draw < *chance;
            draw = draw.saturating_sub(*chance);
            here
        });
        let takes_majority = self.dice.random_ratio(1, MAJORITY_ONE_IN);
        let Some((target, how, _, length)) = drawn.cloned() else {
            return Ok(());
        };
        let mut length = self.ms(length);
        let short = self.ms(MAJORITY_MS);
        let is_hit = |wound: &Wound| wound.site == site && wound.target == target;
        if self.wounds.iter().any(is_hit) || !self.has(target) {
            return Ok(());
        }
        let takes_site = matches!(target, Target::Links | Target::Engine(_));
        if takes_site && !leaves_majority(&self.wounds, site) {
            if !takes_majority || how == How::Kill {
                return Ok(());
            }
            length = short;
        }
        self.hit(site, target, how, length)
    }

    fn has(&self, target: Target) -> bool {
        match target {
            Target::Engine(number) => number < self.stage.engines.len(),
            Target::Links | Target::Node | Target::Clients => true,
        }
    }

    fn name(&self, target: Target) -> &'static str {
        match target {
            Target::Links => "links",
            Target::Node => "node",
            Target::Clients => "clients",
            Target::Engine(number) => {
                let engine = self.stage.engines.get(number);
                engine.map_or("engine", |engine| engine.server.name())
            }
        }
    }

    fn hit(&mut self, site: usize, target: Target, how: How, length: Duration) -> Result<()> {
        let what = self.name(target);
        match (how, target) {
            (How::Cut, _) => {
                self.stage.network.cut(site)?;
                self.log.note("cut_off", &json!({ "site": site }))?;
            }
            (How::Kill, Target::Clients) => {
                if let Some(process) = self.stage.kill_clients(site)? {
                    let more = json!({ "site": site, "process": process });
                    self.log.note("died", &more)?;
                }
            }
            (How::Kill, _) => {
                let more = json!({ "site": site, "what": what, "how": "killed" });
                self.log.note("down", &more)?;
                self.stage.kill(site, target)?;
            }
            (How::Pause, _) => {
                let more = json!({ "site": site, "what": what, "how": "paused" });
                self.log.note("down", &more)?;
                self.stage.set_paused(site, target, true)?;
            }
        }
        let until = self.now() + length;
        self.wounds.push(Wound {
            site,
            target,
            how,
            until,
            heals: false,
        });
        Ok(())
    }

    /// Undoes what is due, sees what has recovered, and waits for a moment.
    fn tick(&mut self) -> Result<()> {
        let stopped = self.stop.load(Ordering::Relaxed);
        ensure!(!stopped, "stopped by a signal: nothing was judged");
        let now = self.now();
        let mut at = 0;
        while let Some(wound) = self.wounds.get(at).copied() {
            let left = self.treat(wound, now)?;
            match (left, self.wounds.get_mut(at)) {
                (Some(left), Some(place)) => {
                    *place = left;
                    at += 1;
                }
                _ => drop(self.wounds.remove(at)),
            }
        }
        self.look_around()?;
        thread::sleep(TICK);
        Ok(())
    }

    /// What is left of a fault.
    fn treat(&mut self, wound: Wound, now: Duration) -> Result<Option<Wound>> {
        if now < wound.until {
            return Ok(Some(wound));
        }
        let Wound {
            site, target, how, ..
        } = wound;
        let more = json!({ "site": site, "what": self.name(target) });
        if !wound.heals {
            match (how, target) {
                (How::Cut, _) => {
                    self.log.note("healed", &json!({ "site": site }))?;
                    let others = self.wounds.iter().filter(|other| **other != wound);
                    let cuts = others.filter(|other| other.how == How::Cut);
                    let cut_off: Vec<usize> = cuts.map(|cut| cut.site).collect();
                    self.stage.network.heal(site, &cut_off)?;
                    return Ok(None);
                }
                (How::Kill, Target::Clients) => {
                    self.stage.launch(site, target)?;
                    self.log.note("replaced", &json!({ "site": site }))?;
                    return Ok(None);
                }
                (How::Kill, _) => self.stage.launch(site, target)?,
                (How::Pause, _) => self.stage.set_paused(site, target, false)?,
            }
        } else if !self.stage.runs(site, target) {
            // Its engine may not have been there yet when it started.
            self.stage.launch(site, target)?;
        }
        if self.stage.has_recovered(site, target) {
            self.log.note("up", &more)?;
            return Ok(None);
        }
        let until = now + Duration::from_millis(500);
        Ok(Some(Wound {
            heals: true,
            until,
            ..wound
        }))
    }

    /// Nothing may end that was not killed.
    fn look_around(&mut self) -> Result<()> {
        let engines = (0..self.stage.engines.len()).map(Target::Engine);
        let targets: Vec<Target> = [Target::Node, Target::Clients]
            .into_iter()
            .chain(engines)
            .collect();
        for (site, name) in SITES.iter().enumerate() {
            for target in &targets {
                let is_hit = |wound: &Wound| wound.site == site && wound.target == *target;
                if self.wounds.iter().any(is_hit) || self.stage.runs(site, *target) {
                    continue;
                }
                let what = self.name(*target);
                self.fail(&format!("{what} at {name} ended by itself"))?;
                ensure!(
                    *target != Target::Clients,
                    "clients ended, who are to show that the rest works"
                );
                self.hit(site, *target, How::Kill, Duration::ZERO)?;
            }
        }
        Ok(())
    }
}
