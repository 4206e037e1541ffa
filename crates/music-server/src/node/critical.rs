//! The operations of critical sections, as clients ask for them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use music_core::critical_section::{
    self, CriticalSection, Input, Kept, KeyIndex, Lost, OpId, Put, Reply, Status, Terms,
};
use music_core::id::{IdempotencyKey, RecordId, RequestId, SessionId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_store::{Applied, LockStore, TableMode};

use super::eventual::fingerprint;
use super::sections::{OpResult, Slot};
use super::{Change, Error, Inner, Released, SectionRef, SectionView, spans};

impl Inner {
    pub(super) async fn create_lock_ref(
        self: &Arc<Self>,
        section: SectionRef,
        wait: Duration,
    ) -> Result<SectionView, Error> {
        for id in &section.keys {
            self.check_mode(id, TableMode::Critical)?;
        }
        let slot = match self.sections.get(section.request) {
            Some(slot) if is_same(&slot, &section) => slot,
            Some(_) => return Err(Error::IdempotencyKeyReused),
            None => self.open(&section, Input::Create, None).await?,
        };
        let view = self.wait_for_grant(&slot, wait).await?;
        match view.state {
            // It was cut off before it could be granted: nothing is lost.
            Status::Lost(Lost::NodeLeaseExpired) => {
                self.dismiss(&slot);
                Err(Error::NodeLeaseExpired)
            }
            // The client has asked another node before: its tickets are there.
            Status::Lost(Lost::Adopted) => {
                let slot = self.open(&section, Input::Adopt, Some(&slot)).await?;
                self.wait_for_grant(&slot, wait).await
            }
            _ => Ok(view),
        }
    }

    pub(super) async fn acquire(
        self: &Arc<Self>,
        section: &SectionRef,
        wait: Duration,
    ) -> Result<SectionView, Error> {
        let former = self.sections.get(section.request);
        if let Some(slot) = &former {
            // After its own lease ran out, or another node took the section
            // over, this one is to it as any other node: it may take the
            // tickets over if they are there.
            let status = slot.lock().section.status();
            let lapsed = Lost::NodeLeaseExpired;
            if !matches!(status, Status::Lost(lost) if lost == lapsed || lost == Lost::Adopted) {
                return self.wait_for_grant(slot, wait).await;
            }
        } else if let Some(Ok(_)) = self.sections.ended(section.request) {
            // A release is the last word; of one that was lost here, another
            // node may still have the tickets.
            return Err(Error::Section(critical_section::Error::Released));
        }
        for id in &section.keys {
            self.check_mode(id, TableMode::Critical)?;
        }
        let slot = self.open(section, Input::Adopt, former.as_ref()).await?;
        let view = self.wait_for_grant(&slot, wait).await?;
        match view.state {
            Status::Lost(Lost::Preempted) => {
                self.dismiss(&slot);
                Err(Error::NoSuchSection)
            }
            _ => Ok(view),
        }
    }

    /// Puts a new machine in its place, instead of a former one if there is
    /// one, and gives it its first event.
    async fn open(
        self: &Arc<Self>,
        section: &SectionRef,
        first: Input,
        former: Option<&Arc<Slot>>,
    ) -> Result<Arc<Slot>, Error> {
        if self.closing.load(Ordering::Relaxed) {
            return Err(Error::ShuttingDown);
        }
        if former.is_none() && self.sections.len() >= self.config.sections_max {
            return Err(Error::TooManySections);
        }
        if !self.lease_valid(self.config.call_timeout).await {
            return Err(Error::NodeLeaseExpired);
        }
        if let Some(former) = former {
            self.retire(former).await?;
        }
        let owner = self.liveness.session().0;
        let taken = match first {
            Input::Create => self.take_kept(section, owner).await,
            _ => Vec::new(),
        };
        let Some(slot) = self.slot_for(section, owner, &taken) else {
            self.give_back_taken(taken);
            return Err(Error::Section(critical_section::Error::KeyNotInSet));
        };
        match self.sections.insert(slot) {
            Ok(slot) => {
                self.begin(section, &slot, first, &taken);
                Ok(slot)
            }
            // Somebody else was faster with the same request.
            Err(slot) => {
                self.give_back_taken(taken);
                Ok(slot)
            }
        }
    }

    /// A section that has not had an event yet; `None` where its keys are no set.
    pub(super) fn slot_for(
        &self,
        section: &SectionRef,
        owner: SessionId,
        taken: &[(KeyIndex, Kept)],
    ) -> Option<Arc<Slot>> {
        let terms = Terms {
            request: section.request,
            mode: section.mode,
            client_lease: section.lease,
            owner,
            node_lease: self.config.lease,
            moves: section.moves,
            keeps: self.affinity().is_some(),
        };
        let machine = CriticalSection::new(terms, section.keys.clone(), self.clock.now());
        let mut machine = machine?;
        for (key, kept) in taken {
            machine.take_kept(*key, kept.clone());
        }
        Some(Slot::new(machine, self.section_span(section)))
    }

    /// Gives a section its first event; one that is to stand in line has it when
    /// its turn has come.
    fn begin(
        self: &Arc<Self>,
        section: &SectionRef,
        slot: &Arc<Slot>,
        first: Input,
        taken: &[(KeyIndex, Kept)],
    ) {
        let creates = matches!(first, Input::Create);
        if creates && taken.is_empty() && self.stand_in_line(section, slot) {
            return;
        }
        if let ([id], [_]) = (section.keys.as_slice(), taken) {
            self.lines.run(id, section.request);
        }
        self.step(slot, first);
        self.hand_over(slot, taken);
    }

    /// Waits until the section's place is known, then up to `wait` for the
    /// grant. To wait here proves that the client lives.
    async fn wait_for_grant(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        wait: Duration,
    ) -> Result<SectionView, Error> {
        let began = self.clock.now();
        let queued_by = began.after(self.config.call_timeout);
        let granted_by = began.after(wait);
        loop {
            let changed = slot.changed.notified();
            self.step(slot, Input::Renew);
            let (view, queued, lease) = {
                let machine = slot.lock();
                let lease = machine.section.terms().client_lease;
                (view(&machine.section), machine.section.is_queued(), lease)
            };
            let deadline = if queued {
                granted_by
            } else {
                queued_by.max(granted_by)
            };
            let now = self.clock.now();
            if view.state != Status::Waiting || (queued && now >= deadline) {
                return Ok(view);
            }
            if now >= deadline {
                self.dismiss(slot);
                return Err(Error::Store(music_store::Error::TimedOut));
            }
            let renewal = now.after(lease.renewal_interval());
            let until = self.clock.instant(deadline.min(renewal));
            let _changed = tokio::time::timeout_at(until, changed).await;
            self.gate.pass().await;
        }
    }

    /// Makes room for another machine that takes the same tickets over.
    ///
    /// Not before every enqueue of this one is answered, and every kept ticket has
    /// left that does not bear the section's name: what the other machine does not
    /// find when it looks would be nobody's, and this node's lease would keep it alive
    /// for ever.
    async fn retire(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), Error> {
        let answered = async {
            loop {
                let changed = slot.changed.notified();
                if !slot.lock().section.has_loose_ends() {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(self.config.call_timeout, answered)
            .await
            .is_err()
        {
            return Err(Error::Store(music_store::Error::TimedOut));
        }
        // Somebody else has put another one in its place.
        if !self.sections.remove(slot) {
            return Ok(());
        }
        self.leave_line(slot);
        let watched: Vec<_> = slot.lock().section.watched().cloned().collect();
        for id in watched {
            self.watches.remove(&self.locks, &id, slot.request);
        }
        Ok(())
    }

    /// Ends a section that no client will ask for any more.
    pub(super) fn dismiss(self: &Arc<Self>, slot: &Arc<Slot>) {
        self.ask(slot, |op| Input::Release { op, confirm: false });
    }

    pub(super) fn renew(self: &Arc<Self>, request: RequestId) -> Result<SectionView, Error> {
        let slot = self.slot(request)?;
        self.step(&slot, Input::Renew);
        let view = view(&slot.lock().section);
        Ok(view)
    }

    pub(super) fn section(&self, request: RequestId) -> Result<SectionView, Error> {
        let slot = self.slot(request)?;
        let view = view(&slot.lock().section);
        Ok(view)
    }

    pub(super) async fn section_changed(
        &self,
        request: RequestId,
        seen: Status,
    ) -> Result<SectionView, Error> {
        loop {
            let slot = self.slot(request)?;
            let changed = slot.changed.notified();
            let view = view(&slot.lock().section);
            if view.state != seen {
                return Ok(view);
            }
            // A section that ended between the look-up and here tells nobody
            // any more.
            self.slot(request)?;
            changed.await;
            self.gate.pass().await;
        }
    }

    pub(super) fn slot(&self, request: RequestId) -> Result<Arc<Slot>, Error> {
        self.sections
            .get(request)
            .ok_or_else(|| match self.sections.ended(request) {
                Some(Ok(_)) => Error::Section(critical_section::Error::Released),
                Some(Err(error)) => Error::Section(error),
                None => Error::NotHere,
            })
    }

    /// Gives a section an operation; the reply comes later.
    fn ask(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        input: impl FnOnce(OpId) -> Input,
    ) -> tokio::sync::oneshot::Receiver<OpResult> {
        let mut machine = slot.lock();
        let (op, reply) = machine.expect_reply();
        let effects = self.step_locked(slot, &mut machine, input(op));
        drop(machine);
        self.perform(slot, effects);
        reply
    }

    pub(super) async fn reply(
        &self,
        reply: tokio::sync::oneshot::Receiver<OpResult>,
    ) -> Result<Reply, Error> {
        // Its calls are bounded in time each; a confirmed release may need
        // some of them again and again.
        match tokio::time::timeout(self.config.call_timeout * 2, reply).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) | Err(_) => Err(critical_section::Error::Unknown.into()),
        }
    }

    fn key_index(slot: &Slot, id: &RecordId) -> Result<KeyIndex, Error> {
        let index = slot.lock().section.key_index(id);
        index.ok_or(Error::Section(critical_section::Error::KeyNotInSet))
    }

    pub(super) async fn critical_get(
        self: &Arc<Self>,
        request: RequestId,
        id: &RecordId,
    ) -> Result<Record, Error> {
        let slot = self.slot(request)?;
        let key = Self::key_index(&slot, id)?;
        let reply = self.ask(&slot, |op| Input::Get(op, key));
        match self.reply(reply).await? {
            Reply::Record(record) => Ok(record),
            Reply::Written(_) | Reply::Released | Reply::Confirmed => {
                Err(critical_section::Error::Unavailable.into())
            }
        }
    }

    pub(super) async fn critical_put(
        self: &Arc<Self>,
        request: RequestId,
        id: &RecordId,
        change: Change,
        name: Option<IdempotencyKey>,
    ) -> Result<Stamp, Error> {
        let slot = self.slot(request)?;
        let key = Self::key_index(&slot, id)?;
        let identity = name.map(|name| (name, fingerprint(id, &change)));
        let reply = self.ask(&slot, |op| {
            Input::Put(
                op,
                Put {
                    key,
                    change,
                    identity,
                },
            )
        });
        match self.reply(reply).await? {
            Reply::Written(stamp) => Ok(stamp),
            Reply::Record(_) | Reply::Released | Reply::Confirmed => {
                Err(critical_section::Error::Unknown.into())
            }
        }
    }

    pub(super) async fn release(
        self: &Arc<Self>,
        section: &SectionRef,
        confirm: bool,
    ) -> Result<Released, Error> {
        let request = section.request;
        let Some(slot) = self.sections.get(request) else {
            return match self.sections.ended(request) {
                Some(result) => ended(&result, confirm),
                // Somebody else keeps it, and may have puts under way.
                None if self.force(section).await? => Ok(released(confirm)),
                None => Err(Error::NoSuchSection),
            };
        };
        let reply = self.ask(&slot, |op| Input::Release { op, confirm });
        self.reply(reply).await.map(|_| released(confirm))
    }

    /// Gives the lock store a command that no section asks for.
    pub(super) async fn command_alone(
        &self,
        id: &RecordId,
        command: Command,
    ) -> Result<Applied, Error> {
        let applied = self.in_time(self.locks.apply(id, command));
        let (name, rounds) = (spans::command_name(&command), self.locks.command_rounds());
        self.call_alone((name, id), rounds, applied).await
    }

    pub(super) async fn queue(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        let peeked = self.in_time(self.locks.peek(id));
        self.call_alone(("engine peek", id), 1, peeked).await
    }

    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, music_store::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.config.call_timeout, call).await {
            Ok(result) => Ok(result?),
            Err(_elapsed) => Err(Error::Store(music_store::Error::TimedOut)),
        }
    }

    /// Waits until no section is open any more.
    pub(super) async fn all_ended(&self) {
        while let Some(slot) = self.sections.all().into_iter().next() {
            let changed = slot.changed.notified();
            if self.sections.get(slot.request).is_some() {
                changed.await;
            }
        }
    }
}

/// Whether the section is the one that this lockRef asks for.
fn is_same(slot: &Slot, section: &SectionRef) -> bool {
    let machine = slot.lock();
    machine.section.terms().mode == section.mode
        && machine
            .section
            .lock_refs()
            .map(|(id, _)| id)
            .eq(&section.keys)
}

fn view(section: &CriticalSection) -> SectionView {
    let state = section.status();
    let tokens = match state {
        Status::Granted => section
            .tokens()
            .map(|(id, token)| (id.clone(), token))
            .collect(),
        Status::Waiting | Status::Lost(_) | Status::Released => Vec::new(),
    };
    SectionView { state, tokens }
}

fn released(confirm: bool) -> Released {
    if confirm {
        Released::Confirmed
    } else {
        Released::Plain
    }
}

/// The answer to a release that was answered before.
fn ended(result: &OpResult, confirm: bool) -> Result<Released, Error> {
    match result {
        Ok(Reply::Confirmed) => Ok(released(confirm)),
        Ok(_) if confirm => Err(Error::Section(critical_section::Error::Released)),
        Ok(_) => Ok(Released::Plain),
        Err(error) => Err(Error::Section(*error)),
    }
}
