//! Hints from a register that tells of its changes.

use std::sync::Arc;

use music_core::id::RecordId;

use super::register::Register;
use super::{Shared, chance, worker};

/// Follows a register for as long as it is watched.
pub(super) async fn follow<R: Register>(shared: Arc<Shared<R>>, id: RecordId) {
    for failures in 0_u32.. {
        let changed = |seen| {
            let known = worker::known(&seen).ok();
            let marks = known.as_ref().map(|known| known.value.queue.marks());
            if let Some(known) = known {
                shared.keys.hear(&id, known);
            }
            shared.watches.tell(&id, marks);
        };
        let failure = shared.register.follow(&id, changed).await;
        tracing::debug!(?failure, "a watch broke and begins again");
        chance::back_off(failures).await;
    }
}
