//! What the commands that hold something do alike: they wait for it, run a
//! command while they hold it, and give it back.
//!
//! ```text
//!  wait ──granted──▶ CMD runs ──ends──▶ give back ──▶ exit with the code of CMD
//!   │ signal            │ lost
//!   ▼                   ▼
//!  128+N             SIGTERM, SIGKILL ──▶ 79
//! ```

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use music_client::{Client, Error, Lost, LostReason, Outcome};

use crate::child::{Child, Environment};
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lock_child::exit_of;
use crate::output::Output;
use crate::record_arguments::close;
use crate::signals::Signals;

/// How long somebody waits before they are told that they do.
const WAIT_UNTOLD: Duration = Duration::from_millis(500);

/// How something is waited for, held and given up.
#[derive(Clone, Debug, Args)]
pub(crate) struct Terms {
    /// How long others wait at most (twice) when this program dies
    #[arg(long, value_name = "TIME", value_parser = duration::lease, default_value = "10s")]
    pub(crate) lease: Duration,
    /// How long to wait at most; for ever if left out
    #[arg(long, visible_alias = "wait", value_name = "TIME", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
    /// How long CMD may take to end when what it needs is lost
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5s")]
    pub(crate) kill_after: Duration,
}

/// What is held while a command runs.
pub(crate) trait Held {
    /// Waits until it is lost; for ever if it never is.
    fn lost(&self) -> impl Future<Output = LostReason>;

    /// What the command finds in its environment, beside the nodes.
    fn environment(&self) -> Result<Environment, Failure>;

    /// Gives it back.
    fn give_back(self, output: &Output) -> impl Future<Output = Result<(), Failure>>;
}

/// What a command that holds something works with.
pub(crate) struct Holder<'a> {
    pub(crate) client: &'a Client,
    pub(crate) output: &'a Output,
    /// What is waited for.
    pub(crate) what: &'a str,
    /// What runs meanwhile; a signal is waited for where it is empty.
    pub(crate) command: &'a [OsString],
    pub(crate) kill_after: Duration,
}

impl Holder<'_> {
    /// Waits for the grant, holds it while the command runs, and gives it back.
    pub(crate) async fn hold<H: Held>(
        &self,
        granted: impl Future<Output = Result<H, Failure>>,
    ) -> Result<Exit, Failure> {
        let mut signals = Signals::new()?;
        let waits = format!("waiting for {}", self.what);
        let granted = tokio::select! {
            granted = told(self.output, || Some(&waits), granted) => granted.map(Ok),
            signal = signals.next() => Ok(Err(signal)),
        };
        let exit = match granted {
            Ok(Ok(held)) => self.run(held, &mut signals).await,
            Ok(Err(signal)) => Ok(Exit::signal(signal.as_raw())),
            Err(failure) => Err(failure),
        };
        // A place in the queue that was given up would hold others up.
        if !close(self.client).await {
            let text = format!(
                "{} could not be released: it ends with its lease",
                self.what
            );
            self.output.warning(&text);
        }
        exit
    }

    async fn run<H: Held>(&self, held: H, signals: &mut Signals) -> Result<Exit, Failure> {
        let (exit, lost) = if self.command.is_empty() {
            tokio::select! {
                signal = signals.next() => (Exit::signal(signal.as_raw()), None),
                reason = held.lost() => (Exit::Lost, Some(reason)),
            }
        } else {
            let mut environment = held.environment()?;
            environment.push(nodes(self.client));
            let mut child = Child::start(self.command, &environment)?;
            let (status, lost) = watch(&mut child, held.lost(), self.kill_after, signals).await?;
            (exit_of(status), lost)
        };
        if let Some(reason) = lost {
            let outcome = Outcome::Unknown;
            return Err(Error::from(Lost { reason, outcome }).into());
        }
        held.give_back(self.output).await.map(|()| exit)
    }
}

/// Where a command finds the nodes.
pub(crate) fn nodes(client: &Client) -> (&'static str, String) {
    ("MUSIC_ENDPOINTS", client.endpoints().join(","))
}

/// Waits for the command's end; ends it where what it needs is lost.
pub(crate) async fn watch(
    child: &mut Child,
    lost: impl Future<Output = LostReason>,
    kill_after: Duration,
    signals: &mut Signals,
) -> Result<(std::process::ExitStatus, Option<LostReason>), Failure> {
    tokio::pin!(lost);
    let reason = loop {
        tokio::select! {
            status = child.wait() => return Ok((status?, None)),
            reason = &mut lost => break reason,
            signal = signals.next() => child.pass_on(signal),
        }
    };
    Ok((child.stop(kill_after).await?, Some(reason)))
}

/// What a release came to: where no node answers, the lease ends what is held,
/// and what was done while it was held counts all the same.
pub(crate) fn released(ended: Result<(), Error>, output: &Output) -> Result<(), Failure> {
    match ended {
        Ok(()) => Ok(()),
        Err(error @ Error::Lost(_)) => Err(error.into()),
        Err(_) => {
            output.warning("no node answers to the release: what was held ends with its lease");
            Ok(())
        }
    }
}

/// Waits for something; where it takes long, somebody at a terminal is told
/// what for, if there is anything to tell.
pub(crate) async fn told<'a, T>(
    output: &Output,
    text: impl FnOnce() -> Option<&'a str>,
    what: impl Future<Output = T>,
) -> T {
    let patience = tokio::time::sleep(WAIT_UNTOLD);
    tokio::pin!(what, patience);
    tokio::select! {
        biased;
        done = &mut what => return done,
        () = &mut patience => {}
    }
    if let Some(text) = text() {
        output.progress(text);
    }
    what.await
}
