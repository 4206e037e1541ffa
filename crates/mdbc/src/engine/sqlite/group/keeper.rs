//! What ends a group.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::super::{Database, Inner};
use super::Group;
use crate::clock;

/// How long a group takes members once the first is acknowledged. What it has is in
/// the log alone so long, and is replayed after a crash.
const LIFE: Duration = Duration::from_secs(1);

/// Ends a group: when the outcome of all is known and nobody runs on top of them,
/// or some time after that of the first is, or as soon as somebody waits for it.
/// It keeps no database open that everybody else has left.
pub(super) async fn keep(database: Weak<Inner>, group: Weak<Group>) {
    let strong = || Some((Database::of(&database)?, group.upgrade()?));
    let first = group.upgrade().map(|group| group.first());
    let life = async {
        if let Some(first) = first {
            first.await;
        }
        clock::sleep(LIFE).await;
    };
    let mut life = pin!(life);
    while let Some((database, group)) = strong() {
        let (fates, wanted) = (group.fates(), group.wanted.clone());
        drop((database, group));
        tokio::select! {
            biased;
            () = wanted.cancelled() => break,
            () = &mut life => break,
            fates = fates => {
                if fates.iter().any(Result::is_err) {
                    break;
                }
            }
        }
        let Some((database, group)) = strong() else {
            return;
        };
        if let Some(permit) = database.permit_if_free() {
            if group.is_settled() {
                return end(&database, &group, permit).await;
            }
            continue;
        }
        drop(database);
        tokio::select! {
            biased;
            () = wanted.cancelled() => break,
            () = &mut life => break,
            () = group.moved.notified() => {}
        }
    }
    let Some((strong_database, strong_group)) = strong() else {
        return;
    };
    strong_group.close();
    let permit = strong_database.permit_of_runner().await;
    let fates = strong_group.fates();
    drop((strong_database, strong_group));
    drop(fates.await);
    if let (Ok(permit), Some((database, group))) = (permit, strong()) {
        end(&database, &group, permit).await;
    }
}

async fn end(database: &Database, group: &Arc<Group>, permit: OwnedSemaphorePermit) {
    if let Err(error) = database.end_group(group).await {
        tracing::error!(%error, "a group of transactions could not be ended");
    }
    drop(permit);
}
