//! The daemon: from the first `deactivate` to its end.
//!
//! ```text
//!  deactivate ─▶ join ─▶ passive ──fit──▶ waiting ──granted──▶ activating ─▶ active
//!                          ▲ ▲               │                     │           │
//!                          │ └─────unfit─────┘                     ▼           ▼
//!                          └──────(out for a while)───────────── deactivating ◀┘
//! ```
//!
//! One thing happens after the other, in the main thread: nothing begins before
//! `deactivate` has ended, and a script is killed with the thread that started
//! it. What keeps the lock and the membership alive runs beside it.

use std::time::Duration;

use music_client::recipes::{Active, ActivePassive, LoadGauge, Replica, Standby};
use music_client::{Client, Error};
use rustix::process::Signal;
use tokio::time::timeout;

use super::clock::{self, Instant};
use super::config::Config;
use super::events::{Event, Report, Why};
use super::replica::{PAUSE, Service, ask, follow};
use super::runner::{Holding, Runner};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::nodes;
use crate::output::Output;
use crate::record_arguments::close;
use crate::signals::Signals;

/// How long the nodes may take to hear that a right or a membership ends; after
/// that its lease ends it.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// Runs until a signal.
pub(super) async fn run(
    config: &Config,
    client: &Client,
    recipe: &ActivePassive,
    output: &Output,
) -> Result<Exit, Failure> {
    let report = Report::new(output, &config.replica);
    let mut daemon = Daemon {
        signals: Signals::new()?,
        service: Service {
            config,
            report: &report,
            runner: Runner::new(config, nodes(client))?,
        },
        config,
        report: &report,
    };
    let ended = Box::pin(daemon.live(recipe)).await;
    if !close(client).await {
        output.warning("no node answers: what is held ends with its lease");
    }
    ended.map(|()| Exit::Done)
}

struct Daemon<'a> {
    config: &'a Config,
    report: &'a Report<'a>,
    signals: Signals,
    service: Service<'a>,
}

impl Daemon<'_> {
    async fn live(&mut self, recipe: &ActivePassive) -> Result<(), Failure> {
        // An earlier daemon may have been killed and have left it active.
        let mut clean = self.deactivate(&Holding::default(), &Why::Start).await;
        let joined = tokio::select! {
            biased;
            () = told_to_end(&mut self.signals) => return Ok(()),
            joined = join(recipe, self.config, self.report) => joined,
        };
        let mut standby = joined?;
        let (service, site) = (self.config.service.as_str(), self.config.site.as_str());
        self.report.tell(&Event::Joined { service, site });
        let mut out_until = self.stay_out(!clean);
        while let Some(active) = self.be_passive(&mut standby, out_until).await {
            let why;
            (why, clean) = self.be_active(active, &mut standby).await;
            if why == Why::Stop {
                break;
            }
            self.stand_by(&mut standby).await;
            out_until = self.stay_out(why.is_failure() || !clean);
        }
        if !matches!(timeout(FAREWELL_MAX, standby.leave()).await, Ok(Ok(()))) {
            let text = "no node answers: the replica is seen for a lease".to_owned();
            self.report.complain("leaving", text);
        }
        self.report.tell(&Event::Left);
        Ok(())
    }

    /// Is passive until it has the right to be active; `None` where the daemon
    /// is told to end.
    async fn be_passive(
        &mut self,
        standby: &mut Standby,
        out_until: Option<Instant>,
    ) -> Option<Active> {
        let gauge = standby.load_gauge();
        let active = tokio::select! {
            biased;
            () = told_to_end(&mut self.signals) => None,
            active = wait(&mut self.service, standby, (out_until, &gauge)) => Some(active),
        };
        // The check of a passive replica is of no use any more.
        self.service.runner.stop().await;
        active
    }

    /// Is active as long as it can be. Why it is not any more, and whether
    /// `deactivate` succeeded.
    async fn be_active(&mut self, active: Active, standby: &mut Standby) -> (Why, bool) {
        let mut holding = Holding {
            place: Some((active.slot(), active.lock_ref().to_owned())),
            token: active.token(),
            state: Vec::new(),
        };
        let why = tokio::select! {
            biased;
            reason = active.lost() => Why::Lost(reason),
            () = told_to_end(&mut self.signals) => Why::Stop,
            why = self.service.serve(&active, &mut holding, standby) => why,
        };
        if matches!(why, Why::Lost(_)) {
            // Another one may be active already.
            self.service.runner.kill().await;
        } else {
            self.service.runner.stop().await;
        }
        let clean = self.deactivate(&holding, &why).await;
        if active.is_lost().is_none() {
            let ended = timeout(FAREWELL_MAX, active.step_down()).await;
            if !matches!(ended, Ok(Ok(()) | Err(Error::Lost(_)))) {
                let text = "no node answers: the right ends with its lease".to_owned();
                self.report.complain("stepping down", text);
            }
        }
        (why, clean)
    }

    /// Makes the service passive. Whether that succeeded; where it did not, the
    /// script has been killed, and all that is left is not to ask for a while.
    async fn deactivate(&mut self, holding: &Holding, why: &Why) -> bool {
        let token = holding.token;
        self.report.tell(&Event::Deactivating { why, token });
        let script = &self.config.scripts.deactivate;
        let runner = &mut self.service.runner;
        match runner.deactivate(script, holding, why.code()).await {
            Ok(()) => {
                self.report.is_well(script.name);
                true
            }
            Err(failed) => {
                self.report.complain(script.name, failed.to_string());
                false
            }
        }
    }

    async fn stand_by(&self, standby: &mut Standby) {
        // Where nobody hears it, it is said with the next proof of life.
        if let Ok(Err(error)) = timeout(FAREWELL_MAX, standby.stand_by()).await {
            self.service
                .complain_of("the role", "is told later", &error);
        }
        self.report.tell(&Event::Passive);
    }

    /// Until when the replica does not ask, if it is out.
    fn stay_out(&self, out: bool) -> Option<Instant> {
        out.then(|| {
            self.report.tell(&Event::Out(self.config.out));
            clock::now() + self.config.out
        })
    }
}

/// Waits until the replica has the right to be active, and asks for it only
/// where it may.
async fn wait(
    service: &mut Service<'_>,
    standby: &mut Standby,
    (out_until, gauge): (Option<Instant>, &LoadGauge),
) -> Active {
    let report = service.report;
    loop {
        tokio::select! {
            never = follow(standby) => match never {},
            () = service.until_fit(out_until, gauge) => {}
        }
        report.tell(&Event::Waiting);
        tokio::select! {
            biased;
            active = ask(standby, report) => return active,
            () = service.until_unfit(gauge) => {}
        }
        if let Err(error) = standby.stand_by().await {
            service.complain_of("the role", "is told later", &error);
        }
        report.tell(&Event::Passive);
    }
}

/// Joins, as soon as the nodes serve.
async fn join(
    recipe: &ActivePassive,
    config: &Config,
    report: &Report<'_>,
) -> Result<Standby, Failure> {
    loop {
        let replica = Replica::new(&config.replica, &config.site);
        match recipe.join(replica).await {
            Ok(standby) => return Ok(standby),
            Err(error) if error.is_retryable() || matches!(error, Error::Lost(_)) => {
                report.complain("joining", format!("joining: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_end(signals: &mut Signals) {
    while signals.next().await == Signal::HUP {}
}
