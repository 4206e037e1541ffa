//! `music bench hand-over`: what it costs that a lock goes from one client to the
//! next, with few and with many who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use music_client::api::table::TableMode;
use music_client::{Client, Options};
use serde::Serialize;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use super::clock;
use super::deployment;
use super::error::Error;
use super::server::Server;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};

/// The table and the key of the lock.
const LOCK: (&str, &str) = ("bench-hand-over", "lock");
/// Between two looks whether all wait.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Measure from one grant of a lock to the next, with few and with many who wait
///
/// Starts a deployment as `music dev` does, for each number of clients anew. They stand at its
/// sites in equal parts, and wait for one lock all the time: who has it lets go at once, and
/// waits again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music bench hand-over
  music bench hand-over --waiters 1,10000 --profile lUs")]
pub(crate) struct HandOver {
    /// How many clients wait; fewer than 10,000 at a site
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 10_000])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=20_000))]
    waiters: Vec<u32>,
    /// How many hand-overs are counted
    #[arg(long, default_value_t = 2_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    count: u32,
    /// The delays between the sites of the deployment; `local` for none
    #[arg(long, default_value = deployment::LOCAL)]
    profile: String,
}

#[derive(Serialize)]
struct Report {
    waiters: u32,
    hand_overs: usize,
    median_us: f64,
    p99_us: f64,
    server_cpu_us: f64,
}

/// Measures.
pub(super) async fn run(wanted: HandOver, output: &Output) -> Result<Exit, Failure> {
    let mut reports = Vec::new();
    for waiters in &wanted.waiters {
        output.progress(&format!("{waiters} clients wait"));
        let server = Server::start(&wanted.profile, None, output).await?;
        let measured = measure(&server, *waiters, wanted.count).await;
        server.stop().await;
        reports.push(measured?);
    }
    output.either(&reports, || table(&reports))?;
    Ok(Exit::Done)
}

/// What the clients share.
struct Chain {
    /// How many hand-overs are still to be counted.
    left: AtomicU32,
    /// When the lock was granted, each time.
    grants: Mutex<Vec<clock::Instant>>,
    is_over: Notify,
}

async fn measure(server: &Server, waiters: u32, count: u32) -> Result<Report, Failure> {
    let clients = server.urls().iter();
    let clients = clients.map(|url| Client::new([url.clone()], Options::default()));
    let clients: Vec<Client> = clients.collect::<Result<_, _>>()?;
    let first = clients.first().ok_or(Error::Start("it has no node"))?;
    first.create_table(LOCK.0, TableMode::Critical).await?;
    let held = first.lock([LOCK]).acquire().await?;
    let chain = Arc::new(Chain {
        left: AtomicU32::new(count),
        grants: Mutex::default(),
        is_over: Notify::new(),
    });
    let mut working = JoinSet::new();
    // One more than wait at a time: one has the lock.
    for client in clients.iter().cycle().take(waiters as usize + 1) {
        working.spawn(take_turns(client.clone(), Arc::clone(&chain)));
    }
    while sections(&clients).await? <= u64::from(waiters) + 1 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let used_before = server.process().used()?;
    let is_over = chain.is_over.notified();
    held.release().await?;
    tokio::select! {
        () = is_over => {}
        Some(failed) = working.join_next() => {
            failed.map_err(|_panicked| Error::Clients("a client has ended".to_owned()))??;
        }
    }
    let used = server.process().used()?.saturating_sub(used_before);
    working.shutdown().await;
    let grants = chain.grants.lock().await;
    Ok(report(waiters, &grants, used))
}

/// Takes the lock and lets it go, until there are enough hand-overs.
async fn take_turns(client: Client, chain: Arc<Chain>) -> Result<(), music_client::Error> {
    loop {
        let section = client.lock([LOCK]).acquire().await?;
        chain.grants.lock().await.push(clock::now());
        section.release().await?;
        if chain.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            chain.is_over.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// How many sections the nodes keep.
async fn sections(clients: &[Client]) -> Result<u64, music_client::Error> {
    let statuses = join_all(clients.iter().map(Client::status)).await;
    let sections = statuses
        .into_iter()
        .map(|status| status.map(|status| status.sections));
    sections.sum()
}

fn report(waiters: u32, grants: &[clock::Instant], used: Duration) -> Report {
    let pairs = grants.iter().zip(grants.iter().skip(1));
    let mut gaps: Vec<Duration> = pairs
        .map(|(one, next)| next.saturating_duration_since(*one))
        .collect();
    gaps.sort_unstable();
    let micros = |length: Duration| length.as_secs_f64() * 1e6;
    let at = |percent: usize| {
        let gap = gaps.get(gaps.len() * percent / 100).copied();
        micros(gap.unwrap_or_default())
    };
    let count = u32::try_from(grants.len()).unwrap_or(u32::MAX).max(1);
    Report {
        waiters,
        hand_overs: gaps.len(),
        median_us: at(50),
        p99_us: at(99),
        server_cpu_us: micros(used / count),
    }
}

fn table(reports: &[Report]) -> String {
    let row = |report: &Report| {
        [
            report.waiters.to_string(),
            report.hand_overs.to_string(),
            format!("{:.0}", report.median_us),
            format!("{:.0}", report.p99_us),
            format!("{:.0}", report.server_cpu_us),
        ]
    };
    let rows: Vec<_> = reports.iter().map(row).collect();
    let head = ["waiters", "hand-overs", "p50 µs", "p99 µs", "server CPU µs"];
    columns(head, &rows)
}
