//! Group membership.
//!
//! A member puts a record of an eventual table anew, a third of its lease apart:
//! no majority is asked, so that a group costs nothing over the wide area and
//! each side of a cut sees those that it can hear.

mod members;
mod membership;

use std::time::Duration;

use futures_util::TryStreamExt as _;
use music_api::name::Value;
use music_api::table::Record;
use serde::{Deserialize, Serialize};

use self::membership::Heart;
use crate::client::Client;
use crate::clock;
use crate::content::Content;
use crate::error::Error;
use crate::key::RecordKey;
use crate::recipes::refusal::{self, Refusal};
use crate::recipes::table::{self, GROUPS};
use crate::records::ScanOptions;

pub use self::members::Members;
pub use self::membership::Membership;

/// The longest name of a member, in bytes.
const MEMBER_BYTES_MAX: usize = 100;

/// How far the clocks of two machines may differ: a record that was put longer
/// ago than its lease and this is of a member that is gone.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(10);

/// How long the record of a member that is gone is kept.
const GONE_KEPT: Duration = Duration::from_hours(1);

/// Who is there.
///
/// **Promise.** A member that can be heard at the observer's site is listed; one
/// that was not heard for a lease and a quarter is not. It is no lock: two
/// observers may differ for a while, and on two sides of a cut for as long as it
/// lasts.
///
/// **Cost.** An eventual put a member and a third of a lease: no majority. To
/// observe costs a connection to the own site.
///
/// **On failure.** A member that dies leaves after a lease and a quarter, by the
/// observer's clock.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::{Group, GroupEvent};
///
/// let workers = Group::new(client, "workers")?;
/// let me = workers.join("ohio-1", "http://10.0.0.7:8080").await?;
/// let mut members = workers.members();
/// while let GroupEvent::Joined(member) = members.next().await? {
///     println!("{} is at {:?}", member.name, member.value);
/// }
/// me.leave().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    client: Client,
    name: String,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub value: Value,
}

/// What happened in a group.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupEvent {
    /// A member is there.
    Joined(Member),
    /// It says something else of itself.
    Changed(Member),
    /// It left, or was not heard for too long.
    Left(Member),
}

/// A record of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Beat {
    /// The group, so that what others put there is told apart.
    group: String,
    member: String,
    value: Value,
    lease_ms: u64,
    /// Grows with each put.
    number: u64,
}

impl Group {
    /// The group of that name.
    ///
    /// # Errors
    /// [`Refusal::Name`].
    pub fn new(client: &Client, name: &str) -> Result<Self, Refusal> {
        table::check_name(name)?;
        Ok(Self {
            client: client.clone(),
            name: name.to_owned(),
        })
    }

    /// Joins under a name, with what the member says of itself. Members have
    /// names of their own; a second one of that name takes the place of the
    /// first. The lease is that of the client's options.
    ///
    /// # Errors
    /// [`Refusal::Name`] for a name of no bytes, or of too many;
    /// others, after which it may be a member for a lease.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// It may be a member for a lease.
    pub async fn join(&self, member: &str, value: impl Into<Content>) -> Result<Membership, Error> {
        let heart = self.heart(member, &value.into())?;
        heart.beat().await?;
        self.sweep().await?;
        Ok(Membership::start(heart))
    }

    /// Joins for one lease, or proves life as a member that joined so: it has to
    /// be repeated within the lease. For members that are no process of their
    /// own; others [`join`](Self::join). Returns whether the nearest replica did
    /// not know the member.
    ///
    /// # Errors
    /// As [`Group::join`].
    ///
    /// # Cost
    /// Two requests to the own site.
    ///
    /// # Cancel safety
    /// As [`Group::join`].
    pub async fn tell(&self, member: &str, value: impl Into<Content>) -> Result<bool, Error> {
        let heart = self.heart(member, &value.into())?;
        let record = heart.record();
        let known = table::with(&self.client, GROUPS, || self.client.get(record)).await?;
        // Another number than any before, of whichever node.
        heart.number(clock::wall_us());
        heart.beat().await?;
        if known.is_none() {
            self.sweep().await?;
        }
        Ok(known.is_none())
    }

    /// Takes a member out of the group, as after [`Group::tell`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// It may be listed for a lease.
    pub async fn remove(&self, member: &str) -> Result<(), Error> {
        check_member(member)?;
        let record = RecordKey::new(GROUPS, self.key(member));
        let delete = || self.client.delete(&record);
        table::with(&self.client, GROUPS, delete).await.map(drop)
    }

    fn heart(&self, member: &str, value: &Content) -> Result<Heart, Refusal> {
        check_member(member)?;
        let beat = Beat {
            group: self.name.clone(),
            member: member.to_owned(),
            value: value.to_value(),
            lease_ms: clock::to_ms(self.client.inner.options.lease),
            number: 0,
        };
        let record = RecordKey::new(GROUPS, self.key(member));
        Ok(Heart::new(&self.client, record, beat))
    }

    /// The members, by name, as the nearest replica knows them: those that were
    /// heard within their lease and ten seconds, by the clocks of two machines.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves.
    ///
    /// # Cost
    /// A request to the own site for each page of members.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn list(&self) -> Result<Vec<Member>, Error> {
        let records = self.records().await?.into_iter();
        let fresh = records.filter(|(beat, age)| is_fresh(beat, *age));
        Ok(fresh.map(|(beat, _)| member(beat)).collect())
    }

    /// With its length before, the name of one group and a member's of another
    /// never make the same key.
    fn prefix(&self) -> String {
        format!("{}/{}/", self.name.len(), self.name)
    }

    fn key(&self, member: &str) -> String {
        format!("{}{member}", self.prefix())
    }

    /// The records of this group, and how long ago they were put.
    async fn records(&self) -> Result<Vec<(Beat, Duration)>, Error> {
        let options = ScanOptions {
            prefix: self.prefix().into_bytes(),
            ..ScanOptions::default()
        };
        let pages = table::with(&self.client, GROUPS, || {
            self.client
                .scan(GROUPS, options.clone())
                .try_collect::<Vec<_>>()
        });
        let now = clock::wall_us();
        let records = pages.await?.into_iter().flatten();
        let ours = records.filter_map(|record| {
            let beat = self.understand(&record)?;
            Some((beat, age(&record, now)))
        });
        Ok(ours.collect())
    }

    fn understand(&self, record: &Record) -> Option<Beat> {
        let Some(Value::Json(json)) = record.fields.get("") else {
            return None;
        };
        let beat = Beat::deserialize(json).ok()?;
        (beat.group == self.name).then_some(beat)
    }

    /// Forgets members that have been gone for long. One that comes back puts a
    /// record with a higher stamp.
    async fn sweep(&self) -> Result<(), Error> {
        for (beat, age) in self.records().await? {
            if age > lease(&beat) + GONE_KEPT {
                let key = RecordKey::new(GROUPS, self.key(&beat.member));
                self.client.delete(key).await?;
            }
        }
        Ok(())
    }
}

fn check_member(member: &str) -> Result<(), Refusal> {
    refusal::name("a member", member, MEMBER_BYTES_MAX)
}

fn lease(beat: &Beat) -> Duration {
    Duration::from_millis(beat.lease_ms)
}

/// How long ago a record was put.
fn age(record: &Record, now_us: u64) -> Duration {
    Duration::from_micros(now_us.saturating_sub(record.stamp))
}

/// Whether a record that was put so long ago may be of a member that is there.
fn is_fresh(beat: &Beat, age: Duration) -> bool {
    age <= lease(beat) + CLOCKS_DIFFER_MAX
}

fn member(beat: Beat) -> Member {
    Member {
        name: beat.member,
        value: beat.value,
    }
}
