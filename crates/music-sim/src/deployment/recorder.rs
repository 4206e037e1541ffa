//! Writes the history of a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::world::{self, Instant};

use crate::history::{ClientId, Event, OpId, SectionId, What};

/// The history so far; clones write the same one.
#[derive(Clone, Debug)]
pub(super) struct Recorder(Arc<Mutex<Log>>);

#[derive(Debug)]
struct Log {
    start: Instant,
    events: Vec<Event>,
    clients: u32,
    sections: u32,
    ops: u64,
    /// The sections that are granted and not over, by their lockRefs.
    held: BTreeMap<String, Held>,
}

/// A section that is granted and not over.
#[derive(Clone, Copy, Debug)]
struct Held {
    section: SectionId,
    /// The node that its client asks.
    node: usize,
}

impl Recorder {
    /// An empty history, from now on.
    pub(super) fn start() -> Self {
        Self(Arc::new(Mutex::new(Log {
            start: world::now(),
            events: Vec::new(),
            clients: 0,
            sections: 0,
            ops: 0,
            held: BTreeMap::new(),
        })))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event that happens now.
    pub(super) fn note(&self, what: What) {
        let mut log = self.log();
        let at_us = u64::try_from(log.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        log.events.push(Event { at_us, what });
    }

    /// A new client, at a site.
    pub(super) fn client(&self, site: u32) -> ClientId {
        let client = {
            let mut log = self.log();
            log.clients += 1;
            ClientId(log.clients)
        };
        self.note(What::Client { client, site });
        client
    }

    /// A name for a new section.
    pub(super) fn section(&self) -> SectionId {
        let mut log = self.log();
        log.sections += 1;
        SectionId(log.sections)
    }

    /// A name for a new operation.
    pub(super) fn op(&self) -> OpId {
        let mut log = self.log();
        log.ops += 1;
        OpId(log.ops)
    }

    /// A section is held under this lockRef, at a node.
    pub(super) fn hold(&self, section: SectionId, lock_ref: &str, node: usize) {
        let held = Held { section, node };
        self.log().held.insert(lock_ref.to_owned(), held);
    }

    /// A section is not held any more. Whether it was until now.
    pub(super) fn let_go(&self, section: SectionId) -> bool {
        let held = &mut self.log().held;
        let before = held.len();
        held.retain(|_, held| held.section != section);
        held.len() < before
    }

    /// The client of a lockRef asks a node; if that is another one than
    /// before, the section has moved.
    pub(super) fn asks(&self, lock_ref: &str, node: usize) {
        let moved = match self.log().held.get_mut(lock_ref) {
            Some(held) if held.node != node => {
                held.node = node;
                held.section
            }
            _ => return,
        };
        self.note(What::Moved { section: moved });
    }

    /// The sections that are held.
    pub(super) fn held(&self) -> Vec<(SectionId, String)> {
        let log = self.log();
        let held = log.held.iter();
        held.map(|(lock_ref, held)| (held.section, lock_ref.clone()))
            .collect()
    }

    /// The history.
    pub(super) fn history(&self) -> Vec<Event> {
        self.log().events.clone()
    }
}
