//! One history from the journals of all processes and the log of faults.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use music_history::{ClientId, Event, What};
use serde::de::DeserializeOwned;

use crate::faults::{self, Act, Teller};
use crate::journal;

/// The log of faults, within the folder of a run.
const FAULTS: &str = "faults.jsonl";
/// The folder of the journals, one a process.
const JOURNALS: &str = "clients";

/// All that a run left.
pub(crate) struct Run {
    pub(crate) faults: Vec<faults::Line>,
    /// When the history begins, by the machine's monotonic clock.
    pub(crate) start_ns: u64,
    pub(crate) history: Vec<Event>,
}

/// Reads the folder of a run.
///
/// # Errors
/// When a file cannot be read or is no journal.
pub(crate) fn read(folder: &Path) -> Result<Run> {
    let faults: Vec<faults::Line> = lines(&folder.join(FAULTS))?;
    let mut journals = BTreeMap::new();
    let path = folder.join(JOURNALS);
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for entry in entries {
        let path = entry.context("cannot read a folder")?.path();
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        journals.insert(name.to_owned(), lines::<journal::Line>(&path)?);
    }
    merge(faults, &journals)
}

/// All events in the order of their times; of two at the same time, one of the
/// same process that was written first comes first.
fn merge(
    faults: Vec<faults::Line>,
    journals: &BTreeMap<String, Vec<journal::Line>>,
) -> Result<Run> {
    let mut events: Vec<(u64, What)> = Vec::new();
    for line in journals.values().flatten() {
        events.push((line.at_ns, line.what.clone()));
    }
    let mut teller = Teller::default();
    for line in &faults {
        events.extend(teller.tell(&line.act).map(|what| (line.at_ns, what)));
        if let Act::Died { process, .. } = &line.act {
            let Some(journal) = journals.get(process) else {
                bail!("{process} died, and has no journal");
            };
            let crashed = clients(journal).into_iter();
            events.extend(crashed.map(|client| (line.at_ns, What::Crashed { client })));
        }
    }
    events.sort_by_key(|(at_ns, _)| *at_ns);
    let start_ns = events.first().map_or(0, |(at_ns, _)| *at_ns);
    let event = |(at_ns, what): (u64, What)| Event {
        at_us: (at_ns - start_ns) / 1000,
        what,
    };
    let history = events.into_iter().map(event).collect();
    Ok(Run {
        faults,
        start_ns,
        history,
    })
}

fn clients(journal: &[journal::Line]) -> BTreeSet<ClientId> {
    let client = |line: &journal::Line| match line.what {
        What::Client { client, .. } => Some(client),
        _ => None,
    };
    journal.iter().filter_map(client).collect()
}

/// The lines of a file. The last may be cut short, where its writer was killed.
fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{} line {number}", path.display()))
    };
    (1..).zip(whole.lines()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use music_history::SectionId;

    fn client(client: u32, at_ns: u64) -> journal::Line {
        let client = ClientId(client);
        let what = What::Client { client, site: 0 };
        journal::Line { at_ns, what }
    }

    fn lost(section: u32, at_ns: u64) -> journal::Line {
        let section = SectionId(section);
        let what = What::Lost { section };
        journal::Line { at_ns, what }
    }

    fn died(process: &str, at_ns: u64) -> faults::Line {
        let process = process.to_owned();
        let act = Act::Died { site: 0, process };
        faults::Line { at_ns, act }
    }

    #[test]
    fn events_are_in_the_order_of_time_and_written_in_order_before_that() {
        let journals = BTreeMap::from([
            (
                "a".to_owned(),
                vec![client(1, 1000), lost(1, 5000), lost(2, 5000)],
            ),
            ("b".to_owned(), vec![client(2, 3000)]),
        ]);
        let events = merge(Vec::new(), &journals).unwrap().history;
        let times: Vec<u64> = events.iter().map(|event| event.at_us).collect();
        assert_eq!(times, [0, 2, 4, 4]);
        assert_eq!(events[2].what, lost(1, 0).what);
        assert_eq!(events[3].what, lost(2, 0).what);
    }

    #[test]
    fn all_clients_of_a_process_that_died_have_crashed() {
        let journals = BTreeMap::from([("a".to_owned(), vec![client(1, 1), client(2, 1)])]);
        let events = merge(vec![died("a", 9)], &journals).unwrap().history;
        let crashed = |client: u32| What::Crashed {
            client: ClientId(client),
        };
        assert_eq!(events[2].what, crashed(1));
        assert_eq!(events[3].what, crashed(2));
        assert!(merge(vec![died("b", 9)], &journals).is_err());
    }

    #[test]
    fn a_last_line_that_was_cut_short_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let line = serde_json::to_string(&client(1, 1)).unwrap();
        fs::write(&path, format!("{line}\n{}", &line[..9])).unwrap();
        assert_eq!(lines::<journal::Line>(&path).unwrap(), [client(1, 1)]);
        fs::write(&path, format!("{}\n{line}\n", &line[..9])).unwrap();
        assert!(lines::<journal::Line>(&path).is_err());
    }
}
