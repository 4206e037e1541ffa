//! Strict serializability of transactions on lists, by the rules of Elle.
//!
//! Each transaction appends elements to lists and reads lists; no element is
//! appended twice in a history. So the list that a read returns names the
//! transactions that wrote it, in their order, and the dependencies of
//! transactions follow from what clients saw (\[ELLE\]):
//!
//! | edge | from | to |
//! |---|---|---|
//! | ww | who appended an element | who appended the next one |
//! | wr | who appended an element | who read a list that ends with it |
//! | rw | who read a list | who appended the element that it lacks first |
//! | rt | who was answered | who began after that |
//!
//! A history is strictly serializable if these have no cycle, all reads of a
//! list are beginnings of its longest one, and nobody reads what was aborted, or
//! what a transaction wrote in its middle.
//!
//! A committed element that nobody has read comes after all that were read. A
//! transaction whose outcome is not known counts if one of its elements was read,
//! and otherwise as if it had never been.
//!
//! It judges transactions, not critical sections, and so is none of
//! [`JUDGES`](super::JUDGES).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

mod graph;

use graph::Graph;

/// A transaction, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// When it began, in microseconds by a clock that all clients share.
    pub begun_us: u64,
    /// When its client was answered.
    pub ended_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did, in order.
    pub steps: Vec<Step>,
}

/// How a transaction ended, to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It committed.
    Committed,
    /// It did not and will not.
    NotApplied,
    /// It may have, or may do so later.
    Unknown,
}

/// A step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Appends an element to a list.
    Append {
        /// The list.
        list: String,
        /// The element: no other step of the history appends it.
        element: u64,
    },
    /// Reads a list.
    Read {
        /// The list.
        list: String,
        /// All its elements.
        elements: Vec<u64>,
    },
}

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// It appended the element before.
    WriteWrite,
    /// It appended what the other one read.
    WriteRead,
    /// It read a list that lacks what the other one appended.
    ReadWrite,
    /// It was answered before the other one began.
    RealTime,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WriteWrite => "ww",
            Self::WriteRead => "wr",
            Self::ReadWrite => "rw",
            Self::RealTime => "rt",
        })
    }
}

/// How a history is not strictly serializable. Transactions are named by their
/// place in the history, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// The history itself is malformed: an element is appended twice.
    #[error("element {element} is appended by transactions {first} and {second}")]
    AppendedTwice {
        /// The element.
        element: u64,
        /// By one transaction.
        first: usize,
        /// By another, or the same.
        second: usize,
    },
    /// A read shows an element that nobody appended to the list.
    #[error("transaction {reader} reads {element} in {list}, where nobody appended it")]
    FromNowhere {
        /// Who.
        reader: usize,
        /// The list.
        list: String,
        /// The element.
        element: u64,
    },
    /// A read shows an element of a transaction that did not commit (G1a).
    #[error("transaction {reader} reads {element} in {list} of {writer}, which did not commit")]
    AbortedRead {
        /// Who.
        reader: usize,
        /// The list.
        list: String,
        /// The element.
        element: u64,
        /// Who appended it.
        writer: usize,
    },
    /// A read ends in the middle of another transaction (G1b).
    #[error("transaction {reader} reads {list} as it was in the middle of {writer}")]
    IntermediateRead {
        /// Who.
        reader: usize,
        /// The list.
        list: String,
        /// Whose middle.
        writer: usize,
    },
    /// Two reads of a list that no order of its appends explains, or an element
    /// twice in one.
    #[error("transactions {one} and {other} read {list} in ways that exclude each other")]
    Incompatible {
        /// Who.
        one: usize,
        /// Who else.
        other: usize,
        /// The list.
        list: String,
    },
    /// A transaction does not see its own steps.
    #[error("transaction {reader} does not read in {list} what it read or appended before")]
    Internal {
        /// Who.
        reader: usize,
        /// The list.
        list: String,
    },
    /// Transactions that each come before the next, and the last before the
    /// first.
    #[error("transactions in a cycle: {}", shown(.0))]
    Cycle(Vec<(usize, Edge)>),
}

fn shown(cycle: &[(usize, Edge)]) -> String {
    let steps = cycle
        .iter()
        .map(|(transaction, edge)| format!("{transaction} -{edge}-> "));
    let first = cycle.first().map(|(first, _)| first.to_string());
    steps.chain(first).collect()
}

/// What is said of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many transactions count.
    pub checked: usize,
    /// How many reads they made of lists that were not empty: none means that
    /// nothing is proved.
    pub reads: usize,
    /// What is wrong. Cycles are looked for only where nothing else is; one is
    /// shown.
    pub breaches: Vec<Breach>,
}

/// Judges a history of transactions, in any order.
pub fn judge(transactions: &[Transaction]) -> Verdict {
    let mut case = Case::new(transactions);
    case.read_all();
    let counted: BTreeSet<usize> = (0..transactions.len())
        .filter(|index| case.counts(*index))
        .collect();
    if case.breaches.is_empty() {
        let graph = case.graph(&counted);
        case.breaches.extend(graph.cycle().map(Breach::Cycle));
    }
    Verdict {
        checked: counted.len(),
        reads: case.reads,
        breaches: case.breaches,
    }
}

/// What is known of one list.
#[derive(Clone, Debug, Default)]
struct List {
    /// The longest that was read, and by whom.
    longest: Vec<u64>,
    reader: usize,
    /// Committed elements that nobody has read.
    unread: Vec<u64>,
}

struct Case<'a> {
    transactions: &'a [Transaction],
    /// Who appended an element, to which list.
    writers: BTreeMap<u64, (usize, &'a str)>,
    lists: BTreeMap<&'a str, List>,
    /// Transactions of which an element was read.
    seen: BTreeSet<usize>,
    reads: usize,
    breaches: Vec<Breach>,
}

impl<'a> Case<'a> {
    fn new(transactions: &'a [Transaction]) -> Self {
        let mut case = Self {
            transactions,
            writers: BTreeMap::new(),
            lists: BTreeMap::new(),
            seen: BTreeSet::new(),
            reads: 0,
            breaches: Vec::new(),
        };
        for (second, list, element) in appends(transactions) {
            if let Some((first, _)) = case.writers.insert(element, (second, list)) {
                case.breaches.push(Breach::AppendedTwice {
                    element,
                    first,
                    second,
                });
            }
        }
        case
    }

    /// Takes in all reads of committed transactions.
    fn read_all(&mut self) {
        for (reader, transaction) in self.transactions.iter().enumerate() {
            if transaction.outcome != Outcome::Committed {
                continue;
            }
            let mut own: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
            let mut known: BTreeMap<&str, usize> = BTreeMap::new();
            for step in &transaction.steps {
                match step {
                    Step::Append { list, element } => own.entry(list).or_default().push(*element),
                    Step::Read { list, elements } => {
                        let own = own.get(list.as_str()).cloned().unwrap_or_default();
                        let Some(others) = elements.strip_suffix(own.as_slice()) else {
                            let list = list.clone();
                            self.breaches.push(Breach::Internal { reader, list });
                            continue;
                        };
                        let before = known.insert(list, others.len());
                        if before.is_some_and(|before| before != others.len()) {
                            let list = list.clone();
                            self.breaches.push(Breach::Internal { reader, list });
                        }
                        self.read(reader, list, others);
                        self.lengthen(reader, list, elements);
                    }
                }
            }
        }
        for (writer, list, element) in appends(self.transactions) {
            let list = self.lists.entry(list).or_default();
            let is_read = list.longest.contains(&element);
            let transaction = self.transactions.get(writer);
            if !is_read && transaction.is_some_and(|one| one.outcome == Outcome::Committed) {
                list.unread.push(element);
            }
        }
    }

    /// Takes in what a transaction read of others.
    fn read(&mut self, reader: usize, list: &str, elements: &[u64]) {
        self.reads += usize::from(!elements.is_empty());
        for element in elements {
            let (element, list) = (*element, list.to_owned());
            let breach = match self.writers.get(&element) {
                Some((writer, of)) if *of == list => {
                    self.seen.insert(*writer);
                    let writer = *writer;
                    let outcome = self.transactions.get(writer).map(|one| one.outcome);
                    (outcome == Some(Outcome::NotApplied)).then_some(Breach::AbortedRead {
                        reader,
                        list,
                        element,
                        writer,
                    })
                }
                _ => Some(Breach::FromNowhere {
                    reader,
                    list,
                    element,
                }),
            };
            self.breaches.extend(breach);
        }
        let last = elements.last().and_then(|last| self.writers.get(last));
        let Some((writer, _)) = last else { return };
        let later = appends(self.transactions)
            .filter(|(other, of, _)| other == writer && *of == list)
            .last();
        if later.is_some_and(|(_, _, element)| Some(&element) != elements.last()) {
            self.breaches.push(Breach::IntermediateRead {
                reader,
                list: list.to_owned(),
                writer: *writer,
            });
        }
    }

    fn lengthen(&mut self, reader: usize, list: &'a str, elements: &[u64]) {
        let known = self.lists.entry(list).or_default();
        let distinct: BTreeSet<&u64> = elements.iter().collect();
        let is_compatible =
            known.longest.starts_with(elements) || elements.starts_with(&known.longest);
        if !is_compatible || distinct.len() < elements.len() {
            self.breaches.push(Breach::Incompatible {
                one: known.reader,
                other: reader,
                list: list.to_owned(),
            });
        } else if elements.len() > known.longest.len() {
            known.longest = elements.to_vec();
            known.reader = reader;
        }
    }

    fn counts(&self, index: usize) -> bool {
        let outcome = self.transactions.get(index).map(|one| one.outcome);
        match outcome {
            Some(Outcome::Committed) => true,
            Some(Outcome::Unknown) => self.seen.contains(&index),
            Some(Outcome::NotApplied) | None => false,
        }
    }

    fn writer(&self, element: u64) -> Option<usize> {
        self.writers.get(&element).map(|(writer, _)| *writer)
    }

    fn graph(&self, counted: &BTreeSet<usize>) -> Graph {
        let mut graph = Graph::default();
        for list in self.lists.values() {
            for pair in list.longest.windows(2) {
                let writers = pair.iter().filter_map(|element| self.writer(*element));
                if let [one, next] = writers.collect::<Vec<_>>().as_slice() {
                    graph.add(*one, *next, Edge::WriteWrite);
                }
            }
            let last = list.longest.last().and_then(|last| self.writer(*last));
            for unread in list
                .unread
                .iter()
                .filter_map(|element| self.writer(*element))
            {
                if let Some(last) = last {
                    graph.add(last, unread, Edge::WriteWrite);
                }
            }
        }
        for reader in counted {
            let transaction = self.transactions.get(*reader);
            if transaction.is_some_and(|one| one.outcome == Outcome::Committed) {
                self.add_reads(*reader, &mut graph);
            }
        }
        self.add_real_time(counted, &mut graph);
        graph
    }

    fn add_reads(&self, reader: usize, graph: &mut Graph) {
        let steps = self
            .transactions
            .get(reader)
            .map(|one| one.steps.as_slice());
        for step in steps.unwrap_or_default() {
            let Step::Read { list, elements } = step else {
                continue;
            };
            let Some(known) = self.lists.get(list.as_str()) else {
                continue;
            };
            let others = elements
                .iter()
                .rev()
                .filter_map(|element| self.writer(*element));
            for writer in others.filter(|writer| *writer != reader).take(1) {
                graph.add(writer, reader, Edge::WriteRead);
            }
            let missing = known.longest.get(elements.len()..).unwrap_or_default();
            let next = missing.iter().take(1);
            let unread = known.unread.iter().filter(|_| missing.is_empty());
            for writer in next
                .chain(unread)
                .filter_map(|element| self.writer(*element))
            {
                graph.add(reader, writer, Edge::ReadWrite);
            }
        }
    }

    /// One edge for each transaction and each answer, by way of the answers in
    /// their order.
    fn add_real_time(&self, counted: &BTreeSet<usize>, graph: &mut Graph) {
        let of = |index: &usize| Some((*index, self.transactions.get(*index)?));
        let mut ends: VecDeque<(u64, usize)> = counted
            .iter()
            .filter_map(of)
            .filter(|(_, one)| one.outcome == Outcome::Committed)
            .map(|(index, one)| (one.ended_us, index))
            .collect();
        ends.make_contiguous().sort_unstable();
        let mut begins: Vec<(u64, usize)> = counted
            .iter()
            .filter_map(of)
            .map(|(index, one)| (one.begun_us, index))
            .collect();
        begins.sort_unstable();
        let mut answers = 0;
        for (begun, index) in begins {
            while let Some((_, ended)) = ends.pop_front_if(|(at, _)| *at < begun) {
                graph.add_answer(ended, answers);
                answers += 1;
            }
            graph.add_begin(answers, index);
        }
    }
}

fn appends(transactions: &[Transaction]) -> impl Iterator<Item = (usize, &str, u64)> {
    transactions
        .iter()
        .enumerate()
        .flat_map(|(index, transaction)| {
            transaction.steps.iter().filter_map(move |step| match step {
                Step::Append { list, element } => Some((index, list.as_str(), *element)),
                Step::Read { .. } => None,
            })
        })
}

#[cfg(test)]
mod tests;
