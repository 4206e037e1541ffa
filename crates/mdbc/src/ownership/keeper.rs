//! What ends a turn: its age, another transaction's need, or that nobody uses it.

use std::sync::Arc;

use crate::clock::{self, Instant};
use crate::ownership::table::TurnId;
use crate::ownership::{Database, Shared};
use crate::redo_log::Turn;

/// Keeps a turn until nobody uses it and it is closed or was idle for a while,
/// and ends it.
pub(super) async fn keep<D: Database>(shared: Arc<Shared<D>>, id: TurnId, turn: Arc<Turn>) {
    let taken = loop {
        drain(&shared, id, &turn).await;
        // Somebody may have joined it meanwhile.
        if let Some(taken) = shared.table().take(id) {
            break taken;
        }
    };
    drop(turn);
    let last = Arc::into_inner(taken);
    if let Some(turn) = last
        && let Err(error) = Box::pin(turn.end()).await
    {
        tracing::debug!(%error, "a turn ended without a release");
    }
    shared.table().ended(id);
    shared.changed.notify_waiters();
}

/// Waits until nobody uses the turn, and nobody should.
async fn drain<D: Database>(shared: &Shared<D>, id: TurnId, turn: &Turn) {
    let (mut idle_since, mut closed_since) = (None::<Instant>, None::<Instant>);
    loop {
        let used = shared.used.notified();
        if turn.is_due() {
            shared.table().close(id);
        }
        let (is_idle, is_closed) = shared.table().is_idle(id);
        let now = clock::now();
        let since = |mark: &mut Option<Instant>, is_so: bool| {
            *mark = is_so.then(|| mark.unwrap_or(now));
            mark.map(|mark| now.saturating_duration_since(mark))
                .unwrap_or_default()
        };
        let idle = since(&mut idle_since, is_idle);
        let closed = since(&mut closed_since, is_closed);
        if is_idle && (is_closed || idle >= shared.pace.idle) {
            return;
        }
        if closed >= shared.pace.drain && turn.broken().is_none() {
            tracing::warn!("a transaction takes too long: its turn is broken off");
            turn.break_off();
        }
        let pause = match (is_idle, is_closed) {
            (true, _) => shared.pace.idle.saturating_sub(idle),
            (false, false) => turn.time_left(),
            (false, true) => shared.pace.drain.saturating_sub(closed),
        };
        if turn.broken().is_some() && !is_idle {
            used.await;
            continue;
        }
        tokio::select! {
            () = used => {}
            () = clock::sleep(pause) => {}
        }
    }
}
