//! Faults on demand: links cut, delayed and healed, sites stopped and started.

use std::sync::PoisonError;
use std::time::Duration;

use music_core::id::ReplicaId;
use tokio_util::sync::CancellationToken;

use super::network::LinkStatus;
use super::{Engine, pairs, tables};

/// A control named a site that the engine does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no site '{0}'")]
pub struct NoSuchSite(pub String);

/// Which directions of a link a control is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    Both,
    /// From the first site to the second only.
    OneWay,
}

impl Engine {
    pub(super) fn replica(&self, name: &str) -> Result<ReplicaId, NoSuchSite> {
        let index = self.shared.names.iter().position(|site| site == name);
        let index = index.and_then(|index| u8::try_from(index).ok());
        index
            .map(ReplicaId)
            .ok_or_else(|| NoSuchSite(name.to_owned()))
    }

    /// The directions that a control is about.
    fn directions(
        &self,
        a: &str,
        b: &str,
        direction: Direction,
    ) -> Result<Vec<(ReplicaId, ReplicaId)>, NoSuchSite> {
        let (a, b) = (self.replica(a)?, self.replica(b)?);
        Ok(match direction {
            Direction::Both => vec![(a, b), (b, a)],
            Direction::OneWay => vec![(a, b)],
        })
    }

    /// Cuts a link: what is under way on it is lost, and all that is sent.
    ///
    /// # Errors
    /// A site that is not there.
    pub fn cut(&self, a: &str, b: &str, direction: Direction) -> Result<(), NoSuchSite> {
        for (from, to) in self.directions(a, b, direction)? {
            self.shared.network.cut(from, to);
        }
        self.shared.healing.look_again();
        Ok(())
    }

    /// Heals a link; what was owed over it is delivered.
    ///
    /// # Errors
    /// A site that is not there.
    pub fn heal(&self, a: &str, b: &str, direction: Direction) -> Result<(), NoSuchSite> {
        for (from, to) in self.directions(a, b, direction)? {
            self.shared.network.heal(from, to);
            self.shared.healing.wake(from, to);
            self.shared.healing.wake(to, from);
        }
        Ok(())
    }

    /// Sets the round trip between two sites. None that is sent later
    /// overtakes what is under way.
    ///
    /// # Errors
    /// A site that is not there.
    pub fn set_rtt(&self, a: &str, b: &str, rtt: Duration) -> Result<(), NoSuchSite> {
        for (from, to) in self.directions(a, b, Direction::Both)? {
            self.shared.network.set_delay(from, to, rtt / 2);
        }
        Ok(())
    }

    /// Stops a site: its replica answers nothing, calls at it fail, what it
    /// has in memory is lost. Stopping it again changes nothing.
    ///
    /// # Errors
    /// A site that is not there.
    pub fn stop(&self, site: &str) -> Result<(), NoSuchSite> {
        let id = self.replica(site)?;
        let Some(state) = self.shared.site(id) else {
            return Ok(());
        };
        state.life().cancel();
        state.queues.clear();
        state.gate.clear();
        for other in self.shared.all() {
            self.shared.network.lose(id, other);
            self.shared.network.lose(other, id);
            if other != id {
                self.shared.healing.add_pass(id, other);
            }
        }
        self.shared.healing.look_again();
        Ok(())
    }

    /// Starts a stopped site, with what its replica has on disk.
    ///
    /// # Errors
    /// A site that is not there.
    pub fn start(&self, site: &str) -> Result<(), NoSuchSite> {
        let id = self.replica(site)?;
        let Some(state) = self.shared.site(id) else {
            return Ok(());
        };
        {
            let mut life = state.life.lock().unwrap_or_else(PoisonError::into_inner);
            if !life.is_cancelled() {
                return Ok(());
            }
            *life = CancellationToken::new();
        }
        tables::learn(&self.shared, id, &self.shared.observer.views.current());
        for other in self.shared.all().filter(|other| *other != id) {
            self.shared.healing.add_pass(id, other);
            self.shared.healing.add_pass(other, id);
        }
        Ok(())
    }

    /// Whether a site is running.
    ///
    /// # Errors
    /// A site that is not there.
    pub fn is_running(&self, site: &str) -> Result<bool, NoSuchSite> {
        Ok(self.shared.is_running(self.replica(site)?))
    }

    /// All links, both directions each.
    pub fn links(&self) -> Vec<LinkStatus> {
        let name = |id: ReplicaId| {
            self.shared
                .names
                .get(usize::from(id.0))
                .cloned()
                .unwrap_or_default()
        };
        let network = &self.shared.network;
        pairs(&self.shared)
            .map(|(from, to)| LinkStatus {
                from: name(from),
                to: name(to),
                rtt: network.delay(from, to) * 2,
                cut: !network.passes(from, to),
                messages: network.messages(from, to),
            })
            .collect()
    }
}
