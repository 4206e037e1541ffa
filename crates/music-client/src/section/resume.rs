//! A section that goes from hand to hand: left as it is by one process, and
//! taken up again by its lockRef.

use std::sync::Arc;

use music_api::lock_ref::LockRef;

use crate::client::{Client, Inner};
use crate::clock;
use crate::error::{Error, Invalid};
use crate::section::CriticalSection;
use crate::section::place::Place;
use crate::section::seat::{Seat, Terms};

impl CriticalSection {
    /// Leaves the section as it is, and returns its lockRef: it is not released,
    /// and not kept alive any more. Whoever has the lockRef goes on with it
    /// within the lease: [`Client::resume`], or the routes below
    /// `/v1/locks/{lock_ref}`, of which `renew` proves life.
    pub fn detach(mut self) -> String {
        self.open = false;
        self.seat.lock_ref.clone()
    }
}

impl Client {
    /// Takes a granted section up again by its lockRef. From then on it is kept
    /// alive until it is released or dropped, as if it had been acquired here.
    /// The lockRef is still good, so that two may hold the section at once: they
    /// have to agree who releases it.
    ///
    /// Where the client's first node does not keep the section, it takes it over.
    /// One that had moved from node to node before can be taken up only at the
    /// node that keeps it: how often it moved is not in the lockRef.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no lockRef; [`Error::Waiting`] where it is
    /// not granted within a third of its lease, five seconds at most;
    /// [`Error::Lost`] where it was released, or lost; [`Error::Unavailable`]
    /// where no node serves. After each it is as it was, or at another node.
    ///
    /// # Cost
    /// A request to the own site; an adoption, which is one consensus of the lock
    /// store and one round, where another node keeps the section.
    ///
    /// # Cancel safety
    /// The section stays as it was, or is at another node.
    pub async fn resume(&self, lock_ref: &str) -> Result<CriticalSection, Error> {
        let terms = LockRef::decode(lock_ref).map_err(Invalid::from)?;
        let inner: &Arc<Inner> = &self.inner;
        let order = inner
            .endpoints
            .order(clock::now(), inner.options.avoid_failed);
        let first = order.first().copied().unwrap_or_default();
        let place = Place::new(inner.endpoints.len(), first);
        let terms = Terms {
            lock_ref: lock_ref.to_owned(),
            lease_ms: terms.lease_ms,
        };
        // Nobody has heard of this client yet: nothing is gained by trying for
        // a whole lease.
        let now = clock::now();
        let seat = Arc::new(Seat::new(Arc::clone(inner), terms, place, now));
        seat.disprove();
        let lock = seat.take_up().await?;
        Ok(CriticalSection::new(seat, &[], lock.tokens))
    }
}
