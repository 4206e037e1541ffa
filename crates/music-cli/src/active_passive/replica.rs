//! What the daemon does while it has a role: checks its service, mends it, asks
//! for its load and its state.

use std::convert::Infallible;
use std::time::Duration;

use music_client::recipes::{Active, LoadGauge, Standby};
use music_client::{Content, Error};

use super::clock::{self, Instant};
use super::config::Config;
use super::events::{Event, Report, Why};
use super::health::{Health, Verdict};
use super::runner::{Failed, Holding, Runner};
use super::scripts::Script;

/// How long the daemon waits after a failure of the nodes.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// A service, in the hands of the daemon.
pub(super) struct Service<'a> {
    pub(super) config: &'a Config,
    pub(super) report: &'a Report<'a>,
    pub(super) runner: Runner,
}

impl Service<'_> {
    /// Waits until the replica may ask to be active: its service is healthy, and
    /// it is not out any more.
    pub(super) async fn until_fit(&mut self, out_until: Option<Instant>, gauge: &LoadGauge) {
        let mut health = Health::new(self.config.check, false);
        loop {
            let verdict = self.round(&mut health, gauge).await;
            let now = clock::now();
            let out = out_until.filter(|until| *until > now);
            if verdict == Verdict::Healthy && out.is_none() {
                return;
            }
            let next = now + self.config.check.interval;
            let next = out.map_or(next, |until| until.min(next));
            tokio::time::sleep_until(next).await;
        }
    }

    /// Waits until the replica may not ask any more: its service is not healthy.
    pub(super) async fn until_unfit(&mut self, gauge: &LoadGauge) {
        let mut health = Health::new(self.config.check, false);
        loop {
            tokio::time::sleep(self.config.check.interval).await;
            if self.round(&mut health, gauge).await == Verdict::Unhealthy {
                return;
            }
        }
    }

    /// A check of a passive replica.
    async fn round(&mut self, health: &mut Health, gauge: &LoadGauge) -> Verdict {
        let passive = Holding::default();
        let verdict = match &self.config.scripts.check {
            Some(check) => health.checked(self.run(check, &passive).await.is_ok()),
            None => Verdict::Healthy,
        };
        self.tell_load(&passive, gauge).await;
        verdict
    }

    /// Makes the service active and keeps it so, as long as it is healthy; why
    /// it is not to stay so.
    pub(super) async fn serve(
        &mut self,
        active: &Active,
        holding: &mut Holding,
        standby: &mut Standby,
    ) -> Why {
        let (slot, token) = (active.slot(), active.token());
        self.report.tell(&Event::Activating { slot, token });
        // Others wait meanwhile: no longer than for the script.
        let time = self.config.scripts.activate.timeout;
        let Ok(()) = tokio::time::timeout(time, self.inherit(active, holding)).await else {
            return Why::Activation("the state of the slot cannot be read".to_owned());
        };
        let activate = &self.config.scripts.activate;
        if let Err(failed) = self.run_held(activate, active, holding).await {
            return Why::Activation(failed.to_string());
        }
        self.report.tell(&Event::Active { slot, token });
        let gauge = standby.load_gauge();
        tokio::select! {
            biased;
            better = outranked(standby, self.config.failback) => Why::Failback(better),
            why = self.keep(active, holding, &gauge) => why,
        }
    }

    /// Reads what the last active replica of the slot saved.
    async fn inherit(&self, active: &Active, holding: &mut Holding) {
        loop {
            match active.state().await {
                Ok(stored) => {
                    let stored = stored.map(|stored| stored.content.bytes.to_vec());
                    holding.state = stored.unwrap_or_default();
                    return;
                }
                Err(error) => self.complain_of("the state", "cannot be read", &error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Checks an active service, mends it and saves its state, until it is not
    /// healthy.
    async fn keep(&mut self, active: &Active, holding: &mut Holding, gauge: &LoadGauge) -> Why {
        let scripts = &self.config.scripts;
        let mut health = Health::new(self.config.check, scripts.restart.is_some());
        let mut saved = Some(holding.state.clone());
        loop {
            tokio::time::sleep(self.config.check.interval).await;
            let mut failure = String::new();
            let mut verdict = Verdict::Healthy;
            if let Some(check) = &scripts.check {
                let checked = self.run_held(check, active, holding).await;
                verdict = health.checked(checked.is_ok());
                failure = checked.map_or_else(|failed| failed.to_string(), |_| failure);
            }
            while let (Verdict::Restart(attempt), Some(restart)) = (verdict, &scripts.restart) {
                let restarts = self.config.check.restarts;
                self.report.tell(&Event::Restarting { attempt, restarts });
                let restarted = self.run_held(restart, active, holding).await;
                verdict = health.restarted(restarted.is_ok());
            }
            match verdict {
                Verdict::Unhealthy => return Why::Unhealthy(failure),
                Verdict::Healthy => self.save(active, holding, &mut saved).await,
                Verdict::Open | Verdict::Restart(_) => {}
            }
            still_held(active).await;
            self.tell_load(holding, gauge).await;
        }
    }

    /// Saves the state for whoever takes over, where it has changed. `saved` is
    /// what is stored; `None` where that is not known.
    async fn save(&mut self, active: &Active, holding: &mut Holding, saved: &mut Option<Vec<u8>>) {
        let Some(script) = &self.config.scripts.state else {
            return;
        };
        let Ok(state) = self.run_held(script, active, holding).await else {
            return;
        };
        holding.state.clone_from(&state);
        if saved.as_ref() == Some(&state) {
            return;
        }
        *saved = None;
        let content = match String::from_utf8(state.clone()) {
            Ok(text) => Content::from(text),
            Err(bytes) => Content::from(bytes.into_bytes()),
        };
        // Checks wait meanwhile: no longer than for the script.
        match tokio::time::timeout(script.timeout, active.save(content)).await {
            Ok(Ok(())) => {
                self.report.is_well("the state");
                *saved = Some(state);
            }
            Ok(Err(error)) => self.complain_of("the state", "cannot be saved", &error),
            Err(_) => {
                let text = format!("the state was not saved within {:?}", script.timeout);
                self.report.complain("the state", text);
            }
        }
    }

    /// Says how much the replica has to do.
    async fn tell_load(&mut self, holding: &Holding, gauge: &LoadGauge) {
        let Some(script) = &self.config.scripts.load else {
            return;
        };
        let Ok(printed) = self.run(script, holding).await else {
            return;
        };
        let load = std::str::from_utf8(&printed).ok();
        let Some(load) = load.and_then(|text| text.trim().parse().ok()) else {
            let text = format!("load printed no number of 0 to {}", u32::MAX);
            self.report.complain("load", text);
            return;
        };
        // Where nobody hears it, it is said with the next proof of life.
        if let Err(error) = gauge.set(load).await {
            self.complain_of("the load", "is told later", &error);
        }
    }

    /// Runs a script of an active replica, if it is one still.
    async fn run_held(
        &mut self,
        script: &Script,
        active: &Active,
        holding: &Holding,
    ) -> Result<Vec<u8>, Failed> {
        still_held(active).await;
        self.run(script, holding).await
    }

    async fn run(&mut self, script: &Script, holding: &Holding) -> Result<Vec<u8>, Failed> {
        let ended = self.runner.run(script, holding).await;
        match &ended {
            Ok(_) => self.report.is_well(script.name),
            Err(failed) => self.report.complain(script.name, failed.to_string()),
        }
        ended
    }

    /// Tells of a failure of the nodes.
    pub(super) fn complain_of(&self, what: &'static str, does: &str, error: &Error) {
        self.report
            .complain(what, format!("{what} {does}: {error}"));
    }
}

/// Goes on where the lease lasts. Where it is over, which this process may find
/// out before anybody tells it, as after a pause, whoever waits for the loss
/// goes on.
async fn still_held(active: &Active) {
    if active.valid_for().is_zero() {
        std::future::pending::<()>().await;
    }
}

/// Asks to be active until it is granted.
pub(super) async fn ask(standby: &mut Standby, report: &Report<'_>) -> Active {
    loop {
        match standby.activate().await {
            Ok(active) => {
                report.is_well("asking");
                return active;
            }
            Err(error) => report.complain("asking", format!("asking to be active: {error}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Hears of the other replicas, so that what happened is known when it matters.
pub(super) async fn follow(standby: &mut Standby) -> Infallible {
    loop {
        if standby.changed().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Waits for a replica of a better site to step down for, if it does so.
async fn outranked(standby: &mut Standby, failback: bool) -> String {
    if !failback {
        match follow(standby).await {}
    }
    loop {
        match standby.outranked().await {
            Ok(better) => return better,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
