//! Lock queues in etcd: one key of etcd for each key of MUSIC, which holds the
//! whole queue and is changed by compare-and-swap.
//!
//! | | requests, one after the other | |
//! |---|---|---|
//! | a command or release | 1 | a transaction; its other branch reads the key, for the next try |
//! | the first of a node at a key that exists | 2 | the first tells what is there |
//! | a peek | 1 | a linearizable read |
//!
//! A transaction is a round from the leader to its nearest majority, and the
//! way to the leader. etcd's leases are not used: a node's life is proved by
//! MUSIC's own counters, in the state store.
//!
//! A queue has at most [`TICKETS_MAX`](crate::lock_store::TICKETS_MAX)
//! tickets. Each change writes all of them, and etcd keeps every revision
//! until it is compacted: a queue of 10,000 writes half a mebibyte a change.
//! etcd needs `--auto-compaction-retention`, or it stops at its quota.

mod messages;
mod register;
pub mod survey;
mod wire;

use std::time::Duration;

use music_core::id::RecordId;
use music_core::lock_ref::LockRef;
use tonic::transport::Endpoint;

use self::register::Keys;
use self::wire::Wire;
use crate::connect::ConnectError;
pub use crate::connect::Credentials;
use crate::versioned::{Failure, Queues};
use crate::{Error, versioned};

const ENGINE: &str = "etcd";

/// Where etcd is, and how it is used.
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// Members, as `http://host:port`, that of the node's own site first. The
    /// first is used for as long as it answers, then the next that does.
    pub endpoints: Vec<String>,
    /// What the names of all keys begin with; the same at all nodes.
    pub prefix: String,
    /// With whose rights, where etcd asks for them.
    pub credentials: Option<Credentials>,
    /// How long a call may take before it fails.
    pub patience: Duration,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            prefix: "music/queues/".to_owned(),
            credentials: None,
            patience: Duration::from_secs(5),
        }
    }
}

/// One node's view of queues in etcd.
#[derive(Clone, Debug)]
pub struct Etcd(Queues<Keys>);

impl Etcd {
    /// Connects, and sees that a majority answers.
    ///
    /// # Errors
    /// Where the configuration is wrong, or etcd refuses or does not answer.
    /// Once connected, calls fail while it does not, and succeed again after.
    pub async fn connect(config: EtcdConfig) -> Result<Self, ConnectError> {
        if config.endpoints.is_empty() {
            return Err(ConnectError::NoEndpoints { engine: ENGINE });
        }
        let endpoints = config.endpoints.iter().map(|text| endpoint(text));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        let tries = endpoints.len();
        let keys = Keys {
            wire: Wire::new(endpoints, config.credentials),
            prefix: config.prefix,
        };
        for _ in 0..tries {
            match keys.range(keys.prefix.clone().into_bytes()).await {
                Ok(_) => return Ok(Self(Queues::new(keys, config.patience))),
                Err(Failure::Fatal(source)) => {
                    return Err(ConnectError::Refused {
                        engine: ENGINE,
                        prefix: keys.prefix,
                        source: Box::new(source),
                    });
                }
                Err(failure) => tracing::debug!(?failure, "an endpoint of etcd does not answer"),
            }
        }
        Err(ConnectError::Unreachable {
            engine: ENGINE,
            endpoints: config.endpoints.join(", "),
        })
    }

    /// Skips all lockRefs of a key up to this one, as after a restore of etcd
    /// from a backup.
    ///
    /// # Errors
    /// As [`crate::LockStore::apply`].
    pub async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> Result<(), Error> {
        self.0.advance(id, lock_ref).await
    }
}

fn endpoint(text: &str) -> Result<Endpoint, ConnectError> {
    let invalid = |reason| ConnectError::Invalid {
        engine: ENGINE,
        value: text.to_owned(),
        reason,
    };
    if text.starts_with("https://") {
        return Err(invalid(
            "TLS is not supported; connect through a proxy that adds it",
        ));
    }
    if !text.starts_with("http://") {
        return Err(invalid("an endpoint is written `http://host:port`"));
    }
    Endpoint::from_shared(text.to_owned())
        .map_err(|_uri| invalid("an endpoint is written `http://host:port`"))
}

versioned::lock_store!(Etcd);

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(config: EtcdConfig) -> String {
        Etcd::connect(config).await.unwrap_err().to_string()
    }

    fn at(endpoint: &str) -> EtcdConfig {
        EtcdConfig {
            endpoints: vec![endpoint.to_owned()],
            ..EtcdConfig::default()
        }
    }

    #[tokio::test]
    async fn a_wrong_configuration_is_refused_with_what_to_do() {
        let error = refused(EtcdConfig::default()).await;
        assert!(error.contains("name at least one"), "{error}");
        for wrong in ["127.0.0.1:2379", "https://127.0.0.1:2379", "http://a b"] {
            let error = refused(at(wrong)).await;
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[tokio::test]
    async fn an_etcd_that_is_down_is_named() {
        // The port that nothing listens at.
        let error = Etcd::connect(at("http://127.0.0.1:1")).await.unwrap_err();
        assert!(error.is_retryable());
        assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
    }
}
