//! A work queue.
//!
//! ```text
//!  push ──▶ lane 17 ┐                      ┌─ take: the best item that is ready,
//!  push ──▶ lane 4  ├─ seen by each taker ─┤  as the nearest replica knows it,
//!  push ──▶ lane 90 ┘  at its own replica  └─ claimed in a section on its lane
//! ```
//!
//! A queue has a fixed number of lanes, each a short list of items under a lock
//! of its own: pushers and takers at different lanes do not meet, and nothing
//! grows or wears out with the number of items that have passed. What to take
//! is chosen from the nearest replica, which may be behind; whether it can be
//! taken is decided in the lane's section.

mod lane;
mod taker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::clock;
use crate::content::Content;
use crate::dice;
use crate::error::Error;
use crate::recipes::document::Document;
use crate::recipes::queue::lane::{ITEMS_MAX, Lane, NewEntry};
use crate::recipes::refusal::{self, Refusal};
use crate::recipes::table;

pub use taker::{Item, Taker};

/// How many lanes a queue has.
const LANES: u64 = 256;
/// The largest item, in bytes, as JSON has it. Put what is larger in a record,
/// and push its key.
const ITEM_BYTES_MAX: usize = 16 * 1024;
/// The longest time that an item may be held back.
const DELAY_MAX: Duration = Duration::from_hours(24 * 366);
/// How many items are pushed in one section.
const PUSHED_MAX: usize = ITEMS_MAX;

/// Work for takers at all sites: a queue with priorities and delays.
///
/// **Promise.** An item whose push was acknowledged is delivered until a taker
/// says that it is done, and to one taker at a time: while a taker's claim is
/// valid nobody else has the item. A claim lapses some time after it was taken
/// or renewed ([`Taker::claim`], 30 s if not said otherwise), by the clock of
/// whoever looks: then the item is delivered again, under a higher fencing
/// token, and the earlier taker cannot say any more that it is done
/// ([`Refusal::ClaimLost`]). Items are delivered by priority, then in the order
/// in which they were pushed, as far as the pushers' clocks agree and takers do
/// not meet.
///
/// **Cost.** A section with one write to push, to take, and to say that it is done,
/// for up to 32 items at a time. A taker that waits costs a connection to the own
/// site.
///
/// **On failure.** A taker that dies keeps its items until its claim lapses. A
/// pusher that dies in the middle has pushed or not.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::{Push, Queue};
///
/// let mails = Queue::new(client, "mails")?;
/// mails.push("to: alice").await?;
/// mails.push_all([Push::new("to: bob").priority(9)]).await?;
/// let mut taker = mails.taker();
/// let item = taker.take().await?;
/// println!("{:?}, delivered {} times, token {}", item.content(), item.deliveries(), item.token());
/// item.done().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    name: String,
    /// The lane that had room the last time.
    home: Arc<AtomicU64>,
}

/// Something to push.
#[derive(Clone, Debug)]
pub struct Push {
    content: Content,
    priority: u8,
    delay: Duration,
}

impl Push {
    /// An item of the lowest priority, to be taken at once.
    pub fn new(content: impl Into<Content>) -> Self {
        Self {
            content: content.into(),
            priority: 0,
            delay: Duration::ZERO,
        }
    }

    /// How urgent it is: 255 goes first, 0 last.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// How long it is held back, up to a year, by the takers' clocks.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn entry(self, now_us: u64) -> Result<NewEntry, Refusal> {
        if self.delay > DELAY_MAX {
            return Err(Refusal::Duration {
                what: "a delay",
                asked: self.delay,
                min: Duration::ZERO,
                max: DELAY_MAX,
            });
        }
        let value = self.content.to_value();
        let bytes = serde_json::to_vec(&value).map_or(usize::MAX, |json| json.len());
        if bytes > ITEM_BYTES_MAX {
            let (what, max) = ("an item", ITEM_BYTES_MAX);
            return Err(Refusal::TooLarge { what, bytes, max });
        }
        Ok(NewEntry {
            value,
            bytes,
            priority: self.priority,
            due_us: now_us + to_us(self.delay),
        })
    }
}

fn to_us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Queue {
    /// The queue of that name.
    ///
    /// # Errors
    /// [`Refusal::Name`].
    pub fn new(client: &Client, name: &str) -> Result<Self, Refusal> {
        table::check_name(name)?;
        // Pushers begin at lanes of their own.
        let home = dice::idempotency_key().as_u128() % u128::from(LANES);
        let home = Arc::new(AtomicU64::new(u64::try_from(home).unwrap_or_default()));
        Ok(Self {
            client: client.clone(),
            name: name.to_owned(),
            home,
        })
    }

    /// Pushes an item.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::Full`]; others, of which
    /// [`Error::outcome`] says whether it may have been pushed.
    ///
    /// # Cost
    /// A section with one write.
    ///
    /// # Cancel safety
    /// The item may or may not be pushed.
    pub async fn push(&self, content: impl Into<Content>) -> Result<(), Error> {
        self.push_all([Push::new(content)]).await
    }

    /// Pushes items, in that order.
    ///
    /// # Errors
    /// As [`Queue::push`]; where some were pushed before it failed, the outcome
    /// is unknown.
    ///
    /// # Cost
    /// A section with one write for each 32 items.
    ///
    /// # Cancel safety
    /// Any first part of the items may be pushed.
    pub async fn push_all(&self, items: impl IntoIterator<Item = Push>) -> Result<(), Error> {
        let now_us = clock::wall_us();
        let items = items.into_iter().map(|item| item.entry(now_us));
        let items: Vec<_> = items.collect::<Result<_, _>>()?;
        let mut pushed = 0;
        while let Some(rest) = items.get(pushed..).filter(|rest| !rest.is_empty()) {
            let next = rest.get(..PUSHED_MAX).unwrap_or(rest);
            match self.push_some(next).await {
                Ok(count) => pushed += count,
                Err(error) if pushed > 0 => return Err(in_part(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Pushes the first of these items to a lane with room, and returns how
    /// many.
    async fn push_some(&self, items: &[NewEntry]) -> Result<usize, Error> {
        let home = self.home.load(Ordering::Relaxed);
        let bytes = items.first().map_or(0, |item| item.bytes);
        for number in (0..LANES).map(|step| (home + step) % LANES) {
            let lane = self.lane(number)?;
            // The nearest replica may be behind; the lane's section decides.
            let looks_full = async || {
                let seen = lane.look().await?;
                Ok::<_, Error>(seen.is_some_and(|lane| !lane.has_room(bytes)))
            };
            if number != home && looks_full().await? {
                continue;
            }
            let step =
                |lane: Option<Lane>, _| Ok(lane.unwrap_or_default().push(items, clock::wall_us()));
            let numbers: Vec<u64> = lane.change(step).await?;
            if !numbers.is_empty() {
                self.home.store(number, Ordering::Relaxed);
                return Ok(numbers.len());
            }
        }
        Err(Refusal::Full.into())
    }

    /// A taker, which sees what is pushed as its replica does.
    pub fn taker(&self) -> Taker {
        Taker::new(self.clone())
    }

    /// How many items there are, as the nearest replica knows: ready, held back,
    /// and with a taker.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves.
    ///
    /// # Cost
    /// A request to the own site for each page of items.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn len(&self) -> Result<usize, Error> {
        let lanes = taker::lanes(self).await?;
        Ok(lanes.values().map(|lane| lane.items.len()).sum())
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// As [`Queue::len`].
    ///
    /// # Cost
    /// As [`Queue::len`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len().await? == 0)
    }

    /// The item of that id, which was taken under that token: for a taker that
    /// has it from another process. Nothing is asked before it is used.
    ///
    /// # Errors
    /// [`Refusal::Foreign`] for an id that no item has.
    pub fn item(&self, id: &str, token: u64) -> Result<Item, Refusal> {
        Item::named(self.clone(), id, token)
    }

    /// Says of several items that they are done, as [`Item::done`] does of one,
    /// and returns those of which it could not be said any more: another taker
    /// has them, or they were done already.
    ///
    /// # Errors
    /// [`Refusal::Foreign`] for an item of another queue; others, after which
    /// any of the items may be done.
    ///
    /// # Cost
    /// A section with one write for each lane: one for items that were taken
    /// together.
    ///
    /// # Cancel safety
    /// Any of the items may be done.
    pub async fn done_all<'a>(&self, items: &'a [Item]) -> Result<Vec<&'a Item>, Error> {
        let mut lanes: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for item in items {
            let (lane, name) = item.name_in(self)?;
            lanes.entry(lane).or_default().push(name);
        }
        let (mut lost, mut began) = (BTreeSet::new(), false);
        for (number, named) in lanes {
            let step = |lane: Option<Lane>, _| Ok(lane.unwrap_or_default().finish(&named));
            let gone: Vec<_> = match self.lane(number)?.change(step).await {
                Ok(gone) => gone,
                Err(error) if began => return Err(in_part(error)),
                Err(error) => return Err(error),
            };
            began = true;
            lost.extend(gone.into_iter().map(|name| (number, name)));
        }
        let is_lost = |item: &&Item| item.name_in(self).is_ok_and(|name| lost.contains(&name));
        Ok(items.iter().filter(is_lost).collect())
    }

    fn lane(&self, number: u64) -> Result<Document<Lane>, Refusal> {
        Document::new(&self.client, "queue", &format!("{}/{number}", self.name))
    }
}

/// A failure after which some items are in the queue, or done.
fn in_part(last: Error) -> Error {
    Error::Unavailable {
        attempts: 1,
        outcome: crate::error::Outcome::Unknown,
        last: Box::new(last),
    }
}

/// Checks how many items are taken at a time.
fn check_most(most: usize) -> Result<usize, Refusal> {
    let asked = u64::try_from(most).unwrap_or(u64::MAX);
    refusal::count("items at a time", asked, ITEMS_MAX as u64).map(|_| most)
}
