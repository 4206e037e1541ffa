//! What the clients of one process do and see, a line an event.
//!
//! A line is written before what it announces is begun, and when what it tells
//! of has ended. So the order of the lines of all processes, by their times, is
//! one that real time allows; and of a process that is killed no event is
//! missing that another one could know of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use music_history::workload::Recorder;
use music_history::{ClientId, OpId, SectionId, What};
use serde::{Deserialize, Serialize};

use crate::clock;

/// How many clients one process may have.
pub(crate) const CLIENTS_MAX: u32 = 100;
/// How many sections and operations one process may begin.
const SECTIONS_MAX: u32 = 100_000;
const OPS_MAX: u64 = 1_000_000_000;

/// An event, as a process wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// When, by the machine's monotonic clock.
    pub(crate) at_ns: u64,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// The journal of a process; clones write the same one.
#[derive(Clone, Debug)]
pub(crate) struct Journal(Arc<Mutex<Log>>);

#[derive(Debug)]
struct Log {
    file: File,
    /// The number of the process, from which its names begin.
    life: u32,
    sections: u32,
    ops: u64,
    /// The sections that are granted and not over.
    held: BTreeMap<SectionId, Held>,
}

/// A section that is granted and not over.
#[derive(Debug)]
struct Held {
    lock_ref: String,
    /// The node that its client asks.
    endpoint: String,
}

impl Journal {
    /// An empty journal of the process with this number, unlike any other's.
    ///
    /// # Errors
    /// When the file cannot be made, or is there already.
    pub(crate) fn create(path: &Path, life: u32) -> io::Result<Self> {
        let file = File::options().create_new(true).write(true).open(path)?;
        Ok(Self(Arc::new(Mutex::new(Log {
            file,
            life,
            sections: 0,
            ops: 0,
            held: BTreeMap::new(),
        }))))
    }

    /// A new client at a site, the one of this number in the process.
    pub(crate) fn client(&self, number: u32, site: u32) -> ClientId {
        let client = ClientId(self.log().life * CLIENTS_MAX + number);
        self.note(What::Client { client, site });
        client
    }

    /// The sections that are held, and their lockRefs.
    pub(crate) fn held(&self) -> Vec<(SectionId, String)> {
        let log = self.log();
        let held = log.held.iter();
        held.map(|(section, held)| (*section, held.lock_ref.clone()))
            .collect()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn write(&mut self, what: What) -> io::Result<()> {
        let at_ns = clock::now_ns();
        let mut line = serde_json::to_vec(&Line { at_ns, what })?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

impl Recorder for Journal {
    /// A client that cannot note what it does must not do it: the process ends.
    fn note(&self, what: What) {
        if let Err(error) = self.log().write(what) {
            eprintln!("the journal cannot be written: {error}");
            std::process::exit(1);
        }
    }

    fn section(&self) -> SectionId {
        let mut log = self.log();
        log.sections += 1;
        SectionId(log.life * SECTIONS_MAX + log.sections)
    }

    fn op(&self) -> OpId {
        let mut log = self.log();
        log.ops += 1;
        OpId(u64::from(log.life) * OPS_MAX + log.ops)
    }

    fn hold(&self, section: SectionId, lock_ref: &str, endpoint: &str) {
        let held = Held {
            lock_ref: lock_ref.to_owned(),
            endpoint: endpoint.to_owned(),
        };
        self.log().held.insert(section, held);
    }

    fn heard(&self, section: SectionId, endpoint: &str) {
        match self.log().held.get_mut(&section) {
            Some(held) if held.endpoint != endpoint => endpoint.clone_into(&mut held.endpoint),
            _ => return,
        }
        self.note(What::Moved { section });
    }

    fn let_go(&self, section: SectionId) -> bool {
        self.log().held.remove(&section).is_some()
    }

    /// The judgement counts for itself.
    fn saw(&self, _: &'static str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_names_a_section_that_moves_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::create(&path, 7).unwrap();
        let client = journal.client(1, 2);
        let section = journal.section();
        journal.hold(section, "ref", "http://a");
        journal.heard(section, "http://a");
        journal.heard(section, "http://b");
        journal.heard(section, "http://b");
        assert_eq!(journal.held(), [(section, "ref".to_owned())]);
        assert!(journal.let_go(section));
        assert!(!journal.let_go(section));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Line> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [first, second] = lines.as_slice() else {
            panic!("{text}");
        };
        assert_eq!(first.what, What::Client { client, site: 2 });
        assert_eq!(second.what, What::Moved { section });
        assert!(first.at_ns <= second.at_ns);
    }

    #[test]
    fn processes_give_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let journal = |life: u32| {
            let path = folder.path().join(life.to_string());
            Journal::create(&path, life).unwrap()
        };
        let (one, other) = (journal(1), journal(2));
        assert_ne!(one.op(), other.op());
        assert_ne!(one.section(), other.section());
        assert_ne!(one.client(1, 0), other.client(1, 0));
        assert_ne!(one.op(), one.op());
    }
}
