//! Lock queues in ZooKeeper: one znode for each key of MUSIC, which holds the
//! whole queue and is changed by versioned writes.
//!
//! | | requests, one after the other | |
//! |---|---|---|
//! | a command or release | 1 | a versioned write |
//! | the same, where others wrote since | + 2 | a read at the server connected to, and the write again |
//! | a peek | 1 | a transaction that checks, a read sent along with it |
//!
//! Writes, refused ones too, take a round from the leader to its nearest
//! majority and the way to the leader; reads are answered by the server that
//! the node is connected to, at its own site.
//!
//! A queue has at most [`TICKETS_MAX`](crate::lock_store::TICKETS_MAX)
//! tickets, which ZooKeeper takes with its default `jute.maxbuffer`.
//!
//! No znode is ephemeral: a node's life is proved by MUSIC's own counters, and
//! a session that ends is replaced by another.

mod register;
pub mod survey;

use std::time::Duration;

use music_core::id::RecordId;
use music_core::lock_ref::LockRef;

use self::register::Znodes;
use crate::connect::ConnectError;
pub use crate::connect::Credentials;
use crate::versioned::{Failure, Queues};
use crate::{Error, versioned};

const ENGINE: &str = "ZooKeeper";

/// Where ZooKeeper is, and how it is used.
#[derive(Clone, Debug)]
pub struct ZooKeeperConfig {
    /// Servers, as `host:port`, that of the node's own site first. A session
    /// begins at the first that answers.
    pub endpoints: Vec<String>,
    /// The znode below which all queues are; the same at all nodes. It is
    /// made where it is missing.
    pub root: String,
    /// With whose rights, where others than this user are to have none.
    pub credentials: Option<Credentials>,
    /// How long a call may take before it fails.
    pub patience: Duration,
}

impl Default for ZooKeeperConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            root: "/music/queues".to_owned(),
            credentials: None,
            patience: Duration::from_secs(5),
        }
    }
}

/// One node's view of queues in ZooKeeper.
#[derive(Clone, Debug)]
pub struct ZooKeeper(Queues<Znodes>);

impl ZooKeeper {
    /// Begins a session, and sees that a majority answers.
    ///
    /// # Errors
    /// Where the configuration is wrong, or ZooKeeper refuses or does not
    /// answer. Once connected, calls fail while it does not, and succeed again
    /// after.
    pub async fn connect(config: ZooKeeperConfig) -> Result<Self, ConnectError> {
        check(&config)?;
        let endpoints = config.endpoints.join(", ");
        let root = config.root.clone();
        let znodes = Znodes::new(config.endpoints, config.root, config.credentials);
        match znodes.session().await {
            Ok(_) => Ok(Self(Queues::new(znodes, config.patience))),
            Err(Failure::Fatal(source)) => Err(ConnectError::Refused {
                engine: ENGINE,
                prefix: root,
                source: Box::new(source),
            }),
            Err(_) => Err(ConnectError::Unreachable {
                engine: ENGINE,
                endpoints,
            }),
        }
    }

    /// Skips all lockRefs of a key up to this one, as after a restore of
    /// ZooKeeper from a backup.
    ///
    /// # Errors
    /// As [`crate::LockStore::apply`].
    pub async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> Result<(), Error> {
        self.0.advance(id, lock_ref).await
    }
}

fn check(config: &ZooKeeperConfig) -> Result<(), ConnectError> {
    if config.endpoints.is_empty() {
        return Err(ConnectError::NoEndpoints { engine: ENGINE });
    }
    let invalid = |value: &String, reason| ConnectError::Invalid {
        engine: ENGINE,
        value: value.clone(),
        reason,
    };
    for endpoint in &config.endpoints {
        let port = endpoint
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        if endpoint.contains(['/', ',']) || !matches!(port, Some(Ok(_))) {
            return Err(invalid(endpoint, "an endpoint is written `host:port`"));
        }
    }
    let root = &config.root;
    if !root.starts_with('/') || root.ends_with('/') || root.contains("//") {
        return Err(invalid(root, "a znode is written `/name` or `/name/name`"));
    }
    Ok(())
}

versioned::lock_store!(ZooKeeper);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(endpoint: &str) -> ZooKeeperConfig {
        ZooKeeperConfig {
            endpoints: vec![endpoint.to_owned()],
            ..ZooKeeperConfig::default()
        }
    }

    #[tokio::test]
    async fn a_wrong_configuration_is_refused_with_what_to_do() {
        let none = ZooKeeper::connect(ZooKeeperConfig::default()).await;
        let error = none.unwrap_err().to_string();
        assert!(error.contains("name at least one"), "{error}");
        for wrong in ["localhost", "localhost:x", "a:1,b:2", "http://a:1/b"] {
            let error = ZooKeeper::connect(at(wrong)).await.unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
        for wrong in ["", "music", "/", "/music/", "//music"] {
            let root = wrong.to_owned();
            let config = ZooKeeperConfig { root, ..at("a:1") };
            let error = ZooKeeper::connect(config).await.unwrap_err();
            assert!(matches!(&error, ConnectError::Invalid { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_zookeeper_that_is_down_is_named() {
        // The port that nothing listens at.
        let error = ZooKeeper::connect(at("127.0.0.1:1")).await.unwrap_err();
        assert!(error.is_retryable());
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    }
}
