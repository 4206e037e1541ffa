//! Turns: how a node that always comes first lets in those that are far away.
//!
//! ```text
//!   register  ──A────A────A──────────────────B───A──      A is near, B is far
//!                  ▲ refused      ▲ refused  ▲ in
//!   B         ─────┴──────────────┴──────────┴─────
//!                   one round trip ▶
//! ```
//!
//! Who was refused tries again at once, and comes in if nobody writes for as
//! long as its round trip. So who has written, and finds that others were
//! refused meanwhile, leaves a pause before it enqueues again: random, of up
//! to twice as long for each write that finds that, and half as long for each
//! time that another was faster. Nodes that are near each other soon write in
//! turn, with hardly a pause; where one is far, pauses grow beyond its round
//! trip. A write carries all that waits at its node, so turns are of nodes.
//!
//! Not every pause that lets a node in shortens the next: of three nodes two
//! that are near would then let in each other only.
//!
//! Others are forgotten after some time, not after some writes: to a node that
//! writes all the time, one that is far is refused seldom.

use std::time::Duration;

use tokio::time::Instant;

use super::chance;

/// How long the pause is at most where others were found once.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
/// The pause is doubled less often than this: to a second, three times the
/// round trip to the other side of the world.
const LEVEL_MAX: u32 = 10;
/// Others are taken to be gone after this time.
const QUIET: Duration = Duration::from_secs(2);

/// Who else wants a key, as one node sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crowd {
    /// The pause is [`PAUSE_FIRST`], doubled so often less once; none at 0.
    level: u32,
    /// When others were last noticed.
    noticed: Option<Instant>,
    /// Enqueues wait until then.
    pub(super) closed_until: Option<Instant>,
}

impl Crowd {
    /// After a write of this node.
    pub(super) fn wrote(self, others_were_refused: bool, now: Instant) -> Self {
        let mut crowd = self;
        if others_were_refused {
            crowd.level = self.level.saturating_add(1).min(LEVEL_MAX);
            crowd.noticed = Some(now);
        } else if self.noticed.is_none_or(|then| now > then + QUIET) {
            return Self::default();
        }
        crowd.closed_until = crowd.pause().map(|pause| now + pause);
        crowd
    }

    /// After others were faster.
    pub(super) fn was_refused(self, now: Instant) -> Self {
        Self {
            level: self.level.saturating_sub(1),
            noticed: Some(now),
            closed_until: None,
        }
    }

    fn pause(self) -> Option<Duration> {
        let doubled = 2_u32.checked_pow(self.level.checked_sub(1)?)?;
        Some(chance::up_to(PAUSE_FIRST.saturating_mul(doubled)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_while_others_are_refused_and_shrink_when_they_come_in() {
        let now = chance::now();
        let alone = Crowd::default().wrote(false, now);
        assert_eq!((alone.level, alone.closed_until), (0, None));
        let mut crowd = alone;
        for level in 1..=2 * LEVEL_MAX {
            crowd = crowd.wrote(true, now);
            assert_eq!(crowd.level, level.min(LEVEL_MAX));
            let until = crowd.closed_until.unwrap();
            assert!(until < now + Duration::from_millis(1 << crowd.level));
        }
        let let_in = crowd.was_refused(now);
        assert_eq!((let_in.level, let_in.closed_until), (LEVEL_MAX - 1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_forgotten_when_they_have_been_quiet() {
        let now = chance::now();
        let mut crowd = Crowd::default().wrote(true, now);
        for _ in 0..1_000 {
            crowd = crowd.wrote(false, now + QUIET);
        }
        assert_eq!(crowd.level, 1);
        let later = now + QUIET + Duration::from_millis(1);
        assert_eq!(crowd.wrote(false, later).closed_until, None);
    }
}
