//! The engines: which, and what each is told.

use std::path::PathBuf;

use music_store::cassandra::{self, Keyspace};
use music_store::connect::Credentials;
use music_store::etcd::EtcdConfig;
use music_store::zookeeper::ZooKeeperConfig;

use super::Config;
use super::read::Reader;
use super::setting::{self, Setting};
use crate::topology;

/// The profiles of delays that the embedded engine knows.
pub(super) const PROFILES: &[&str] = &["local3", "metro3", "lUs", "lUsEu", "global5"];

/// The engines behind the two ports.
#[derive(Clone, Debug)]
pub enum EngineConfig {
    /// All sites' replicas in this process, state and locks.
    Embedded(EmbeddedConfig),
    /// Services of their own.
    Services(Box<ServicesConfig>),
}

impl EngineConfig {
    /// The engines' name: that of the state, and that of the locks if it is
    /// another.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Services(services) => services.name(),
        }
    }
}

/// Engines that are services of their own.
#[derive(Clone, Debug)]
pub struct ServicesConfig {
    /// Where the state is.
    pub state: cassandra::Config,
    /// Where the lock queues are.
    pub locks: LocksConfig,
}

impl ServicesConfig {
    /// The engines' name, as [`EngineConfig::name`].
    pub fn name(&self) -> &'static str {
        match self.locks {
            LocksConfig::Cassandra => "cassandra",
            LocksConfig::Etcd(_) => "cassandra+etcd",
            LocksConfig::ZooKeeper(_) => "cassandra+zookeeper",
        }
    }
}

/// The embedded engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// Where it keeps its files; `None` for memory only.
    pub dir: Option<PathBuf>,
    /// The profile of delays between the sites.
    pub profile: String,
    /// The sites; empty for those of the profile.
    pub sites: Vec<String>,
}

/// The lock queues' engine.
#[derive(Clone, Debug)]
pub enum LocksConfig {
    /// That of the state.
    Cassandra,
    /// etcd.
    Etcd(EtcdConfig),
    /// ZooKeeper.
    ZooKeeper(ZooKeeperConfig),
}

/// Reads the settings of the engines that are chosen, and looks at those of
/// the others.
pub(super) fn config(reader: &mut Reader, site: &str) -> EngineConfig {
    let embedded = embedded(reader);
    let cassandra = cassandra(reader, site);
    let (etcd, zookeeper) = (etcd(reader), zookeeper(reader));
    let state = reader.text(&setting::ENGINE_STATE);
    let locks = reader.text(&setting::ENGINE_LOCKS);
    if state == "embedded" {
        if locks != "embedded" {
            reader.contradiction(
                &setting::ENGINE_LOCKS,
                "is embedded where engine.state is: another makes sense only beside state that \
                 other processes share"
                    .to_owned(),
            );
        }
        return EngineConfig::Embedded(embedded);
    }
    let locks = match locks.as_str() {
        "etcd" => LocksConfig::Etcd(etcd),
        "zookeeper" => LocksConfig::ZooKeeper(zookeeper),
        "cassandra" => LocksConfig::Cassandra,
        _ => {
            reader.contradiction(
                &setting::ENGINE_LOCKS,
                "is cassandra, etcd or zookeeper where engine.state is cassandra: all nodes must \
                 see the same queues"
                    .to_owned(),
            );
            LocksConfig::Cassandra
        }
    };
    EngineConfig::Services(Box::new(ServicesConfig {
        state: cassandra,
        locks,
    }))
}

fn embedded(reader: &mut Reader) -> EmbeddedConfig {
    EmbeddedConfig {
        dir: reader.path(&setting::EMBEDDED_DIR),
        profile: reader.text(&setting::EMBEDDED_PROFILE),
        sites: reader.names(&setting::EMBEDDED_SITES),
    }
}

fn cassandra(reader: &mut Reader, site: &str) -> cassandra::Config {
    let keyspace = Keyspace::new(reader.text(&setting::CASSANDRA_KEYSPACE));
    let keyspace = keyspace.unwrap_or_else(|error| {
        reader.contradiction(&setting::CASSANDRA_KEYSPACE, format!("is no name: {error}"));
        Keyspace::default()
    });
    let datacentre = reader.text(&setting::CASSANDRA_DATACENTRE);
    let datacentre = if datacentre.is_empty() {
        site.to_owned()
    } else {
        datacentre
    };
    let contact_points = reader.endpoints(&setting::CASSANDRA_CONTACT_POINTS);
    let replication = reader.replication(&setting::CASSANDRA_REPLICATION);
    cassandra::Config {
        credentials: credentials(
            reader,
            &setting::CASSANDRA_USER,
            &setting::CASSANDRA_PASSWORD,
        ),
        request_time: reader.duration(&setting::CASSANDRA_REQUEST_MS),
        call_time: reader.duration(&setting::CASSANDRA_CALL_MS),
        ..cassandra::Config::new(contact_points, keyspace, datacentre, replication)
    }
}

fn etcd(reader: &mut Reader) -> EtcdConfig {
    EtcdConfig {
        endpoints: reader.endpoints(&setting::ETCD_ENDPOINTS),
        prefix: reader.text(&setting::ETCD_PREFIX),
        credentials: credentials(reader, &setting::ETCD_USER, &setting::ETCD_PASSWORD),
        patience: reader.duration(&setting::ETCD_CALL_MS),
    }
}

fn zookeeper(reader: &mut Reader) -> ZooKeeperConfig {
    ZooKeeperConfig {
        endpoints: reader.endpoints(&setting::ZOOKEEPER_ENDPOINTS),
        root: reader.text(&setting::ZOOKEEPER_ROOT),
        credentials: credentials(
            reader,
            &setting::ZOOKEEPER_USER,
            &setting::ZOOKEEPER_PASSWORD,
        ),
        patience: reader.duration(&setting::ZOOKEEPER_CALL_MS),
    }
}

fn credentials(reader: &mut Reader, user: &Setting, password: &Setting) -> Option<Credentials> {
    let (name, secret) = (reader.text(user), reader.text(password));
    if name.is_empty() && !secret.is_empty() {
        let reason = format!("is missing: there is a {}", password.path);
        reader.contradiction(user, reason);
    }
    (!name.is_empty()).then_some(Credentials {
        user: name,
        password: secret,
    })
}

/// Checks what the engines' settings say together.
pub(super) fn contradictions(config: &Config, reader: &mut Reader) {
    match &config.engine {
        EngineConfig::Embedded(embedded) => check_embedded(embedded, &config.site, reader),
        EngineConfig::Services(services) => {
            check_cassandra(&services.state, reader);
            let (endpoints, setting) = match &services.locks {
                LocksConfig::Cassandra => return,
                LocksConfig::Etcd(etcd) => (&etcd.endpoints, &setting::ETCD_ENDPOINTS),
                LocksConfig::ZooKeeper(zookeeper) => {
                    (&zookeeper.endpoints, &setting::ZOOKEEPER_ENDPOINTS)
                }
            };
            at_least_one(endpoints, setting, reader);
        }
    }
}

fn check_embedded(embedded: &EmbeddedConfig, site: &String, reader: &mut Reader) {
    if !embedded.sites.is_empty() && !embedded.sites.contains(site) {
        let sites = embedded.sites.join(", ");
        reader.contradiction(&setting::SITE, format!("is one of embedded.sites: {sites}"));
    }
    if let Err(error) = topology::profile(embedded) {
        reader.contradiction(
            &setting::EMBEDDED_SITES,
            format!("does not fit embedded.profile: {error}"),
        );
    }
}

fn check_cassandra(cassandra: &cassandra::Config, reader: &mut Reader) {
    at_least_one(
        &cassandra.contact_points,
        &setting::CASSANDRA_CONTACT_POINTS,
        reader,
    );
    let cassandra::Config {
        replication,
        datacentre,
        ..
    } = cassandra;
    if !replication.contains_key(datacentre) {
        reader.contradiction(
            &setting::CASSANDRA_REPLICATION,
            format!(
                "gives the data centre {datacentre} no replica, and this node's site is there: \
                 add `{datacentre} = 1`, or correct site or cassandra.datacentre"
            ),
        );
    }
}

fn at_least_one(endpoints: &[String], setting: &Setting, reader: &mut Reader) {
    if endpoints.is_empty() {
        let reason = "is empty: name at least one, those of this site first".to_owned();
        reader.contradiction(setting, reason);
    }
}
