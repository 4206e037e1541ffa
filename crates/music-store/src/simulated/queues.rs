//! The lock store's side of a site: commands and peeks.

use std::sync::Arc;
use std::time::Duration;

use music_core::id::{RecordId, ReplicaId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::replica::acceptor::Request;
use music_core::replica::lightweight_transaction::{Decided, Step, Transaction};
use music_core::replica::peek::{Peek, PeekStep};
use tokio::sync::mpsc;

use super::replica::{Answer, Ask};
use super::{Shared, answered};
use crate::{Applied, Error};

/// How often a transaction begins again before it says that it cannot.
const ATTEMPTS_MAX: u32 = 16;
/// How long one attempt waits for a majority.
const PATIENCE: Duration = Duration::from_millis(700);
/// The longest pause before a second attempt; it doubles a few times.
const BACKOFF: Duration = Duration::from_millis(150);
/// How often a peek looks before it settles what is under way.
const PEEKS_MAX: usize = 3;

/// Performs a command.
pub(super) async fn apply(
    shared: &Arc<Shared>,
    site: usize,
    id: &RecordId,
    command: Command,
) -> Result<Applied, Error> {
    let decided = transact(shared, site, id, vec![command]).await?;
    let effect = decided.effects.into_iter().next();
    let (outcome, queue) = effect.ok_or(Error::TimedOut)?;
    Ok(Applied { outcome, queue })
}

/// Reads the queue: in one round, or by a transaction that changes nothing.
pub(super) async fn peek(
    shared: &Arc<Shared>,
    site: usize,
    id: &RecordId,
) -> Result<Arc<LockQueue>, Error> {
    shared.check_majority(site)?;
    for _ in 0..PEEKS_MAX {
        match tokio::time::timeout(PATIENCE, look(shared, site, id)).await {
            Ok(PeekStep::Agreed(queue)) => return Ok(queue),
            // What is under way may be over soon, and is not to be disturbed.
            Ok(PeekStep::Differ {
                in_progress: true, ..
            }) => tokio::time::sleep(shared.network.some_time(BACKOFF)).await,
            Ok(_) | Err(_) => break,
        }
    }
    Ok(transact(shared, site, id, Vec::new()).await?.queue)
}

/// Brings all replicas that can be reached to one queue.
pub(super) async fn settle(shared: &Arc<Shared>, site: usize, id: &RecordId) -> Result<(), Error> {
    transact(shared, site, id, Vec::new()).await.map(drop)
}

/// Reads the queue in one round, if a majority agrees.
async fn look(shared: &Arc<Shared>, site: usize, id: &RecordId) -> PeekStep {
    let (answers, mut inbox) = mpsc::unbounded_channel();
    shared.ask_all(site, &Ask::Queue(id.clone()), &answers);
    let mut peek = Peek::new(shared.sites());
    loop {
        let (from, answer) = answered(&mut inbox).await;
        let Answer::Queue(copy) = answer else {
            continue;
        };
        match peek.answered(from, copy) {
            PeekStep::Wait => {}
            step => return step,
        }
    }
}

/// Runs one transaction; those of one site at one key take turns.
async fn transact(
    shared: &Arc<Shared>,
    site: usize,
    id: &RecordId,
    commands: Vec<Command>,
) -> Result<Decided, Error> {
    shared.check_majority(site)?;
    let turn = shared.turn(site, id);
    let _turn = turn.lock().await;
    let replica = ReplicaId(u8::try_from(site).unwrap_or(u8::MAX));
    let mut transaction = Transaction::new(replica, shared.sites(), commands);
    for attempt in 0..ATTEMPTS_MAX {
        let known = shared.queue_at(site, id).promised();
        let lead = if attempt == 0 { 0 } else { 1 << attempt.min(6) };
        let prepare = transaction.begin(known, lead);
        let attempted = run(shared, site, id, (&mut transaction, prepare));
        if let Ok(Some(decided)) = tokio::time::timeout(PATIENCE, attempted).await {
            return Ok(decided);
        }
        let pause = shared.network.some_time(BACKOFF * (1 << attempt.min(3)));
        tokio::time::sleep(pause).await;
    }
    if transaction.may_have_applied() {
        Err(Error::TimedOut)
    } else {
        Err(Error::Contended)
    }
}

/// One attempt; `None` where another was faster.
async fn run(
    shared: &Arc<Shared>,
    site: usize,
    id: &RecordId,
    (transaction, prepare): (&mut Transaction, Request),
) -> Option<Decided> {
    let (answers, mut inbox) = mpsc::unbounded_channel();
    shared.ask_all(site, &Ask::Transact(id.clone(), prepare), &answers);
    loop {
        let (from, answer) = answered(&mut inbox).await;
        let Answer::Reply(reply) = answer else {
            continue;
        };
        match transaction.receive(from, &reply) {
            Step::Wait => {}
            Step::Send(request) => {
                shared.ask_all(site, &Ask::Transact(id.clone(), request), &answers);
            }
            Step::Done(decided) => return Some(decided),
            Step::Preempted => return None,
        }
    }
}
