//! How replicas come to agree: each compares itself with another now and then,
//! and sends it what that lacks.

use std::sync::{Arc, Weak};

use music_core::id::RecordId;
use music_core::record::Record;
use music_core::replica::acceptor::Request;

use super::Shared;
use super::replica::{Ask, Replica};

/// Heals until the deployment is gone.
pub(super) async fn run(shared: Weak<Shared>) {
    loop {
        let Some(pause) = shared.upgrade().map(|shared| shared.healing_pause()) else {
            return;
        };
        tokio::time::sleep(pause).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let sites = shared.sites();
        let (from, step) = (
            shared.network.below(sites),
            shared.network.below(sites.max(2) - 1),
        );
        pass(&shared, from, (from + step + 1) % sites);
    }
}

/// Sends `to` all that it lacks of what `from` has.
pub(super) fn pass(shared: &Arc<Shared>, from: usize, to: usize) {
    let asks = {
        let replicas = shared.replicas();
        match (replicas.get(from), replicas.get(to)) {
            (Some(has), Some(lacks)) if !has.down && from != to => lacking(has, lacks),
            _ => return,
        }
    };
    for ask in asks {
        shared.ask(from, to, ask, None);
    }
}

/// What one replica can tell another.
fn lacking(has: &Replica, lacks: &Replica) -> Vec<Ask> {
    let differs = |(id, record): &(&RecordId, &Record)| lacks.records.get(*id) != Some(*record);
    let records = has.records.iter().filter(differs);
    let records = records.map(|(id, record)| Ask::Merge(id.clone(), record.clone()));
    let queues = has
        .queues
        .keys()
        .flat_map(|id| lacking_queue(has, lacks, id));
    records.chain(queues).collect()
}

fn lacking_queue(has: &Replica, lacks: &Replica, id: &RecordId) -> Vec<Ask> {
    let (known, other) = (has.queue(id), lacks.queue(id));
    let mut asks = Vec::new();
    if known.accepted() > other.accepted() {
        let accept = Request::Accept(known.accepted(), Arc::clone(known.value()));
        asks.push(Ask::Transact(id.clone(), accept));
    }
    if known.released() > other.released() {
        asks.push(Ask::Release(id.clone(), known.released()));
    }
    asks
}
