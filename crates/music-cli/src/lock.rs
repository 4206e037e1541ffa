//! `music lock`.

use std::ffi::OsString;

use clap::Args;
use music_client::api::code::Code;
use music_client::api::table::TableMode;
use music_client::{Client, CriticalSection, LockRequest, LostReason, RecordKey};

use crate::arguments::Global;
use crate::child::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::{Held, Holder, Terms, released};
use crate::output::Output;

/// The table of locks that need no table of their own.
pub(crate) const DEFAULT_TABLE: &str = "locks";

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
    #[command(flatten)]
    terms: Terms,
    /// Beside other shared ones, to read only
    #[arg(long)]
    shared: bool,
    /// Find out at the end that nobody else was granted in between
    #[arg(long)]
    confirm: bool,
    /// The keys, locked together
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs a command in a critical section.
pub(crate) async fn run(global: &Global, lock: Lock, output: &Output) -> Result<Exit, Failure> {
    let client = global.client()?;
    let holder = Holder {
        client: &client,
        output,
        what: &format!("the lock of {}", lock.keys.join(", ")),
        command: &lock.command,
        kill_after: lock.terms.kill_after,
    };
    holder.hold(acquire(&client, &lock)).await
}

async fn acquire(client: &Client, lock: &Lock) -> Result<HeldLock, Failure> {
    let section = match lock.request(client).acquire().await {
        Err(error) if error.code() == Some(Code::NoSuchTable) && lock.table == DEFAULT_TABLE => {
            client
                .create_table(DEFAULT_TABLE, TableMode::Critical)
                .await?;
            lock.request(client).acquire().await?
        }
        granted => granted?,
    };
    let confirm = lock.confirm;
    Ok(HeldLock { section, confirm })
}

impl Lock {
    fn request(&self, client: &Client) -> LockRequest {
        let keys = self
            .keys
            .iter()
            .map(|key| RecordKey::from((self.table.as_str(), key)));
        let mut request = client.lock(keys).lease(self.terms.lease);
        if self.shared {
            request = request.shared();
        }
        match self.terms.timeout {
            Some(timeout) => request.wait(timeout),
            None => request,
        }
    }
}

/// A lock that is held.
struct HeldLock {
    section: CriticalSection,
    confirm: bool,
}

impl Held for HeldLock {
    async fn lost(&self) -> LostReason {
        self.section.lost().await
    }

    fn environment(&self) -> Result<Environment, Failure> {
        let section = &self.section;
        let tokens = serde_json::to_string(section.tokens())?;
        Ok(vec![
            ("MUSIC_FENCING_TOKEN", section.token().to_string()),
            ("MUSIC_FENCING_TOKENS", tokens),
            ("MUSIC_LOCK_REF", section.lock_ref().to_owned()),
        ])
    }

    async fn give_back(self, output: &Output) -> Result<(), Failure> {
        if self.confirm {
            return Ok(self.section.confirm().await?);
        }
        released(self.section.release().await, output)
    }
}
