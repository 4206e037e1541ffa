//! Clients in a closed loop: each begins its next transaction when the last
//! has ended. One that fails for a conflict is tried again, and its time goes
//! on from its first try.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::arguments::Arguments;
use crate::clock::{Instant, now};
use crate::database::Session;
use crate::dice::Dice;
use crate::failure::{Failure, Meaning};
use crate::order::{Answer, Run, Tally};
use crate::work::{Drawer, Job, Work};

/// How long a try may take before nobody waits for it any more.
const TRY_TIME: Duration = Duration::from_secs(20);
/// How long a client stands back at most before it tries again.
const PAUSE_MAX_MS: i64 = 32;
/// Transactions of a client that may fail for good before it gives up.
const FAILED_MAX: u64 = 20;

/// When transactions count.
#[derive(Clone, Copy)]
struct Window {
    from: Instant,
    until: Instant,
}

/// One client.
struct Client {
    arguments: Rc<Arguments>,
    work: Rc<Work>,
    window: Window,
    dice: Dice,
    session: Option<Session>,
    tally: Tally,
}

/// Lets all clients of this site work. They connect first, all at once, and
/// that is no part of what counts if the warm-up is long enough for it.
///
/// # Errors
///
/// When a client of ours panicked.
pub(crate) async fn run(arguments: &Arguments, run: &Run) -> Result<Answer> {
    let arguments = Rc::new(arguments.clone());
    let work = Rc::new(Work::of(run.workload, run.sites));
    let from = now() + Duration::from_millis(run.warm_up_ms);
    let window = Window {
        from,
        until: from + Duration::from_millis(run.time_ms),
    };
    let local = tokio::task::LocalSet::new();
    let mut clients = JoinSet::new();
    for number in 0..run.clients {
        let drawer = Drawer {
            run: run.number,
            site: arguments.site,
            client: number,
            count: 0,
        };
        let client = Client {
            arguments: Rc::clone(&arguments),
            work: Rc::clone(&work),
            window,
            dice: Dice::seeded(drawer.id().unsigned_abs()),
            session: None,
            tally: Tally::default(),
        };
        clients.spawn_local_on(client.go_on(drawer), &local);
    }
    let mut tally = Tally::default();
    let gather = async {
        while let Some(one) = clients.join_next().await {
            tally.add(one?);
        }
        Ok::<_, anyhow::Error>(())
    };
    local.run_until(gather).await?;
    Ok(Answer::Done(tally))
}

async fn connect(arguments: &Arguments) -> Result<Session, Failure> {
    let mut session = Session::connect(arguments, &arguments.run).await?;
    if let Some(setting) = &arguments.session {
        session.script(setting).await?;
    }
    Ok(session)
}

impl Client {
    /// One transaction after the other, until time is over.
    async fn go_on(mut self, mut drawer: Drawer) -> Tally {
        while now() < self.window.until && self.tally.failed < FAILED_MAX {
            let job = self.work.draw(drawer, &mut self.dice);
            drawer.count += 1;
            self.transaction(&job).await;
        }
        self.tally
    }

    async fn transaction(&mut self, job: &Job) {
        let began = now();
        let mut pause_ms = 1;
        loop {
            let Err(failure) = self.one_try(job).await else {
                self.done(job.kind(), began);
                return;
            };
            match failure.meaning {
                Meaning::Again | Meaning::Lost => self.note_again(&failure),
                Meaning::Unknown => {
                    *self.tally.unknown.entry(job.kind()).or_default() += 1;
                    self.note_again(&failure);
                    return;
                }
                Meaning::Wrong => {
                    self.tally.failed += 1;
                    self.tally
                        .failure
                        .get_or_insert_with(|| failure.to_string());
                    return;
                }
            }
            if now() >= self.window.until {
                self.tally.given_up += 1;
                return;
            }
            let pause = self.dice.one_of(0..=pause_ms).unsigned_abs();
            sleep(Duration::from_millis(pause)).await;
            pause_ms = (pause_ms * 2).min(PAUSE_MAX_MS);
        }
    }

    /// A try; whatever it leaves behind in its session is undone.
    async fn one_try(&mut self, job: &Job) -> Result<(), Failure> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => connect(&self.arguments).await?,
        };
        let attempt = self
            .work
            .attempt(&mut session, job, self.arguments.pipelined);
        let Ok(result) = timeout(TRY_TIME, attempt).await else {
            let text = format!("no answer within {} s", TRY_TIME.as_secs());
            return Err(Failure::new(Meaning::Unknown, "slow", text));
        };
        let keeps = match &result {
            Ok(()) => true,
            Err(failure) if failure.meaning == Meaning::Lost => false,
            // It is over already, or is now; else the session is not used again.
            Err(_) => matches!(timeout(TRY_TIME, session.rollback()).await, Ok(Ok(()))),
        };
        self.session = keeps.then_some(session);
        result
    }

    fn counts(&self) -> bool {
        (self.window.from..self.window.until).contains(&now())
    }

    fn done(&mut self, kind: &'static str, began: Instant) {
        *self.tally.acknowledged.entry(kind).or_default() += 1;
        if self.counts() {
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.tally.took_us.entry(kind).or_default().push(took);
        }
    }

    fn note_again(&mut self, failure: &Failure) {
        if self.counts() {
            *self.tally.again.entry(failure.code.clone()).or_default() += 1;
        }
    }
}
