//! A process with a few clients, at one site.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use music_client::{Client, Options};
use music_history::What;
use music_history::workload::dice::{Rng as _, dice};
use music_history::workload::{Habits, Recorder as _, Work, Worker};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::journal::{CLIENTS_MAX, Journal};

const HABITS: Habits = Habits {
    several_keys: 20,
    shared: 15,
    long: 25,
    linger: 5,
    confirm: 40,
    impatient: 10,
    home: 40,
};
/// Leases that a pause of a client outlives, or does not.
const LEASES_MS: std::ops::Range<u64> = 2000..6000;
/// How long until somebody forces a section out by hand.
const FORCE_AFTER_MS: std::ops::Range<u64> = 5000..60_000;

/// Who works, where, and on what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The nodes, that of the own site first
    #[arg(long, value_delimiter = ',', required = true)]
    endpoints: Vec<String>,
    /// The number of the site
    #[arg(long)]
    site: u32,
    /// The number of this process, unlike that of any other
    #[arg(long)]
    life: u32,
    /// How many clients there are
    #[arg(long, default_value_t = 3)]
    clients: u32,
    /// How many critical records there are
    #[arg(long, default_value_t = 4)]
    keys: usize,
    /// Where every chance comes from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How long the effects of faults may last
    #[arg(long, default_value_t = 30_000)]
    settling_ms: u64,
    /// Where to write what they do and see; must not be there
    #[arg(long)]
    journal: PathBuf,
}

/// Works until standard input ends, then shows that everything can be had.
///
/// # Errors
/// When the clients cannot begin, or one of them breaks.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.clients < CLIENTS_MAX, "too many clients");
    // One thread: between an answer and the note of it nothing else is done.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let calm = CancellationToken::new();
    let told = calm.clone();
    thread::spawn(move || {
        let _ended: io::Result<u64> = io::copy(&mut io::stdin().lock(), &mut io::sink());
        told.cancel();
    });
    runtime.block_on(work(arguments, calm))
}

async fn work(arguments: &Arguments, calm: CancellationToken) -> Result<()> {
    let journal = Journal::create(&arguments.journal, arguments.life)
        .with_context(|| format!("cannot make {}", arguments.journal.display()))?;
    let work = Work {
        keys: arguments.keys,
        home: usize::try_from(arguments.site).unwrap_or_default(),
        habits: HABITS,
        leases_ms: LEASES_MS,
        settling: Duration::from_millis(arguments.settling_ms),
        calm: calm.clone(),
    };
    let mut workers = JoinSet::new();
    for number in 0..arguments.clients {
        let id = journal.client(number, arguments.site);
        let worker = Worker {
            id,
            client: client(&arguments.endpoints)?,
            recorder: journal.clone(),
            dice: dice(arguments.seed, u64::from(id.0) << 20),
            work: work.clone(),
        };
        workers.spawn(worker.run());
    }
    let stranger = stranger(arguments, journal)?;
    tokio::spawn(calm.run_until_cancelled_owned(stranger));
    while let Some(worker) = workers.join_next().await {
        worker.context("a client broke")?;
    }
    Ok(())
}

fn client(endpoints: &[String]) -> Result<Client> {
    let options = Options {
        majority_timeout: Duration::from_secs(6),
        ..Options::default()
    };
    Client::new(endpoints, options).context("these are no endpoints")
}

/// Forces a section out now and then, at a node of another site.
fn stranger(arguments: &Arguments, journal: Journal) -> Result<impl Future<Output = ()> + use<>> {
    let mut endpoints = arguments.endpoints.clone();
    endpoints.rotate_left(1);
    let client = client(&endpoints)?;
    let mut dice = dice(arguments.seed, (u64::from(arguments.life) << 20) ^ 0xf0);
    Ok(async move {
        loop {
            sleep(Duration::from_millis(dice.random_range(FORCE_AFTER_MS))).await;
            let held = journal.held();
            let at = dice.random_range(0..held.len().max(1));
            if let Some((section, lock_ref)) = held.get(at) {
                journal.note(What::Forced { section: *section });
                // Whether it worked does not matter.
                drop(client.force(lock_ref).await);
            }
        }
    })
}
