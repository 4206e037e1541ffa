//! What a node is told at its start.

use std::time::Duration;

use bytes::Bytes;
use music_core::time::Lease;

use super::tenures::Affinity;

/// The settings of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// How long the node may go unheard before its tickets may be forced; the
    /// same at all nodes.
    pub lease: Lease,
    /// How long one call to an engine may take.
    pub call_timeout: Duration,
    /// The most sections open at a time.
    pub sections_max: usize,
    /// Where other nodes reach this one's API, as `host:port`; empty where they
    /// do not.
    pub address: Bytes,
    /// Which tickets are kept between sections.
    pub affinity: Affinity,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            lease: Lease::DEFAULT,
            call_timeout: Duration::from_secs(5),
            sections_max: 200_000,
            address: Bytes::new(),
            affinity: Affinity::default(),
        }
    }
}
