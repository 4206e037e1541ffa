//! `music queue work`: a command for each item.
//!
//! ```text
//!  take ──item──▶ CMD runs ──0──────▶ done
//!   ▲               │ │ └──other────▶ given back, for later ──▶ take
//!   │ no item       │ └─claim lost──▶ SIGTERM, SIGKILL ───────▶ take
//!   ▼               └───signal──────▶ CMD ends ──▶ done, or given back ──▶ 128+N
//!  0, or waits
//! ```

use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use clap::Args;
use music_client::recipes::{Item, Queue as Recipe, Taker};
use music_client::{Client, Error};
use rustix::process::Signal;

use crate::child::{Child, Environment};
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::nodes;
use crate::lock_child::exit_of;
use crate::output::Output;
use crate::record_arguments::close;
use crate::signals::Signals;

/// How long to rest where no node could give an item.
const REST: Duration = Duration::from_secs(1);

const ABOUT: &str = "Run a command for each item, one after the other

Takes an item, runs CMD with the item as its standard input, and says that the item is done where
CMD exits with 0. Otherwise the item is given back, to be taken again after --retry-after. Run as
many of these as there is work for, at any site.

The claim is renewed while CMD runs. Where it is lost all the same, another may have the item: CMD
gets SIGTERM, and SIGKILL after --kill-after. Where music itself is killed, so is CMD, and the item
is delivered again when its claim has lapsed.

CMD finds in its environment:
  MUSIC_ITEM_ID         the item's id
  MUSIC_FENCING_TOKEN   a number greater than those of all earlier deliveries of the item: give it
                        to other systems, which refuse what comes with a smaller one
  MUSIC_DELIVERIES      how often it was delivered, this time included: CMD decides how often is
                        too often, puts the item elsewhere, and exits with 0
  MUSIC_ENDPOINTS       the nodes

Ends at a signal, which is passed on to CMD, when CMD has ended; and at once where CMD cannot be
run, with 126 or 127.";

/// Run a command for each item, one after the other
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
pub(super) struct Work {
    /// The queue
    name: String,
    /// End with 0 when no item came for so long; never if left out
    #[arg(long, visible_alias = "wait", value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// For how long an item is this taker's, unless it is renewed
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    claim: Duration,
    /// How long an item is held back when CMD has failed on it
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10s")]
    retry_after: Duration,
    /// How long CMD may take to end when the claim is lost
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5s")]
    kill_after: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What a worker works with.
struct Worker<'a> {
    client: &'a Client,
    work: &'a Work,
    output: &'a Output,
}

/// How the work on one item ended.
struct Ended {
    /// How the command did.
    status: ExitStatus,
    /// The signal that is to end the worker too.
    signal: Option<Signal>,
}

/// Works until a signal ends it, or no more items come.
pub(super) async fn run(client: &Client, work: &Work, output: &Output) -> Result<Exit, Failure> {
    let worker = Worker {
        client,
        work,
        output,
    };
    let exit = worker.work().await;
    close(client).await;
    exit
}

impl Worker<'_> {
    async fn work(&self) -> Result<Exit, Failure> {
        let queue = Recipe::new(self.client, &self.work.name)?;
        let mut taker = queue.taker().claim(self.work.claim)?;
        let mut signals = Signals::new()?;
        loop {
            let item = tokio::select! {
                item = self.next(&mut taker) => item?,
                signal = signals.next() => return Ok(Exit::signal(signal.as_raw())),
            };
            let Some(item) = item else {
                return Ok(Exit::Done);
            };
            if let Some(exit) = self.process(&item, &mut signals).await? {
                return Ok(exit);
            }
        }
    }

    /// The next item; `None` where none came in time. Goes on where no node or
    /// no majority answers: work is to be done when they are back.
    async fn next(&self, taker: &mut Taker) -> Result<Option<Item>, Failure> {
        loop {
            let taken = match self.work.timeout {
                Some(timeout) => taker.take_within(timeout).await,
                None => taker.take().await.map(Some),
            };
            match taken {
                Err(error) if passes(&error) => {
                    self.warn(&format!("no item could be taken, trying again: {error}"));
                    tokio::time::sleep(REST).await;
                }
                taken => return Ok(taken?),
            }
        }
    }

    /// Runs the command on an item. Returns how the worker is to end, if it is.
    async fn process(&self, item: &Item, signals: &mut Signals) -> Result<Option<Exit>, Failure> {
        let mut child = self.start(item)?;
        let ended = item.run(self.work.claim, end(&mut child, signals)).await;
        let ended = match ended {
            Ok(ended) => ended?,
            Err(error) => {
                let id = item.id();
                self.warn(&format!("CMD is ended, item {id} is another's: {error}"));
                child.stop(self.work.kill_after).await?;
                return Ok(None);
            }
        };
        let exit = exit_of(ended.status);
        let broken = [Exit::CannotRun, Exit::NotFound];
        let broken = broken.iter().any(|broken| broken.code() == exit.code());
        let after = if broken || ended.signal.is_some() {
            Duration::ZERO
        } else {
            self.work.retry_after
        };
        self.settle(item, exit, after).await?;
        let stopped = ended.signal.map(|signal| Exit::signal(signal.as_raw()));
        Ok(stopped.or(broken.then_some(exit)))
    }

    fn start(&self, item: &Item) -> Result<Child, Failure> {
        let environment: Environment = vec![
            ("MUSIC_ITEM_ID", item.id()),
            ("MUSIC_FENCING_TOKEN", item.token().to_string()),
            ("MUSIC_DELIVERIES", item.deliveries().to_string()),
            nodes(self.client),
        ];
        let content = item.content().map(|content| content.bytes.as_ref());
        let input = file_of(content.unwrap_or_default()).map_err(Failure::TemporaryFile)?;
        let (input, output) = (Stdio::from(input), Stdio::inherit());
        Child::start_apart(&self.work.command, &environment, input, output)
    }

    /// Says that the item is done, or gives it back. Where that cannot be said,
    /// it is delivered again when its claim has lapsed.
    async fn settle(&self, item: &Item, exit: Exit, after: Duration) -> Result<(), Failure> {
        let id = item.id();
        let settled = if exit.code() == Exit::Done.code() {
            item.done().await
        } else {
            let code = exit.code();
            self.warn(&format!("CMD exited with {code}, item {id} is given back"));
            item.give_back(after).await
        };
        match settled {
            Ok(()) => Ok(()),
            Err(error @ Error::Refused(_)) => {
                self.warn(&format!("item {id} is another's: {error}"));
                Ok(())
            }
            Err(error) if passes(&error) => {
                self.warn(&format!("item {id} will be delivered again: {error}"));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn warn(&self, text: &str) {
        self.output.warning(text);
    }
}

/// Whether others may fare better: a worker goes on.
fn passes(error: &Error) -> bool {
    error.is_retryable() || matches!(error, Error::Lost(_))
}

/// Waits for the command's end; the first signal is passed on to it, and so are
/// those that follow.
async fn end(child: &mut Child, signals: &mut Signals) -> Result<Ended, Failure> {
    let mut first = None;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(Ended { status: status?, signal: first }),
            signal = signals.next() => {
                child.signal(signal);
                first.get_or_insert(signal);
            }
        }
    }
}

/// A file without a name, to be read from its beginning.
fn file_of(content: &[u8]) -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}
