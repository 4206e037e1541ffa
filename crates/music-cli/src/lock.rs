//! `music lock`.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use music_client::api::code::Code;
use music_client::api::table::TableMode;
use music_client::{
    Client, CriticalSection, Error, LockRequest, Lost, LostReason, Outcome, RecordKey,
};
use rustix::process::Signal;

use crate::arguments::Global;
use crate::child::Child;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lock_child::exit_of;
use crate::output::Output;
use crate::record_arguments::close;
use crate::signals::Signals;

/// The table of locks that need no table of their own.
pub(crate) const DEFAULT_TABLE: &str = "locks";

/// How long somebody waits before they are told that they do.
const WAIT_UNTOLD: Duration = Duration::from_millis(500);

const ABOUT: &str = "Run a command in a critical section

Waits for the locks of all keys, runs CMD, and releases them when it ends. Passes on its exit code.

CMD finds in its environment:
  MUSIC_FENCING_TOKEN   a number greater than that of all earlier sections on the first KEY: give it
                        to other systems, which refuse what comes with a smaller one
  MUSIC_FENCING_TOKENS  the same for each key, as JSON
  MUSIC_LOCK_REF        the lockRef
  MUSIC_ENDPOINTS       the nodes

When the lock is lost, CMD gets SIGTERM, and SIGKILL after --kill-after; then music exits with 79.
SIGHUP, SIGINT and SIGTERM are passed on to CMD. On Linux, CMD is killed when music is, even by
SIGKILL; others get the lock within two leases then. CMD runs in a process group of its own, all of
which is signalled, unless standard input is a terminal: then CMD alone is.";

/// Run a command in a critical section
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
#[command(after_help = "Examples:
  music lock nightly-report -- ./report.sh
  music lock --timeout 0s deploy -- ./deploy.sh || echo somebody else deploys
  music lock -t accounts alice bob -- sh -c './transfer --token $MUSIC_FENCING_TOKEN'")]
pub(crate) struct Lock {
    /// The table of the keys; the default one is created when it is missing
    #[arg(short, long, default_value = DEFAULT_TABLE)]
    table: String,
    /// How long others wait at most (twice) when this program dies
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10s")]
    lease: Duration,
    /// How long to wait for the lock at most; for ever if left out
    #[arg(long, visible_alias = "wait", value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Beside other shared ones, to read only
    #[arg(long)]
    shared: bool,
    /// Find out at the end that nobody else was granted in between
    #[arg(long)]
    confirm: bool,
    /// How long CMD may take to end when the lock is lost
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5s")]
    kill_after: Duration,
    /// The keys, locked together
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs a command in a critical section.
pub(crate) async fn run(global: &Global, lock: Lock, output: &Output) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let client = global.client()?;
    let granted = tokio::select! {
        granted = acquire(&client, &lock, output) => granted.map(Ok),
        signal = signals.next() => Ok(Err(signal)),
    };
    let exit = match granted {
        Ok(Ok(section)) => hold(section, &client, &lock, &mut signals, output).await,
        Ok(Err(signal)) => Ok(Exit::signal(signal.as_raw())),
        Err(failure) => Err(failure),
    };
    // A place in the queue that was given up would hold others up.
    if !close(&client).await {
        output.warning("the lock could not be released: it ends with its lease");
    }
    exit
}

async fn acquire(
    client: &Client,
    lock: &Lock,
    output: &Output,
) -> Result<CriticalSection, Failure> {
    let patience = tokio::time::sleep(WAIT_UNTOLD);
    let granted = async {
        match lock.request(client).acquire().await {
            Err(error)
                if error.code() == Some(Code::NoSuchTable) && lock.table == DEFAULT_TABLE =>
            {
                client
                    .create_table(DEFAULT_TABLE, TableMode::Critical)
                    .await?;
                lock.request(client).acquire().await
            }
            granted => granted,
        }
    };
    tokio::pin!(granted, patience);
    tokio::select! {
        granted = &mut granted => return Ok(granted?),
        () = &mut patience => {}
    }
    output.progress(&format!("waiting for the lock of {}", lock.keys.join(", ")));
    Ok(granted.await?)
}

impl Lock {
    fn request(&self, client: &Client) -> LockRequest {
        let keys = self
            .keys
            .iter()
            .map(|key| RecordKey::from((self.table.as_str(), key)));
        let mut request = client.lock(keys).lease(self.lease);
        if self.shared {
            request = request.shared();
        }
        match self.timeout {
            Some(timeout) => request.wait(timeout),
            None => request,
        }
    }
}

async fn hold(
    section: CriticalSection,
    client: &Client,
    lock: &Lock,
    signals: &mut Signals,
    output: &Output,
) -> Result<Exit, Failure> {
    let environment = environment(&section, client)?;
    let child = Child::start(&lock.command, &environment)?;
    let (status, lost) = watch(child, &section, lock.kill_after, signals).await?;
    if let Some(reason) = lost {
        let outcome = Outcome::Unknown;
        return Err(Error::from(Lost { reason, outcome }).into());
    }
    let exit = exit_of(status);
    let released = if lock.confirm {
        section.confirm().await
    } else {
        section.release().await
    };
    match released {
        Ok(()) => Ok(exit),
        Err(error @ Error::Lost(_)) => Err(error.into()),
        Err(error) if lock.confirm => Err(error.into()),
        Err(_) => {
            output.warning("no node answers to the release: the lock ends with its lease");
            Ok(exit)
        }
    }
}

fn environment(
    section: &CriticalSection,
    client: &Client,
) -> Result<[(&'static str, String); 4], Failure> {
    Ok([
        ("MUSIC_FENCING_TOKEN", section.token().to_string()),
        (
            "MUSIC_FENCING_TOKENS",
            serde_json::to_string(section.tokens())?,
        ),
        ("MUSIC_LOCK_REF", section.lock_ref().to_owned()),
        ("MUSIC_ENDPOINTS", client.endpoints().join(",")),
    ])
}

/// Waits for the command's end; ends it where the lock is lost.
async fn watch(
    mut child: Child,
    section: &CriticalSection,
    kill_after: Duration,
    signals: &mut Signals,
) -> Result<(ExitStatus, Option<LostReason>), Failure> {
    let failed = |source| Failure::Command {
        command: "CMD".to_owned(),
        source,
    };
    let reason = loop {
        tokio::select! {
            status = child.wait() => return Ok((status.map_err(failed)?, None)),
            reason = section.lost() => break reason,
            signal = signals.next() => child.pass_on(signal),
        }
    };
    child.signal(Signal::TERM);
    let ended = tokio::time::timeout(kill_after, child.wait()).await;
    let status = if let Ok(status) = ended {
        status
    } else {
        child.signal(Signal::KILL);
        child.wait().await
    };
    Ok((status.map_err(failed)?, Some(reason)))
}
