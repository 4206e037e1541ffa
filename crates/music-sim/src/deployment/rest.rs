//! What must be true once faults have stopped and clients have finished: the
//! second half of guarantee 6, and all copies alike.

use std::time::Duration;

use music_core::id::{Key, RecordId};
use music_core::lock_ref::Incarnation;
use music_history::workload::CRITICAL;
use music_store::{LockStore as _, StateStore as _, TableName};

use super::Scene;
use super::world;

/// How long the copies may take to agree.
const AGREE_MAX: Duration = Duration::from_mins(1);
/// How long tickets of clients that are gone may stay: leases of clients and
/// of nodes, and some time for the calls.
const EMPTY_MAX: Duration = Duration::from_mins(1);

/// What is not as it must be.
pub(super) async fn failures(scene: &Scene) -> Vec<String> {
    let mut failures = Vec::new();
    let deployment = &scene.cluster.deployment;
    let site = deployment.site(0);
    let Some(table) = TableName::new(CRITICAL)
        .ok()
        .and_then(|name| site.table(&name))
    else {
        return vec![format!("the table {CRITICAL} is gone")];
    };
    for number in 0..scene.settings.keys {
        let Ok(key) = Key::new(format!("k{number}")) else {
            continue;
        };
        let id = RecordId {
            table: table.id,
            key,
        };
        if let Err(left) = emptied(&site, &id).await {
            failures.push(format!("guarantee 6: {left}"));
        }
        look_back(scene, &site, &id).await;
    }
    let agreed = world::timeout(AGREE_MAX, deployment.settled()).await;
    if agreed.is_err() {
        failures.push(format!("the replicas do not agree after {AGREE_MAX:?}"));
    }
    failures
}

/// Waits until no ticket is in the queue.
async fn emptied(site: &music_store::simulated::Site, id: &RecordId) -> Result<(), String> {
    let deadline = world::after(EMPTY_MAX);
    loop {
        let queue = site.peek(id).await;
        match &queue {
            Ok(queue) if queue.tickets().next().is_none() => return Ok(()),
            _ if world::now() >= deadline => {
                return Err(format!("tickets are left in {id:?}: {queue:?}"));
            }
            _ => world::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// What the queue and the record tell of what has happened.
async fn look_back(scene: &Scene, site: &music_store::simulated::Site, id: &RecordId) {
    if let Ok(queue) = site.peek(id).await {
        if queue.forced().get() > 0 {
            scene.saw("a ticket forced");
        }
        if queue.synced().get() > 0 {
            scene.saw("a key synchronised");
        }
        if queue.last().get() > 20 {
            scene.saw("a key with more than twenty lockRefs");
        }
    }
    for record in scene.cluster.deployment.copies(id) {
        let holding = record
            .stamp_max()
            .and_then(music_core::stamp::Stamp::holding);
        if holding.is_some_and(|holding| holding.incarnation > Incarnation::default()) {
            scene.saw("an adopter's stamp");
        }
    }
}
