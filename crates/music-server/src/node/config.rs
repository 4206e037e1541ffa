//! What a node is told at its start.

use std::time::Duration;

use music_core::time::Lease;

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
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            lease: Lease::DEFAULT,
            call_timeout: Duration::from_secs(5),
            sections_max: 200_000,
        }
    }
}
