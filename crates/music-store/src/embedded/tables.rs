//! Creating and dropping tables.
//!
//! Two rounds: one to see that a majority is there, then the change, made
//! durable under one lock; one to let the sites know. A site that is not
//! reached learns of it when it is connected again.

use std::sync::{Arc, Weak};

use music_core::id::{ReplicaId, TableId};
use music_core::quorum::Tally;
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::CATALOGUE;
use super::catalogue::View;
use super::shared::{Ask, Shared, storage};
use super::writer::{Effect, Work};
use crate::{Error, Table, TableMode, TableName};

/// Creates a table, or finds it.
pub(super) async fn create(
    shared: &Arc<Shared>,
    site: ReplicaId,
    name: &TableName,
    mode: TableMode,
) -> Result<Table, Error> {
    round(shared, site).await?;
    let view = {
        let changing = Arc::clone(&shared.catalogue_change).lock_owned().await;
        let current = shared.observer.views.current();
        match current.with(name, mode) {
            Some((view, _)) => keep(shared, view, changing).await?,
            None => current,
        }
    };
    publish(shared, site, &view).await?;
    view.table(name).cloned().ok_or(Error::NoSuchTable)
}

/// Drops a table. Returns whether it was there.
pub(super) async fn remove(
    shared: &Arc<Shared>,
    site: ReplicaId,
    name: &TableName,
) -> Result<bool, Error> {
    round(shared, site).await?;
    let (view, there) = {
        let changing = Arc::clone(&shared.catalogue_change).lock_owned().await;
        let current = shared.observer.views.current();
        match current.without(name) {
            Some(view) => (keep(shared, view, changing).await?, true),
            None => (current, false),
        }
    };
    publish(shared, site, &view).await?;
    Ok(there)
}

/// Asks all sites for a sign of life, and waits for a majority.
async fn round(shared: &Arc<Shared>, site: ReplicaId) -> Result<(), Error> {
    let (answers, mut inbox) = mpsc::unbounded_channel();
    shared.ask(
        site,
        shared.all().map(|to| (to, Ask::Ping, None)),
        Some(&answers),
    );
    let mut tally = Tally::new(usize::from(shared.replicas));
    while !tally.is_majority() {
        match inbox.recv().await {
            Some((from, _)) => tally.answer(from),
            None => std::future::pending().await,
        }
    }
    Ok(())
}

/// Makes a catalogue the one on disk.
async fn keep(
    shared: &Arc<Shared>,
    view: View,
    changing: OwnedMutexGuard<()>,
) -> Result<Arc<View>, Error> {
    let work = Work::Keep(CATALOGUE, Some(view.encode()));
    // A task of its own: a caller that leaves must not leave the disk ahead of
    // the memory, nor open the lock too early.
    let (keeper, view) = (Arc::clone(shared), Arc::new(view));
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let kept = Arc::clone(&view);
    shared.spawn(async move {
        let result = keeper.perform(ReplicaId(0), work).await;
        if result.is_ok() {
            keeper.observer.views.set_current(kept);
        }
        drop(changing);
        if sender.send(result).is_err() {
            tracing::debug!("a change of the catalogue was kept after its caller had left");
        }
    });
    match receiver.await {
        Ok(result) => result.map(|_| view),
        Err(_) => Err(storage(super::Fault::Closed)),
    }
}

/// Lets all sites know, and waits for a majority.
async fn publish(shared: &Arc<Shared>, site: ReplicaId, view: &Arc<View>) -> Result<(), Error> {
    let mut tally = Tally::new(usize::from(shared.replicas));
    let (sender, mut receiver) = mpsc::unbounded_channel();
    for to in shared.all() {
        let (view, sender) = (Arc::clone(view), sender.clone());
        send(shared, [site, to], view, move || sender.send(to).is_ok());
    }
    while !tally.is_majority() {
        match receiver.recv().await {
            Some(from) => tally.answer(from),
            None => std::future::pending().await,
        }
    }
    Ok(())
}

/// Lets one site know; `told` runs at the sender when it hears that.
pub(super) fn send(
    shared: &Arc<Shared>,
    [from, to]: [ReplicaId; 2],
    view: Arc<View>,
    told: impl FnOnce() -> bool + Send + 'static,
) {
    let there = Arc::clone(shared);
    shared.network.send(from, to, move |slot| {
        if !there.is_running(to) {
            return;
        }
        learn(&there, to, &view);
        drop(slot);
        there.network.send(to, from, move |_slot| {
            if !told() {
                tracing::trace!("the caller has left");
            }
        });
    });
}

/// A site takes over a newer view, tells the others, and removes the records
/// of tables that it now knows to be dropped.
pub(super) fn learn(shared: &Arc<Shared>, site: ReplicaId, view: &Arc<View>) {
    if !shared.observer.views.tell(site, view) {
        return;
    }
    for other in shared.all() {
        shared.healing.wake(site, other);
    }
    for table in view.purging() {
        purge(shared, site, table);
    }
}

/// Removes what an earlier run left of dropped tables; all sites know of the
/// drops from the start.
pub(super) async fn purge_leftovers(shared: Weak<Shared>) {
    let Some(shared) = shared.upgrade() else {
        return;
    };
    let changing = Arc::clone(&shared.catalogue_change).lock_owned().await;
    let current = shared.observer.views.current();
    if current.purging().next().is_none() {
        return;
    }
    for table in current.purging() {
        for site in shared.all() {
            if !purge_one(&shared, site, table).await {
                return;
            }
        }
    }
    if let Err(error) = keep(&shared, current.purged(), changing).await {
        tracing::warn!(%error, "could not note that dropped tables are removed");
    }
}

/// Returns whether all records are gone.
async fn purge_one(shared: &Shared, site: ReplicaId, table: TableId) -> bool {
    loop {
        match shared.perform(site, Work::Purge(table)).await {
            Ok(Effect::Purged { more: true }) => {}
            Ok(_) => return true,
            Err(error) => {
                // The next opening tries again.
                tracing::warn!(%error, "a dropped table was not removed from disk");
                return false;
            }
        }
    }
}

/// Removes a dropped table's records at one replica, in the background.
fn purge(shared: &Arc<Shared>, site: ReplicaId, table: TableId) {
    let there = Arc::clone(shared);
    let outstanding = shared.healing.begin();
    shared.spawn(async move {
        purge_one(&there, site, table).await;
        drop(outstanding);
    });
}
