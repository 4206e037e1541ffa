//! The members of a group, observed.

use std::collections::BTreeMap;

use music_api::name::Key;
use music_api::table::Record;

use super::{Beat, CLOCKS_DIFFER_MAX, Group, GroupEvent, Member, age, is_fresh, lease, member};
use crate::clock::{self, Instant};
use crate::error::Error;
use crate::recipes::table::{self, GROUPS};
use crate::watch::{Watch, WatchEvent, WatchTarget};

impl Group {
    /// Observes the members.
    pub fn members(&self) -> Members {
        let prefix = self.prefix().into();
        let table = GROUPS.to_owned();
        Members {
            group: self.clone(),
            watch: self.client.watch(&WatchTarget::Records { table, prefix }),
            began: false,
            pending: Vec::new(),
            heard: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }
}

/// The members, observed; ends when it is dropped.
#[derive(Debug)]
pub struct Members {
    group: Group,
    watch: Watch,
    /// Whether the members that were there at first were told.
    began: bool,
    pending: Vec<GroupEvent>,
    heard: BTreeMap<String, Heard>,
    /// The last proofs of life of those that were not heard for too long, for as
    /// long as their records may seem to be fresh.
    gone: BTreeMap<String, Gone>,
}

#[derive(Debug)]
struct Gone {
    number: u64,
    since: Instant,
}

#[derive(Debug)]
struct Heard {
    beat: Beat,
    /// When it is taken for gone, unless it is heard before.
    gone_at: Instant,
}

impl Members {
    /// What happens next; begins with all that are there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves: asking again goes on.
    ///
    /// # Cost
    /// A connection to the own site, kept open.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<GroupEvent, Error> {
        loop {
            if let Some(event) = self.pending.pop() {
                return Ok(event);
            }
            if !self.began {
                self.begin().await?;
                continue;
            }
            let next_gone = self.heard.values().map(|heard| heard.gone_at).min();
            let gone = async {
                match next_gone {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = self.watch.next() => self.note(event)?,
                () = gone => self.bury(),
            }
        }
    }

    /// The members that are known, by name.
    pub fn list(&self) -> Vec<Member> {
        let beats = self.heard.values().map(|heard| heard.beat.clone());
        beats.map(member).collect()
    }

    /// Tells of those that are there. First the watch: what changes from then on
    /// is told.
    async fn begin(&mut self) -> Result<(), Error> {
        table::listen(&self.group.client, GROUPS, &mut self.watch).await?;
        for (beat, age) in self.group.records().await? {
            if is_fresh(&beat, age) {
                self.hear(beat);
            }
        }
        self.began = true;
        Ok(())
    }

    fn note(&mut self, event: Result<WatchEvent, Error>) -> Result<(), Error> {
        match event? {
            WatchEvent::Record(change) => self.note_record(&change.record, clock::wall_us()),
            WatchEvent::Reset | WatchEvent::Queue(_) => {}
        }
        Ok(())
    }

    /// After a break, and where a replica was left out, records are told of
    /// members that are gone for long.
    fn note_record(&mut self, record: &Record, now_us: u64) {
        match self.group.understand(record) {
            Some(beat) if is_fresh(&beat, age(record, now_us)) => self.hear(beat),
            Some(_) => {}
            None => self.leave(&record.key),
        }
    }

    fn hear(&mut self, beat: Beat) {
        let gone = self.gone.get(&beat.member);
        if gone.is_some_and(|gone| gone.number == beat.number) {
            return;
        }
        self.gone.remove(&beat.member);
        let known = self.heard.get(&beat.member);
        let (is_known, changed) = match known {
            // Told again after a break: that is no proof of life.
            Some(heard) if heard.beat.number == beat.number && heard.beat.value == beat.value => {
                return;
            }
            Some(heard) => (true, heard.beat.value != beat.value),
            None => (false, true),
        };
        if changed {
            let member = member(beat.clone());
            let event = if is_known {
                GroupEvent::Changed(member)
            } else {
                GroupEvent::Joined(member)
            };
            self.pending.insert(0, event);
        }
        let gone_at = clock::now() + lease(&beat) + lease(&beat) / 4;
        self.heard
            .insert(beat.member.clone(), Heard { beat, gone_at });
    }

    /// A record was deleted.
    fn leave(&mut self, key: &Key) {
        let Ok(key) = key.to_bytes() else { return };
        let prefix = self.group.prefix();
        let name = key.strip_prefix(prefix.as_bytes());
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        if let Some(name) = name {
            self.gone.remove(name);
        }
        if let Some(heard) = name.and_then(|name| self.heard.remove(name)) {
            self.pending.insert(0, GroupEvent::Left(member(heard.beat)));
        }
    }

    /// Those that were not heard for too long are gone.
    fn bury(&mut self) {
        let now = clock::now();
        // Their clocks may be ahead of this one, or behind.
        let fresh_for = CLOCKS_DIFFER_MAX * 2;
        self.gone.retain(|_, gone| now < gone.since + fresh_for);
        let gone = self.heard.extract_if(.., |_, heard| heard.gone_at <= now);
        for (name, heard) in gone {
            let (number, since) = (heard.beat.number, now);
            self.gone.insert(name, Gone { number, since });
            self.pending.insert(0, GroupEvent::Left(member(heard.beat)));
        }
    }
}

#[cfg(test)]
mod tests {
    use music_api::name::Value;

    use super::*;
    use crate::{Client, Options};

    const LEASE_US: u64 = 1_000_000;
    const NOW_US: u64 = 1_000_000_000;

    fn members() -> Members {
        let client = Client::new(["http://127.0.0.1:9"], Options::default()).unwrap();
        Group::new(&client, "g").unwrap().members()
    }

    /// A proof of life of member `m`, as a replica has it.
    fn record(members: &Members, number: u64, put_us: u64) -> Record {
        let beat = Beat {
            group: "g".to_owned(),
            member: "m".to_owned(),
            value: Value::Text(String::new()),
            lease_ms: LEASE_US / 1000,
            number,
        };
        let value = Value::Json(serde_json::to_value(beat).unwrap());
        Record {
            key: members.group.key("m").as_str().into(),
            fields: [(String::new(), value)].into(),
            stamp: put_us,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_does_not_come_back_by_being_told_again() {
        let mut members = members();
        let first = record(&members, 1, NOW_US);
        members.note_record(&first, NOW_US);
        assert_eq!(members.list().len(), 1);
        clock::sleep(std::time::Duration::from_secs(2)).await;
        members.bury();
        members.note_record(&first, NOW_US + 2 * LEASE_US);
        assert_eq!(members.list(), [], "told again after a break");
        let next = record(&members, 2, NOW_US + 2 * LEASE_US);
        members.note_record(&next, NOW_US + 2 * LEASE_US);
        assert_eq!(members.list().len(), 1);
        assert_eq!(members.pending.len(), 3, "joined, left, joined");
    }

    #[tokio::test]
    async fn who_was_put_long_ago_is_not_heard() {
        let mut members = members();
        let old = record(&members, 1, NOW_US - 60 * LEASE_US);
        members.note_record(&old, NOW_US);
        assert_eq!(members.list(), []);
    }
}
