//! The members, observed.

use std::collections::BTreeMap;

use music_api::name::Key;

use super::{Beat, CLOCKS_DIFFER_MAX, Group, GroupEvent, Member, lease, member};
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
            if age <= lease(&beat) + CLOCKS_DIFFER_MAX {
                self.hear(beat);
            }
        }
        self.began = true;
        Ok(())
    }

    fn note(&mut self, event: Result<WatchEvent, Error>) -> Result<(), Error> {
        match event? {
            WatchEvent::Record(change) => match self.group.understand(&change.record) {
                Some(beat) => self.hear(beat),
                None => self.leave(&change.record.key),
            },
            WatchEvent::Reset | WatchEvent::Queue(_) => {}
        }
        Ok(())
    }

    fn hear(&mut self, beat: Beat) {
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
        if let Some(heard) = name.and_then(|name| self.heard.remove(name)) {
            self.pending.insert(0, GroupEvent::Left(member(heard.beat)));
        }
    }

    /// Those that were not heard for too long are gone.
    fn bury(&mut self) {
        let now = clock::now();
        let gone = self.heard.extract_if(.., |_, heard| heard.gone_at <= now);
        for (_, heard) in gone {
            self.pending.insert(0, GroupEvent::Left(member(heard.beat)));
        }
    }
}
