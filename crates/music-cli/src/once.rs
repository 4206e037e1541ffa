//! `music once`.

use std::cell::Cell;
use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use music_client::recipes::Once as Recipe;
use music_client::{Client, Error};
use rustix::process::Signal;
use serde::Serialize;
use serde_json::value::Value as Json;
use tokio::sync::{Notify, mpsc};

use crate::arguments::Global;
use crate::captured::{self, CAPTURED_MAX, Captured};
use crate::child::Child;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::{nodes, told};
use crate::lock_child::exit_of;
use crate::output::Output;
use crate::record_arguments::{close, interruptible};
use crate::signals::Signals;

/// How many signals may wait to be passed on; more are dropped.
const SIGNALS_MAX: usize = 16;

const ABOUT: &str = "Run a command once for all sites

Runs CMD, unless it was done under this name, and remembers what it wrote to standard output, up to
64 KiB. All callers get that; those that come while CMD runs wait for it. The output is written when
CMD has ended.

CMD was done when it exits with 0. Otherwise it was not: its exit code is passed on, and the next
caller runs it again.

Where music or its host dies in the middle of CMD, nobody can know whether it was done. Callers are
told, with exit code 82, and CMD is not run again before somebody who has looked says that it was
done (--settle RESULT) or that it was not (--forget). The same goes for a CMD that was done and
wrote too much.

CMD finds in its environment:
  MUSIC_FENCING_TOKEN   a number greater than those of all earlier attempts: give it to other
                        systems, which refuse what comes with a smaller one
  MUSIC_ENDPOINTS       the nodes

When the lock is lost, CMD gets SIGTERM, and SIGKILL after --kill-after; then music exits with 79.
Signals, and what becomes of CMD when music is killed, are as for `music lock`.";

/// Run a command once for all sites
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
#[command(after_help = "Examples:
  music once migrate-v7 -- ./migrate.sh
  id=$(music once cluster-id -- uuidgen)
  music once migrate-v7 --settle done      # it was interrupted, and was done
  music once migrate-v7 --forget           # it was interrupted, and was not done")]
pub(crate) struct Once {
    /// The name of what is done once
    name: String,
    /// How long others wait at most (twice) when this program dies
    #[arg(long, value_name = "TIME", value_parser = duration::lease, default_value = "10s")]
    lease: Duration,
    /// How long CMD may take to end when the lock is lost
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5s")]
    kill_after: Duration,
    /// Say that an interrupted CMD was not done: the next caller runs it
    #[arg(long, conflicts_with_all = ["settle", "command"])]
    forget: bool,
    /// Say that an interrupted CMD was done, and wrote this
    #[arg(
        long,
        value_name = "RESULT",
        conflicts_with = "command",
        allow_hyphen_values = true
    )]
    settle: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required_unless_present_any = ["forget", "settle"], value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Serialize)]
struct ResultJson<'a> {
    once: &'a str,
    /// Whether it was done now, by this caller.
    ran: bool,
    /// What it wrote.
    result: &'a Json,
}

#[derive(Serialize)]
struct EndedJson<'a> {
    once: &'a str,
    /// `settled` or `forgotten`.
    step: &'a str,
}

/// Why a step was not done.
enum NotDone {
    /// The command failed, and wrote this.
    Failed(Exit, Captured),
    /// It could not be run, or not be waited for.
    Failure(Failure),
}

impl From<Failure> for NotDone {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Runs a command once, or says what became of it.
pub(crate) async fn run(global: &Global, once: Once, output: &Output) -> Result<Exit, Failure> {
    let client = global.client_with_lease(once.lease)?;
    let recipe = Recipe::new(&client, &once.name)?;
    if once.forget || once.settle.is_some() {
        let end = once.end(&recipe, output);
        return interruptible(&client, Failure::Interrupted, end).await;
    }
    let exit = Box::pin(once.once(&client, &recipe, output)).await;
    // A place in the queue that was given up would hold others up.
    if !close(&client).await {
        output.warning("the lock could not be released: it ends with its lease");
    }
    exit
}

impl Once {
    /// Says that an interrupted step was done, or that it was not.
    async fn end(&self, recipe: &Recipe, output: &Output) -> Result<Exit, Failure> {
        let (ended, step) = match &self.settle {
            Some(result) => (recipe.settle(result).await?, "settled"),
            None => (recipe.forget().await?, "forgotten"),
        };
        if !ended {
            return Err(Failure::NotInterrupted(self.name.clone()));
        }
        let once = self.name.as_str();
        output.either(&EndedJson { once, step }, || format!("{once} is {step}"))?;
        Ok(Exit::Done)
    }

    async fn once(
        &self,
        client: &Client,
        recipe: &Recipe,
        output: &Output,
    ) -> Result<Exit, Failure> {
        let (pass_on, mut passed_on) = mpsc::channel(SIGNALS_MAX);
        let (begun, too_large) = (Cell::new(false), Notify::new());
        // It outlives the step, which is dropped where the lock is lost.
        let mut child = None;
        let step = async |token: u64| {
            begun.set(true);
            let child = child.insert(self.start(client, token)?);
            let (status, captured) = captured::wait(child, &mut passed_on).await?;
            if !status.success() {
                return Err(NotDone::Failed(exit_of(status), captured));
            }
            match captured {
                Captured::All(bytes) => Ok(captured::to_json(&bytes)),
                Captured::TooMuch(_) => {
                    // It is done, so that it must not end as a failure: that
                    // would have it done again.
                    too_large.notify_one();
                    std::future::pending().await
                }
            }
        };
        let waits = format!("waiting for {}", self.name);
        // Once it has begun, its command says what there is to say.
        let text = || (!begun.get()).then_some(waits.as_str());
        let run = told(output, text, recipe.run(step));
        let ended = steer(run, (&begun, &too_large), pass_on).await?;
        match ended {
            Ended::Signal(signal) => Ok(Exit::signal(signal.as_raw())),
            Ended::TooLarge => Err(Failure::ResultTooLarge { max: CAPTURED_MAX }),
            Ended::Run(Ok(Ok(result))) => self.show(begun.get(), &result, output),
            Ended::Run(Ok(Err(NotDone::Failure(failure)))) => Err(failure),
            Ended::Run(Ok(Err(NotDone::Failed(exit, captured)))) => {
                output.value(captured.bytes())?;
                Ok(exit)
            }
            Ended::Run(Err(error)) => {
                let Some(mut child) = child else {
                    return Err(error.into());
                };
                child.stop(self.kill_after).await?;
                Err(match error {
                    Error::Lost(_) => Failure::StepLost(error),
                    _ => error.into(),
                })
            }
        }
    }

    fn start(&self, client: &Client, token: u64) -> Result<Child, Failure> {
        let token = ("MUSIC_FENCING_TOKEN", token.to_string());
        Child::start_captured(&self.command, &vec![token, nodes(client)])
    }

    fn show(&self, ran: bool, result: &Json, output: &Output) -> Result<Exit, Failure> {
        if output.is_json() {
            let once = self.name.as_str();
            output.either(&ResultJson { once, ran, result }, String::new)?;
        } else {
            output.value(&captured::to_bytes(result))?;
        }
        Ok(Exit::Done)
    }
}

/// How the run of a step ended.
enum Ended<T> {
    /// By itself.
    Run(T),
    /// By a signal, before it began.
    Signal(Signal),
    /// With a result that is too large.
    TooLarge,
}

/// Waits for the run's end; signals end it before it begins, and are passed on
/// to the command afterwards.
async fn steer<T>(
    run: impl Future<Output = T>,
    (begun, too_large): (&Cell<bool>, &Notify),
    pass_on: mpsc::Sender<Signal>,
) -> Result<Ended<T>, Failure> {
    let mut signals = Signals::new()?;
    tokio::pin!(run);
    loop {
        tokio::select! {
            biased;
            ended = &mut run => return Ok(Ended::Run(ended)),
            () = too_large.notified() => return Ok(Ended::TooLarge),
            signal = signals.next() => {
                if !begun.get() {
                    return Ok(Ended::Signal(signal));
                }
                // The command may have ended, or have more signals than it obeys.
                pass_on.try_send(signal).unwrap_or_default();
            }
        }
    }
}
