//! What is asked of the clients of a site, and what they answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What transactions work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Tables of each site's own.
    Own,
    /// One table, a range of it for each site.
    Ranges,
    /// One table, any row of it.
    Shared,
    /// The same ten rows.
    Hot,
    /// A mix like that of TPC-C.
    Tpcc,
}

/// One order.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Ask something, and tell the rows as text.
    Ask {
        sql: String,
        /// Of this site's own copy.
        #[serde(default)]
        locally: bool,
    },
    /// Make the tables and what is in them.
    Make { workload: Workload, sites: u32 },
    /// Do transactions.
    Run(Run),
    /// Tell what is in the tables.
    Look {
        workload: Workload,
        sites: u32,
        /// What was acknowledged anywhere, and not this site's copy as it is.
        freshly: bool,
    },
}

/// Transactions to be done.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Run {
    pub(crate) workload: Workload,
    /// How many sites there are.
    pub(crate) sites: u32,
    /// Unlike that of every other run on these tables.
    pub(crate) number: u32,
    pub(crate) clients: u32,
    /// How long transactions are done that do not count.
    pub(crate) warm_up_ms: u64,
    /// And how long those that do.
    pub(crate) time_ms: u64,
}

/// One answer.
#[derive(Debug, Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    Rows {
        rows: Vec<Vec<String>>,
    },
    /// The tables are there; of which form they are.
    Made {
        form: String,
    },
    /// The server does not take such tables.
    Refused {
        why: String,
    },
    Done(Tally),
    Seen(Seen),
    Failed {
        error: String,
    },
}

/// What the clients of a site did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// How long transactions took that ended while it counted, in
    /// microseconds, from the first try on, by their kind.
    pub(crate) took_us: BTreeMap<&'static str, Vec<u64>>,
    /// All that were acknowledged, warming up and late ones too.
    pub(crate) acknowledged: BTreeMap<&'static str, u64>,
    /// Those of which it is not known.
    pub(crate) unknown: BTreeMap<&'static str, u64>,
    /// Tries that failed while it counted and were made again, by the code of
    /// the error.
    pub(crate) again: BTreeMap<String, u64>,
    /// Transactions that were not tried again, because time was over.
    pub(crate) given_up: u64,
    /// Transactions that failed for good, and why the first did.
    pub(crate) failed: u64,
    pub(crate) failure: Option<String>,
}

/// What is in the tables.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    /// By the tables' names.
    pub(crate) tables: BTreeMap<String, Content>,
    /// How many transactions left their mark, by their kind.
    pub(crate) marks: BTreeMap<&'static str, u64>,
    /// What cannot be right.
    pub(crate) problems: Vec<String>,
}

/// What is in a table.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Content {
    pub(crate) rows: u64,
    /// Of all rows in their order.
    pub(crate) digest: String,
}

impl Tally {
    /// Adds what another client did.
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, took) in other.took_us {
            self.took_us.entry(kind).or_default().extend(took);
        }
        let sum = |all: &mut BTreeMap<_, u64>, of: BTreeMap<_, u64>| {
            of.into_iter()
                .for_each(|(kind, count)| *all.entry(kind).or_default() += count);
        };
        sum(&mut self.acknowledged, other.acknowledged);
        sum(&mut self.unknown, other.unknown);
        for (code, count) in other.again {
            *self.again.entry(code).or_default() += count;
        }
        self.given_up += other.given_up;
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
    }
}
