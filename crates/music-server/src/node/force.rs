//! Sections and tickets that somebody takes for dead, by hand.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use music_core::critical_section::Input;
use music_core::id::{RecordId, RequestId};
use music_core::lock_queue::{Command, Outcome};
use music_core::lock_ref::LockRef;

use super::{Error, Inner, SectionRef};

/// How often, and how far apart, a section is looked for that a kept ticket may
/// be: for longer than it has no name.
const NAMELESS_LOOKS: u32 = 6;
const NAMELESS_PAUSE: Duration = Duration::from_millis(250);

impl Inner {
    pub(super) async fn force(self: &Arc<Self>, section: &SectionRef) -> Result<bool, Error> {
        if let Some(slot) = self.sections.get(section.request)
            && self.lines.has(&slot)
        {
            self.dismiss(&slot);
            return Ok(true);
        }
        self.name_now(section.request);
        let by_name = |id| self.force_by_name(id, section.request);
        Ok(try_join_all(section.keys.iter().map(by_name))
            .await?
            .contains(&true))
    }

    /// Has the queues told now which kept tickets are this section's, if it is
    /// here. To force such a ticket by its number could hit the next section.
    fn name_now(self: &Arc<Self>, request: RequestId) {
        let Some(slot) = self.sections.get(request) else {
            return;
        };
        let mut machine = slot.lock();
        machine.section.name_now(self.clock.now());
        let effects = self.step_locked(&slot, &mut machine, Input::Wake);
        drop(machine);
        self.perform(&slot, effects);
    }

    /// Forces a section that may be another node's; one under a kept ticket has
    /// no name in its first second.
    async fn force_by_name(&self, id: &RecordId, request: RequestId) -> Result<bool, Error> {
        let command = Command::ForceSection(request);
        let mut looks = 0;
        loop {
            let applied = self.command_alone(id, command).await?;
            let found = applied.outcome != Outcome::Gone;
            // It may have been given its name right after that.
            let named = applied.queue.ticket_of(request).is_some();
            let may_come = named || applied.queue.has_kept();
            if found || looks == NAMELESS_LOOKS || !may_come {
                return Ok(found);
            }
            looks += 1;
            tokio::time::sleep(NAMELESS_PAUSE).await;
        }
    }

    pub(super) async fn force_ticket(
        &self,
        id: &RecordId,
        lock_ref: LockRef,
    ) -> Result<bool, Error> {
        let command = Command::Force {
            lock_ref,
            owner: None,
        };
        let applied = self.command_alone(id, command).await?;
        Ok(applied.outcome != Outcome::Gone)
    }
}
