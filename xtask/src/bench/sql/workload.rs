//! What is done.

use clap::ValueEnum;
use serde::Serialize;

/// What transactions work on; `bench/sql` says what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Workload {
    /// Tables of each site's own
    Own,
    /// One table, a range of it for each site
    Ranges,
    /// One table, any of its ten thousand rows
    Shared,
    /// The same ten rows
    Hot,
    /// A mix like that of TPC-C, two warehouses a site
    Tpcc,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Case {
    pub(super) workload: Workload,
    /// How many clients a site has.
    pub(super) clients: u32,
}

impl Workload {
    /// What it is, in a line.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Own => "tables of their own",
            Self::Ranges => "ranges of their own",
            Self::Shared => "one table, any row",
            Self::Hot => "the same ten rows",
            Self::Tpcc => "TPC-C-like mix",
        }
    }

    /// For so many clients; the mix for the most alone, which its rates are of.
    pub(super) fn cases(self, clients: &[u32]) -> Vec<Case> {
        let most = clients.iter().max().copied();
        let all = clients.iter().copied();
        all.filter(|clients| self != Self::Tpcc || Some(*clients) == most)
            .map(|clients| Case {
                workload: self,
                clients,
            })
            .collect()
    }
}

impl Case {
    pub(super) fn title(self) -> String {
        let plural = if self.clients == 1 { "" } else { "s" };
        format!(
            "{}, {} client{plural} a site",
            self.workload.title(),
            self.clients
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_for_the_most_clients_alone() {
        let clients = |workload: Workload| {
            let cases = workload.cases(&[1, 16]).into_iter();
            cases.map(|case| case.clients).collect::<Vec<_>>()
        };
        assert_eq!(clients(Workload::Own), [1, 16]);
        assert_eq!(clients(Workload::Tpcc), [16]);
    }
}
