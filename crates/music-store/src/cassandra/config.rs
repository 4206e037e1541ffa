//! What an engine in Cassandra is told: where it is and how it replicates.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::connect::Credentials;

/// The longest name of a keyspace, in bytes.
const KEYSPACE_BYTES_MAX: usize = 48;

/// The name of the keyspace that holds all that MUSIC keeps: `a` to `z`,
/// digits and `_`, the first a letter, 1 to 48 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyspace(String);

impl Keyspace {
    /// Takes a name.
    ///
    /// # Errors
    /// Where it is not of the form above.
    pub fn new(name: impl Into<String>) -> Result<Self, KeyspaceError> {
        let name = name.into();
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let first = name.bytes().next();
        let fits = name.len() <= KEYSPACE_BYTES_MAX
            && name.bytes().all(allowed)
            && first.is_some_and(|first| first.is_ascii_lowercase());
        if fits {
            Ok(Self(name))
        } else {
            Err(KeyspaceError)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `music`.
impl Default for Keyspace {
    fn default() -> Self {
        Self("music".to_owned())
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name of a keyspace that is not of the form that MUSIC takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a keyspace name has 1 to {KEYSPACE_BYTES_MAX} characters of a-z, 0-9 and _, the first a letter"
)]
pub struct KeyspaceError;

/// Where the Cassandra is, and this node's place in it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of some nodes of Cassandra, those of the own site first;
    /// the others are found through them.
    pub contact_points: Vec<String>,
    /// The keyspace.
    pub keyspace: Keyspace,
    /// The data centre, by Cassandra's name, of the site of this node.
    pub datacentre: String,
    /// How many replicas each data centre has.
    pub replication: BTreeMap<String, u8>,
    /// Who logs in; `None` where Cassandra asks nobody.
    pub credentials: Option<Credentials>,
    /// How long one request may take; longer than Cassandra's own time-outs,
    /// so that it is Cassandra that says what has timed out.
    pub request_time: Duration,
    /// How long one call of a port may take, with all its requests.
    pub call_time: Duration,
    /// How often the tables are read again.
    pub refresh_interval: Duration,
}

impl Config {
    /// A configuration with the usual times and without credentials.
    pub fn new(
        contact_points: Vec<String>,
        keyspace: Keyspace,
        datacentre: impl Into<String>,
        replication: BTreeMap<String, u8>,
    ) -> Self {
        Self {
            contact_points,
            keyspace,
            datacentre: datacentre.into(),
            replication,
            credentials: None,
            request_time: Duration::from_secs(3),
            call_time: Duration::from_secs(10),
            refresh_interval: Duration::from_secs(5),
        }
    }
}
