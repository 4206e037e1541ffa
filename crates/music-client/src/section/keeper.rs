//! Keeps a section alive while it is held, and finds out when it is lost.
//!
//! Two ways lead to the news: the answers to renewals, a third of the lease
//! apart, and the node's events, which tell at once. The first alone would do.

use std::sync::Arc;
use std::time::Duration;

use music_api::lock::{Lock, LockState};
use music_api::watch;
use reqwest::Method;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::call::{Call, Repeat};
use crate::clock;
use crate::error::{Error, LostReason};
use crate::section::place::Spot;
use crate::section::seat::Seat;
use crate::sse::Parser;

/// Keeps the section alive until the guard is dropped or the lock is lost.
pub(crate) fn start(seat: &Arc<Seat>) -> DropGuard {
    let stop = CancellationToken::new();
    let keep = stop
        .clone()
        .run_until_cancelled_owned(keep(Arc::clone(seat)));
    drop(seat.client.keepers.spawn(keep));
    stop.drop_guard()
}

async fn keep(seat: Arc<Seat>) {
    tokio::select! {
        biased;
        () = renew(&seat) => {}
        () = follow(&seat) => {}
        _ = seat.lost() => {}
    }
}

/// Proves to the node that this client lives, until the lock is lost.
async fn renew(seat: &Seat) {
    let mut failures = 0;
    loop {
        let valid_until = seat.valid_until();
        let due = valid_until
            .checked_sub(seat.lease / 3 * 2)
            .unwrap_or(valid_until);
        tokio::time::sleep_until(due).await;
        if failures > 0 {
            seat.client.pause(failures).await;
        }
        match tokio::time::timeout_at(seat.valid_until(), renew_once(seat)).await {
            Ok(Ok(())) => failures = 0,
            Ok(Err(Error::Lost(_))) => return,
            Ok(Err(error)) => {
                failures += 1;
                tracing::debug!(%error, failures, "a section could not be renewed");
            }
            Err(_) if seat.valid_until() <= clock::now() => {
                seat.lose(LostReason::LeaseExpired);
                return;
            }
            Err(_) => {}
        }
    }
}

/// Proves life anew where the wait for the grant has used most of the lease
/// up: the node has heard this client all the while, but only the node knows.
pub(crate) async fn freshen(seat: &Seat) -> Result<(), Error> {
    let left = seat.valid_until().saturating_duration_since(clock::now());
    if left > seat.lease / 2 {
        return Ok(());
    }
    renew_once(seat).await
}

/// Proves life once: the node that keeps the section says that it is held.
pub(super) async fn renew_once(seat: &Seat) -> Result<(), Error> {
    let mut call = Call::change(Method::POST, seat.path("/renew"), Repeat::SameNode);
    // A node that is silent for a third leaves time to turn to another one.
    call.limit = seat.lease / 3;
    let began = clock::now();
    let lock: Lock = seat.perform(&call, None).await?.json()?;
    if is_over(&lock) {
        return Err(seat.lose(LostReason::Preempted).into());
    }
    seat.prove(began);
    Ok(())
}

/// Listens to the events of the node that keeps the section.
async fn follow(seat: &Seat) {
    // Most sections are over before this is worth a request.
    clock::sleep(seat.lease / 20).await;
    let mut failures = 0;
    loop {
        let spot = seat.spot();
        let heard = tokio::select! {
            biased;
            heard = listen(seat, spot) => heard.unwrap_or(false),
            () = seat.moved(spot) => true,
        };
        failures = if heard { 1 } else { failures + 1 };
        let pause = seat
            .client
            .options
            .retry
            .pause(failures, crate::dice::draw());
        clock::sleep(pause.max(PAUSE_MIN)).await;
    }
}

/// The shortest time between two connections for events.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Whether anything was heard before the stream ended.
async fn listen(seat: &Seat, spot: Spot) -> Result<bool, Error> {
    let call = Call::read(seat.path("/events"));
    let mut response = seat.client.transport.open(seat.url(spot), &call).await?;
    let mut parser = Parser::default();
    let mut heard = false;
    while let Ok(Some(bytes)) = response.chunk().await {
        if parser.push(&bytes).is_err() {
            return Ok(heard);
        }
        while let Some(event) = parser.next_event() {
            heard = true;
            let lock = (event.name == watch::LOCK)
                .then(|| serde_json::from_str::<Lock>(&event.data).ok())
                .flatten();
            // A node that the section has left calls it lost, too.
            if lock.is_some_and(|lock| is_over(&lock)) && seat.spot().epoch == spot.epoch {
                seat.lose(LostReason::Preempted);
            }
        }
    }
    Ok(heard)
}

fn is_over(lock: &Lock) -> bool {
    matches!(lock.state, LockState::Lost | LockState::Released)
}
