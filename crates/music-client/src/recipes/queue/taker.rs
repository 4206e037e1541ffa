//! Takers, and the items that they have.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::future::FutureExt as _;
use music_api::table::Record;

use crate::clock::{self, Instant};
use crate::content::Content;
use crate::error::Error;
use crate::recipes::document::{self, Step};
use crate::recipes::queue::lane::{Claim, Entry, Lane};
use crate::recipes::queue::{LANES, Queue, check_most, to_us};
use crate::recipes::refusal::Refusal;
use crate::recipes::table::{self, TABLE};
use crate::records::ScanOptions;
use crate::watch::{Watch, WatchEvent, WatchTarget};

/// How long a claim is valid if nothing else is said.
const CLAIM: Duration = Duration::from_secs(30);
/// The shortest and the longest claim.
const CLAIM_MIN: Duration = Duration::from_millis(100);
const CLAIM_MAX: Duration = Duration::from_hours(24);
/// How long a taker relies on being told: then it looks at all lanes itself.
const LOOK: Duration = Duration::from_secs(10);

/// A taker of a queue's items.
#[derive(Debug)]
pub struct Taker {
    queue: Queue,
    claim: Duration,
    watch: Watch,
    /// The lanes as the nearest replica has them; `None` before they were read.
    lanes: Option<BTreeMap<u64, Lane>>,
}

impl Taker {
    pub(super) fn new(queue: Queue) -> Self {
        let prefix = prefix(&queue).into();
        let table = TABLE.to_owned();
        Self {
            watch: queue.client.watch(&WatchTarget::Records { table, prefix }),
            queue,
            claim: CLAIM,
            lanes: None,
        }
    }

    /// For how long an item is this taker's after it was taken or renewed: from
    /// 100 ms to a day, 30 s if not said.
    ///
    /// # Errors
    /// [`Refusal::Duration`].
    pub fn claim(mut self, claim: Duration) -> Result<Self, Refusal> {
        check_claim(claim)?;
        self.claim = claim;
        Ok(self)
    }

    /// Waits for an item and takes it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and others; an item that may have been taken in
    /// vain is delivered again when its claim has lapsed.
    ///
    /// # Cost
    /// A section with one write; one more for each lane at which another taker
    /// is just then.
    ///
    /// # Cancel safety
    /// An item may be taken in vain.
    pub async fn take(&mut self) -> Result<Item, Error> {
        loop {
            if let Some(item) = self.take_up_to(1).await?.pop() {
                return Ok(item);
            }
        }
    }

    /// Waits for an item, for so long at most, zero to take one that is there;
    /// `None` afterwards.
    ///
    /// # Errors
    /// As [`Taker::take`].
    ///
    /// # Cost
    /// As [`Taker::take`].
    ///
    /// # Cancel safety
    /// As [`Taker::take`].
    pub async fn take_within(&mut self, wait: Duration) -> Result<Option<Item>, Error> {
        Ok(self.take_up_to_within(1, wait).await?.pop())
    }

    /// Waits for items and takes the first of them, up to so many: all of one
    /// lane, which pushes of one client fill.
    ///
    /// # Errors
    /// As [`Taker::take`]; [`Refusal::OutOfBounds`] for none, or more than 32.
    ///
    /// # Cost
    /// As [`Taker::take`], whatever their number.
    ///
    /// # Cancel safety
    /// As [`Taker::take`].
    pub async fn take_up_to(&mut self, most: usize) -> Result<Vec<Item>, Error> {
        loop {
            let items = self.take_until(most, None).await?;
            if !items.is_empty() {
                return Ok(items);
            }
        }
    }

    /// Waits for items, for so long at most, and takes the first of them; none
    /// afterwards.
    ///
    /// # Errors
    /// As [`Taker::take_up_to`].
    ///
    /// # Cost
    /// As [`Taker::take`].
    ///
    /// # Cancel safety
    /// As [`Taker::take`].
    pub async fn take_up_to_within(
        &mut self,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Item>, Error> {
        // A wait beyond all clocks is one without a limit.
        let until = clock::now().checked_add(wait);
        self.take_until(most, until).await
    }

    /// Only waits are cut short, never a take: that would claim items in vain.
    async fn take_until(
        &mut self,
        most: usize,
        until: Option<Instant>,
    ) -> Result<Vec<Item>, Error> {
        check_most(most)?;
        loop {
            self.see().await?;
            let candidates = self.candidates();
            // At a lane at which another taker is, one would wait for that one.
            for (at, number) in candidates.iter().enumerate() {
                let last = at + 1 == candidates.len();
                let wait = if last {
                    clock::left(until)
                } else {
                    Some(Duration::ZERO)
                };
                let items = self.take_from(*number, most, wait).await?;
                if !items.is_empty() {
                    return Ok(items);
                }
            }
            if clock::left(until) == Some(Duration::ZERO) {
                return Ok(Vec::new());
            }
            if candidates.is_empty() {
                self.wait_for_more(clock::left(until)).await?;
            }
        }
    }

    async fn take_from(
        &mut self,
        number: u64,
        most: usize,
        wait: Option<Duration>,
    ) -> Result<Vec<Item>, Error> {
        let claim = self.claim;
        let step = |lane: Option<Lane>, token| {
            let now_us = clock::wall_us();
            let until_us = now_us.saturating_add(to_us(claim));
            let claim = Claim { token, until_us };
            Ok(lane.unwrap_or_default().take(most, now_us, claim))
        };
        let changed = self.queue.lane(number)?.change_within(wait, step).await;
        let (lane, token) = match changed {
            Ok((Some(lane), token)) => (lane, token),
            // There was nothing: what was seen here is old.
            Ok((None, _)) => {
                self.forget(number);
                return Ok(Vec::new());
            }
            Err(Error::TimedOut { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let held = |entry: &&Entry| entry.claim.is_some_and(|claim| claim.token == token);
        let entries = lane.items.iter().filter(held);
        let items = entries.map(|entry| Item::new(&self.queue, number, entry));
        let items = items.collect::<Result<_, _>>()?;
        self.learn(number, lane);
        Ok(items)
    }

    /// Until its news is here, a lane is thought to be empty.
    fn forget(&mut self, number: u64) {
        let lanes = self.lanes.as_mut();
        if let Some(lane) = lanes.and_then(|lanes| lanes.get_mut(&number)) {
            lane.items.clear();
        }
    }

    /// What this taker did itself it may be told again, and what was before.
    fn learn(&mut self, number: u64, lane: Lane) {
        let Some(lanes) = &mut self.lanes else { return };
        let known = lanes.get(&number).map(|known| known.version);
        if known.is_none_or(|known| known < lane.version) {
            lanes.insert(number, lane);
        }
    }

    /// The lanes that have something to take, that with the best item first.
    fn candidates(&self) -> Vec<u64> {
        let now_us = clock::wall_us();
        let best = |lane: &Lane| {
            let ready = lane.items.iter().filter(|entry| entry.ready_at() <= now_us);
            ready.map(Entry::rank).min()
        };
        let lanes = self.lanes.iter().flatten();
        let ranked = lanes.filter_map(|(number, lane)| Some((best(lane)?, *number)));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, number)| number).collect()
    }

    /// Notes what there is to note, without waiting for more.
    async fn see(&mut self) -> Result<(), Error> {
        if self.lanes.is_none() {
            // First the watch: what changes from now on is told.
            table::listen(&self.queue.client, TABLE, &mut self.watch).await?;
            self.lanes = Some(lanes(&self.queue).await?);
        }
        while let Some(event) = self.watch.next().now_or_never() {
            self.note(event)?;
        }
        Ok(())
    }

    /// Waits until something is told, comes due, lapses, or should be looked
    /// for.
    async fn wait_for_more(&mut self, most: Option<Duration>) -> Result<(), Error> {
        let now_us = clock::wall_us();
        let lanes = self.lanes.iter().flat_map(BTreeMap::values);
        let ready = lanes.flat_map(|lane| lane.items.iter().map(Entry::ready_at));
        let pause = ready.min().map_or(LOOK, |ready_at| {
            Duration::from_micros(ready_at.saturating_sub(now_us)).min(LOOK)
        });
        let wait = most.map_or(pause, |most| pause.min(most));
        match tokio::time::timeout(wait, self.watch.next()).await {
            Ok(event) => self.note(event),
            Err(_) if wait == LOOK => {
                self.lanes = None;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn note(&mut self, event: Result<WatchEvent, Error>) -> Result<(), Error> {
        match event {
            Ok(WatchEvent::Record(change)) => {
                if let Some((number, lane)) = understand(&self.queue, &change.record) {
                    self.learn(number, lane);
                }
                Ok(())
            }
            // All lanes are told anew.
            Ok(WatchEvent::Reset | WatchEvent::Queue(_)) => Ok(()),
            Err(error) => {
                self.lanes = None;
                Err(error)
            }
        }
    }
}

fn prefix(queue: &Queue) -> String {
    format!("queue/{}/", queue.name)
}

/// A queue's lanes, as the nearest replica has them.
pub(super) async fn lanes(queue: &Queue) -> Result<BTreeMap<u64, Lane>, Error> {
    let options = ScanOptions {
        prefix: prefix(queue).into_bytes(),
        ..ScanOptions::default()
    };
    let records = table::with(&queue.client, TABLE, || {
        let pages = queue.client.scan(TABLE, options.clone());
        pages.try_collect::<Vec<_>>()
    });
    let records = records.await?.into_iter().flatten();
    Ok(records
        .filter_map(|record| understand(queue, &record))
        .collect())
}

/// The lane that a record holds, if it is one of this queue.
fn understand(queue: &Queue, record: &Record) -> Option<(u64, Lane)> {
    let key = String::from_utf8(record.key.to_bytes().ok()?).ok()?;
    let number = key.strip_prefix(&prefix(queue))?.parse().ok()?;
    let lane = document::state(record)?;
    (number < LANES).then_some((number, lane))
}

fn check_claim(claim: Duration) -> Result<(), Refusal> {
    if (CLAIM_MIN..=CLAIM_MAX).contains(&claim) {
        return Ok(());
    }
    Err(Refusal::Duration {
        what: "a claim",
        asked: claim,
        min: CLAIM_MIN,
        max: CLAIM_MAX,
    })
}

/// An item that was taken. Dropped, it is delivered again when its claim has
/// lapsed.
#[derive(Clone, Debug)]
pub struct Item {
    queue: Queue,
    lane: u64,
    number: u64,
    token: u64,
    deliveries: u32,
    content: Option<Content>,
}

impl Item {
    fn new(queue: &Queue, lane: u64, entry: &Entry) -> Result<Self, Refusal> {
        Ok(Self {
            queue: queue.clone(),
            lane,
            number: entry.number,
            token: entry.claim.map_or(0, |claim| claim.token),
            deliveries: entry.deliveries,
            content: Some(document::content(entry.value.clone())?),
        })
    }

    pub(super) fn named(queue: Queue, id: &str, token: u64) -> Result<Self, Refusal> {
        let parts = id.split_once('.');
        let parts =
            parts.and_then(|(lane, number)| Some((lane.parse().ok()?, number.parse().ok()?)));
        let foreign = || Refusal::Foreign(format!("{id:?} is not the id of an item"));
        let (lane, number) = parts
            .filter(|(lane, _)| *lane < LANES)
            .ok_or_else(foreign)?;
        Ok(Self {
            queue,
            lane,
            number,
            token,
            deliveries: 0,
            content: None,
        })
    }

    /// Its lane in that queue, and its number there with the claim's token.
    ///
    /// # Errors
    /// [`Refusal::Foreign`] where it is another queue's.
    pub(super) fn name_in(&self, queue: &Queue) -> Result<(u64, (u64, u64)), Refusal> {
        if self.queue.name == queue.name {
            return Ok((self.lane, (self.number, self.token)));
        }
        let (id, name) = (self.id(), &self.queue.name);
        Err(Refusal::Foreign(format!(
            "the item {id} is of the queue {name:?}"
        )))
    }

    /// Its id: one item of the queue has it, for ever.
    pub fn id(&self) -> String {
        format!("{}.{}", self.lane, self.number)
    }

    /// What was pushed; `None` where the item was made from its id.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// The fencing token of this delivery: greater than those of all earlier
    /// deliveries of the item.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// How often it was delivered, this time included; 0 where the item was
    /// made from its id.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Says that it is done: it is never delivered again.
    ///
    /// # Errors
    /// [`Refusal::ClaimLost`] where it was delivered to another taker, or was
    /// done already; others, of which [`Error::outcome`] says whether it may be
    /// done.
    ///
    /// # Cost
    /// A section with one write.
    ///
    /// # Cancel safety
    /// It may or may not be done.
    pub async fn done(&self) -> Result<(), Error> {
        self.settle(|lane, at| drop(lane.items.remove(at))).await
    }

    /// Gives it back, to be taken by others after a while.
    ///
    /// # Errors
    /// As [`Item::done`].
    ///
    /// # Cost
    /// As [`Item::done`].
    ///
    /// # Cancel safety
    /// It may or may not be given back.
    pub async fn give_back(&self, after: Duration) -> Result<(), Error> {
        self.settle(|lane, at| {
            if let Some(entry) = lane.items.get_mut(at) {
                entry.claim = None;
                entry.due_us = clock::wall_us().saturating_add(to_us(after));
            }
        })
        .await
    }

    /// Renews the claim: it is valid for so long from now.
    ///
    /// # Errors
    /// As [`Item::done`]; [`Refusal::Duration`] for less than 100 ms or more
    /// than a day.
    ///
    /// # Cost
    /// As [`Item::done`].
    ///
    /// # Cancel safety
    /// It may or may not be renewed.
    pub async fn renew(&self, claim: Duration) -> Result<(), Error> {
        check_claim(claim)?;
        self.settle(|lane, at| {
            let entry = lane.items.get_mut(at);
            if let Some(held) = entry.and_then(|entry| entry.claim.as_mut()) {
                held.until_us = clock::wall_us().saturating_add(to_us(claim));
            }
        })
        .await
    }

    /// Does some work while the claim is renewed, a third of its length apart;
    /// the work is dropped where the claim is lost.
    ///
    /// # Errors
    /// As [`Item::renew`]; the work may have had some of its effects.
    ///
    /// # Cost
    /// A section with one write for each third of the claim.
    ///
    /// # Cancel safety
    /// That of the work.
    pub async fn run<T>(&self, claim: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
        check_claim(claim)?;
        let lost = async {
            loop {
                match self.renew(claim).await {
                    Err(error @ Error::Refused(_)) => return error,
                    Err(error) => tracing::debug!(%error, "a claim could not be renewed"),
                    Ok(()) => {}
                }
                clock::sleep(claim / 3).await;
            }
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            error = lost => Err(error),
        }
    }

    async fn settle(&self, settle: impl Fn(&mut Lane, usize)) -> Result<(), Error> {
        let (number, token) = (self.number, self.token);
        let step = |lane, _| -> Result<Step<Lane, ()>, Refusal> {
            Lane::settle(lane, (number, token), &settle)
        };
        self.queue.lane(self.lane)?.change(step).await
    }
}
