//! What is measured, and on which servers.

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use super::servers::Servers;
use super::workload::Workload;
use crate::torture;

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum System {
    /// mdbc with its SQLite, MUSIC on Cassandra
    Mdbc,
    /// mdbc with a PostgreSQL of each site, MUSIC on Cassandra
    MdbcPostgres,
    /// mdbc with its SQLite, MUSIC's state on Cassandra and its locks on etcd
    MdbcEtcd,
    /// MariaDB with Galera; a site may read what is old
    Galera,
    /// The same with `wsrep_sync_wait = 1`: no site reads what is old
    GaleraSyncWait,
    /// PostgreSQL, one of two standbys synchronous, the primary at N. California
    Postgres,
    /// The same; statements that need no answer of each other go out at once
    PostgresPipelined,
    /// The same with `synchronous_commit = remote_apply`
    PostgresRemoteApply,
}

/// Servers, which systems may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deployment {
    Mdbc,
    MdbcPostgres,
    MdbcEtcd,
    Galera,
    Postgres,
}

/// Servers that serve.
pub(super) struct Ready {
    pub(super) servers: Servers,
    /// How the clients of each site reach them: words for `bench/sql`.
    pub(super) clients: Vec<Vec<String>>,
    /// What shows at a site that they are what they are to be: a question in SQL.
    pub(super) evidence: Vec<(usize, &'static str)>,
    /// What is to be there before anything is measured.
    pub(super) whole: Vec<Whole>,
}

/// What a site says when it is ready for clients.
pub(super) struct Whole {
    pub(super) site: usize,
    pub(super) question: &'static str,
    /// The last column of each row, sorted.
    pub(super) answer: &'static [&'static str],
}

impl Ready {
    /// Ends the servers.
    ///
    /// # Errors
    ///
    /// When one does not end.
    pub(super) fn end(self) -> Result<()> {
        self.servers.end()
    }
}

impl System {
    /// As it is written, in arguments and results.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it is measured if nothing is said.
    pub(super) fn is_usual(self) -> bool {
        !matches!(self, Self::MdbcEtcd | Self::PostgresRemoteApply)
    }

    pub(super) fn deployment(self) -> Deployment {
        match self {
            Self::Mdbc => Deployment::Mdbc,
            Self::MdbcPostgres => Deployment::MdbcPostgres,
            Self::MdbcEtcd => Deployment::MdbcEtcd,
            Self::Galera | Self::GaleraSyncWait => Deployment::Galera,
            Self::Postgres | Self::PostgresPipelined | Self::PostgresRemoteApply => {
                Deployment::Postgres
            }
        }
    }

    /// What its clients are told beside where the servers are.
    pub(super) fn words(self) -> &'static [&'static str] {
        match self {
            Self::GaleraSyncWait => &["--session", "SET SESSION wsrep_sync_wait = 1"],
            Self::PostgresPipelined => &["--pipelined", "true"],
            Self::PostgresRemoteApply => &["--session", "SET synchronous_commit = remote_apply"],
            _ => &[],
        }
    }

    /// Whether a workload shows something of it that it does not show of the
    /// system that it is a variant of.
    pub(super) fn differs_in(self, workload: Workload) -> bool {
        self != Self::PostgresPipelined || workload != Workload::Tpcc
    }
}

impl Deployment {
    /// As its folder is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mdbc => "mdbc",
            Self::MdbcPostgres => "mdbc-postgres",
            Self::MdbcEtcd => "mdbc-etcd",
            Self::Galera => "galera",
            Self::Postgres => "postgres",
        }
    }

    /// What of MUSIC it stands on.
    pub(super) fn of_music(self) -> Option<torture::Deployment> {
        match self {
            Self::Mdbc | Self::MdbcPostgres => Some(torture::Deployment::Cassandra),
            Self::MdbcEtcd => Some(torture::Deployment::CassandraEtcd),
            Self::Galera | Self::Postgres => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_on_the_same_servers_are_neighbours() {
        let mut all = System::value_variants().to_vec();
        all.sort();
        let groups = all.chunk_by(|one, other| one.deployment() == other.deployment());
        assert_eq!(groups.count(), 5);
    }
}
