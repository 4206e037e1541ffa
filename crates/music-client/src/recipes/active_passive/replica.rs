//! Replicas of a service: what they say of themselves, and who is better.

use music_api::name::Value;
use serde::{Deserialize, Serialize};

use crate::recipes::group::Member;

/// Who is better.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    sites: Vec<String>,
}

impl Policy {
    /// Sites, the best first; others come after them, and are equal. Within
    /// sites the lower load is better, then the lower name.
    pub fn sites<S: Into<String>>(sites: impl IntoIterator<Item = S>) -> Self {
        let sites = sites.into_iter().map(Into::into).collect();
        Self { sites }
    }

    fn site_rank(&self, site: &str) -> usize {
        let known = self.sites.iter().position(|known| known == site);
        known.unwrap_or(self.sites.len())
    }

    fn rank<'a>(&self, replica: &'a ReplicaStatus) -> (usize, u32, &'a str) {
        let ReplicaStatus { name, load, .. } = replica;
        (self.site_rank(&replica.site), *load, name)
    }

    /// How many of those that wait are better.
    pub(super) fn turn(&self, own: &ReplicaStatus, known: &[ReplicaStatus]) -> usize {
        // What others know of this one may be older than what it is.
        let others = known.iter().filter(|other| other.name != own.name);
        let waiting = others.filter(|other| other.role == Role::Waiting);
        let better = waiting.filter(|other| self.rank(other) < self.rank(own));
        better.count()
    }

    /// The replica of a better site that waits and will wait on unless this
    /// active one makes room for it: others find a slot that is free, or take
    /// that of an active one that is worse still.
    pub(super) fn outranked<'a>(
        &self,
        own: &ReplicaStatus,
        known: &'a [ReplicaStatus],
        slots: u64,
    ) -> Option<&'a ReplicaStatus> {
        let others = || known.iter().filter(|other| other.name != own.name);
        let active = || others().filter(|other| other.role == Role::Active);
        let worse = active().filter(|other| self.rank(other) > self.rank(own));
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        let free = slots.saturating_sub(active().count() + 1);
        let own_site = self.site_rank(&own.site);
        let better = |other: &&ReplicaStatus| self.site_rank(&other.site) < own_site;
        let waiting = others().filter(|other| other.role == Role::Waiting);
        let mut better: Vec<_> = waiting.filter(better).collect();
        better.sort_by_key(|other| self.rank(other));
        better.get(worse.count() + free).copied()
    }
}

/// A replica of a service.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(super) name: String,
    pub(super) site: String,
    pub(super) load: u32,
}

impl Replica {
    /// A replica of that name, unlike those of all others, at that site.
    pub fn new(name: impl Into<String>, site: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            site: site.into(),
            load: 0,
        }
    }

    /// How much it has to do, in a measure that all share; 0 if not said.
    #[must_use]
    pub fn load(mut self, load: u32) -> Self {
        self.load = load;
        self
    }
}

/// A replica as others know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaStatus {
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// How much it has to do.
    pub load: u32,
    /// What it does, as it says: who is active is decided by locks alone.
    pub role: Role,
}

impl ReplicaStatus {
    /// What a member says, if it is a replica.
    pub(super) fn of(member: &Member) -> Option<Self> {
        let Value::Json(json) = &member.value else {
            return None;
        };
        let Standing { site, load, role } = Standing::deserialize(json).ok()?;
        Some(Self {
            name: member.name.clone(),
            site,
            load,
            role,
        })
    }
}

/// What a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It does not ask to be active.
    Passive,
    /// It waits to be active.
    Waiting,
    /// It is active.
    Active,
}

impl Role {
    /// Its name, in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Waiting => "waiting",
            Self::Active => "active",
        }
    }
}

/// What a member says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) site: String,
    pub(super) load: u32,
    pub(super) role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SITE NAME ROLE`, by their first letters.
    fn replicas(text: &str) -> Vec<ReplicaStatus> {
        let replica = |word: &str| {
            let (site, rest) = word.split_at(1);
            let (name, role) = rest.split_at(1);
            ReplicaStatus {
                name: name.to_owned(),
                site: site.to_owned(),
                load: 0,
                role: match role {
                    "a" => Role::Active,
                    "w" => Role::Waiting,
                    _ => Role::Passive,
                },
            }
        };
        text.split(' ').map(replica).collect()
    }

    #[test]
    fn only_so_many_make_room_as_wait_in_vain() {
        let policy = Policy::sites(["1", "2", "3"]);
        // The first one asks; for whom does it make room?
        for (known, slots, expected) in [
            ("2xa 1yw", 1, Some("y")),
            ("2xa 1yp", 1, None),
            ("2xa 2yw", 1, None),
            ("2xa 3yw", 1, None),
            ("2xa 1zw 1yw", 1, Some("y")),
            // A slot is free, or a worse one makes room.
            ("2xa 1yw", 2, None),
            ("2xa 1yw 3za", 2, None),
            ("3xa 1yw 2za", 2, Some("y")),
            ("2xa 1yw 1vw 3za", 2, Some("y")),
            // Of one site the last one by name is the worst.
            ("2xa 1yw 2za", 2, None),
            ("2za 1yw 2xa", 2, Some("y")),
        ] {
            let known = replicas(known);
            let better = policy.outranked(&known[0], &known, slots);
            let better = better.map(|better| better.name.as_str());
            assert_eq!(better, expected, "{known:?}");
        }
    }

    #[test]
    fn the_turn_counts_the_better_ones_that_wait() {
        let policy = Policy::sites(["1", "2"]);
        let known = replicas("2xw 1yw 1zp 1va 2aw 3bw");
        assert_eq!(policy.turn(&known[0], &known), 2);
        assert_eq!(policy.turn(&known[1], &known), 0);
        assert_eq!(policy.turn(&known[5], &known), 3);
        let busier = ReplicaStatus {
            load: 9,
            ..known[1].clone()
        };
        assert_eq!(policy.turn(&busier, &known), 0, "it is not behind itself");
    }
}
