//! The keyspace and its CQL tables: created, upgraded and checked.
//!
//! | CQL table | what it holds |
//! |---|---|
//! | `registers` | lock queues; under the table number -1 the catalogue and the schema's version |
//! | `cells_N` | the records of table `N` |
//!
//! Two nodes may create these at once: each CQL table is created with an id
//! that follows from its name, so that both create the same one. (Otherwise
//! each would take an id of its own, and Cassandra 5.0 does not mend that.)

use std::collections::BTreeSet;
use std::time::Duration;

use music_core::id::TableId;
use scylla::cluster::metadata::Strategy;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError,
    NewSessionError,
};
use xxhash_rust::xxh3::xxh3_128;

use super::catalogue;
use super::cells;
use super::config::Config;
use super::failure::Failure;
use super::register::{Contents, Place, Register};
use super::session::{Access, Cql};
use crate::catalogue::Catalogue;
use crate::table::SYSTEM_TABLE;
use crate::{Error, Level};

/// The table number of the engine's own registers.
pub(super) const OWN_REGISTERS: i64 = -1;

/// The version of the schema that this code creates, and the highest that it
/// works with.
pub const SCHEMA_VERSION: u32 = 1;

/// How long a change of the schema may take: Cassandra does one after the
/// other, each at all nodes.
const DEFINITION_TIME: Duration = Duration::from_mins(1);

/// Why an engine cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No contact point answers.
    #[error(
        "no Cassandra node answers at {contact_points:?}: check the addresses, and that it runs"
    )]
    Unreachable {
        /// Who was asked.
        contact_points: Vec<String>,
        /// What the driver says.
        #[source]
        source: Box<NewSessionError>,
    },
    /// The user or the password is wrong, or one is asked for.
    #[error("Cassandra refuses the credentials: check user and password in the configuration")]
    Credentials(#[source] Box<NewSessionError>),
    /// A data centre of the configuration has no node.
    #[error(
        "Cassandra has no data centre {datacentre:?}, only {known:?}: correct the configuration \
         (`nodetool status` shows the names)"
    )]
    UnknownDatacentre {
        /// The name in the configuration.
        datacentre: String,
        /// The names of those with nodes.
        known: Vec<String>,
    },
    /// The configuration, or the keyspace as it is, leaves a site without a replica.
    #[error(
        "the keyspace has no replica in the data centre {datacentre:?}: give it one in \
         `replication`; if the keyspace exists, by ALTER KEYSPACE too, and then run \
         `nodetool repair --full`"
    )]
    NoReplica {
        /// The data centre without a replica.
        datacentre: String,
    },
    /// The keyspace, or part of what is in it, is not there.
    #[error("the keyspace {keyspace} is not set up: run `music engine init` once")]
    NoSchema {
        /// Its name.
        keyspace: String,
    },
    /// A newer MUSIC made the schema.
    #[error(
        "the schema has version {found}, and this MUSIC knows versions up to {SCHEMA_VERSION}: \
         run the newer MUSIC on this node too"
    )]
    NewerSchema {
        /// The version that was found.
        found: i64,
    },
    /// Cassandra did not do what was asked.
    #[error("Cassandra did not answer as it should: {0}")]
    Engine(#[source] Error),
}

impl OpenError {
    /// Whether the same may succeed later, without anybody mending it here.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Engine(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Engine(failure.into())
    }
}

/// Connects, and checks the data centres.
pub(super) async fn connect(config: &Config) -> Result<Cql, OpenError> {
    check_replication(config)?;
    let cql = reach(config).await?;
    let cluster = cql.session().get_cluster_state();
    let nodes = cluster.get_nodes_info().iter();
    let known: BTreeSet<String> = nodes.filter_map(|node| node.datacenter.clone()).collect();
    for datacentre in config.replication.keys() {
        if !known.contains(datacentre) {
            return Err(OpenError::UnknownDatacentre {
                datacentre: datacentre.clone(),
                known: known.into_iter().collect(),
            });
        }
    }
    Ok(cql)
}

/// Connects, and checks nothing.
pub(super) async fn reach(config: &Config) -> Result<Cql, OpenError> {
    Cql::connect(config).await.map_err(|error| {
        if is_refusal(&error) {
            return OpenError::Credentials(Box::new(error));
        }
        OpenError::Unreachable {
            contact_points: config.contact_points.clone(),
            source: Box::new(error),
        }
    })
}

/// Every data centre that is named has a replica, the node's own too.
fn check_replication(config: &Config) -> Result<(), OpenError> {
    let empty = config
        .replication
        .iter()
        .find(|(_, replicas)| **replicas == 0);
    let missing = (!config.replication.contains_key(&config.datacentre))
        .then_some(&config.datacentre)
        .or(empty.map(|(datacentre, _)| datacentre));
    match missing.cloned() {
        Some(datacentre) => Err(OpenError::NoReplica { datacentre }),
        None => Ok(()),
    }
}

fn is_refusal(error: &NewSessionError) -> bool {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
        ConnectionPoolError::Broken {
            last_connection_error: ConnectionError::ConnectionSetupRequestError(error),
        },
    )) = error
    else {
        return false;
    };
    match error.get_error() {
        ConnectionSetupRequestErrorKind::DbError(answer, _) => {
            matches!(answer, DbError::AuthenticationError | DbError::Unauthorized)
        }
        kind => matches!(kind, ConnectionSetupRequestErrorKind::MissingAuthentication),
    }
}

/// Creates what is not there yet.
pub(super) async fn create(cql: &Cql, config: &Config) -> Result<(), OpenError> {
    let keyspace = cql.keyspace();
    let replicas = config.replication.iter().map(|(datacentre, replicas)| {
        let datacentre = datacentre.replace('\'', "''");
        format!(", '{datacentre}': {replicas}")
    });
    let replicas: String = replicas.collect();
    define(
        cql,
        format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
             {{'class': 'NetworkTopologyStrategy'{replicas}}}"
        ),
    )
    .await?;
    let name = format!("{keyspace}.registers");
    let id = id_of(&name);
    define(
        cql,
        format!(
            "CREATE TABLE IF NOT EXISTS {name} (table_id bigint, key blob, version bigint, \
             state blob, released bigint, PRIMARY KEY ((table_id, key))) WITH id = {id}"
        ),
    )
    .await?;
    create_cells(cql, SYSTEM_TABLE).await?;
    let place = version_place();
    let register = Register::new(cql, &place);
    let patience = config.call_time;
    let raise = |version: &mut u32, _| *version = (*version).max(SCHEMA_VERSION);
    let raised = register
        .transact(Contents::default(), patience, raise)
        .await;
    raised.map_err(|undone| undone.failure)?;
    check(cql, config).await?;
    sweep(cql, patience).await
}

/// Whether the schema is there, is not newer, and gives each site a replica.
pub(super) async fn check(cql: &Cql, config: &Config) -> Result<(), OpenError> {
    let no_schema = || OpenError::NoSchema {
        keyspace: config.keyspace.as_str().to_owned(),
    };
    let place = version_place();
    let register = Register::new(cql, &place);
    // Others may set up the same keyspace, and be in the way.
    let version: Contents<u32> = match register.read_at_last(config.call_time).await {
        Err(Failure::Invalid(_)) => return Err(no_schema()),
        version => version?,
    };
    match version.state.value {
        0 => return Err(no_schema()),
        found if found > SCHEMA_VERSION => {
            let found = found.into();
            return Err(OpenError::NewerSchema { found });
        }
        _ => {}
    }
    let refreshed = cql.session().refresh_metadata().await;
    refreshed.map_err(|error| OpenError::Engine(Error::Storage(Box::new(error))))?;
    let cluster = cql.session().get_cluster_state();
    let Some(keyspace) = cluster.get_keyspace(config.keyspace.as_str()) else {
        return Err(no_schema());
    };
    let has_replica = |datacentre: &String| match &keyspace.strategy {
        Strategy::NetworkTopologyStrategy {
            datacenter_repfactors,
        } => datacenter_repfactors
            .get(datacentre)
            .is_some_and(|replicas| *replicas > 0),
        _ => false,
    };
    match config.replication.keys().find(|name| !has_replica(name)) {
        Some(datacentre) => Err(OpenError::NoReplica {
            datacentre: datacentre.clone(),
        }),
        None => Ok(()),
    }
}

/// Drops the CQL tables of tables that are not in the catalogue.
async fn sweep(cql: &Cql, patience: Duration) -> Result<(), OpenError> {
    // Listed first: a table is in the catalogue before it has a CQL table.
    let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let access = Access::Plain(Level::Local);
    let bound = (cql.keyspace().as_str(),);
    let names: Vec<(String,)> = cql.rows(text.to_owned(), access, bound).await?;
    let place = catalogue::place();
    let register = Register::new(cql, &place);
    let catalogue: Contents<Catalogue> = register.read_at_last(patience).await?;
    for (name,) in names {
        let number = name.strip_prefix("cells_").and_then(|id| id.parse().ok());
        if let Some(id) = number.map(TableId)
            && catalogue.state.value.is_dropped(id)
        {
            drop_cells(cql, id).await?;
        }
    }
    Ok(())
}

/// Creates the CQL table of a table, if it is not there.
pub(super) async fn create_cells(cql: &Cql, table: TableId) -> Result<(), Failure> {
    let name = cells::name(cql, table);
    let id = id_of(&name);
    define(
        cql,
        format!(
            "CREATE TABLE IF NOT EXISTS {name} (key blob, field text, value blob, \
             deleted bigint static, PRIMARY KEY (key, field)) WITH id = {id}"
        ),
    )
    .await
}

/// Drops the CQL table of a table, if it is there.
pub(super) async fn drop_cells(cql: &Cql, table: TableId) -> Result<(), Failure> {
    let name = cells::name(cql, table);
    define(cql, format!("DROP TABLE IF EXISTS {name}")).await
}

/// Changes the schema, and waits until all nodes that are up agree on it.
async fn define(cql: &Cql, text: String) -> Result<(), Failure> {
    let access = Access::Plain(Level::Majority);
    let mut statement = cql.statement(text, access);
    statement.set_request_timeout(Some(DEFINITION_TIME));
    let result = cql.session().query_unpaged(statement, ()).await;
    result.map_err(|error| Failure::new(error, crate::error::Needed::Majority))?;
    Ok(())
}

/// The register of the schema's version.
pub(super) fn version_place() -> Place {
    Place {
        table_id: OWN_REGISTERS,
        key: b"schema".to_vec(),
    }
}

/// The id of a CQL table, in the form of a UUID of version 8: its name's hash.
fn id_of(name: &str) -> String {
    let hash = xxh3_128(name.as_bytes());
    let hash = hash & !(0xf << 76) & !(0xc << 60) | 0x8 << 76 | 0x8 << 60;
    let text = format!("{hash:032x}");
    let part = |range| {
        text.get::<std::ops::Range<usize>>(range)
            .unwrap_or_default()
    };
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests;
