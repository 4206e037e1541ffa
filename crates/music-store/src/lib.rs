//! The two ports of MUSIC, state store and lock store, and the engines behind
//! them.
//!
//! A port is one site's view of an engine. [`StateStore`] keeps replicated
//! last-writer-wins records; [`LockStore`] keeps one linearizable queue a key.
//! What each promises is written at its methods.
//!
//! | module | what it holds |
//! |---|---|
//! | [`state_store`], [`lock_store`] | the ports |
//! | [`embedded`] | every site in one process, on disk, with WAN delays and cuts |
//! | `cassandra` | state and locks in Cassandra or ScyllaDB |
//! | `etcd`, `zookeeper` | queues in servers of that name, where the feature is on |
//! | [`memory`] | the reference engine: plain maps behind one lock |
//! | [`fault`] | an engine that fails as told, around any other |
//! | `simulated` | replicas over a network that fails, under one seed |
//! | [`engine`] | the closed set of engines, as the server holds them |
//! | `conformance` | what every engine must promise, as tests |

mod backlog;
#[cfg(feature = "cassandra")]
pub mod cassandra;
mod catalogue;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(any(feature = "cassandra", feature = "versioned"))]
pub mod connect;
pub mod embedded;
pub mod engine;
pub mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod fault;
pub mod lock_store;
pub mod memory;
#[cfg(any(feature = "cassandra", feature = "versioned"))]
pub mod probe;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
pub mod state_store;
pub mod table;
#[cfg(any(test, feature = "versioned"))]
mod versioned;
#[cfg(any(test, feature = "cassandra", feature = "versioned"))]
mod watches;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

pub use engine::{LockEngine, StateEngine};
pub use error::Error;
pub use lock_store::{Applied, Hint, LockStore, Look};
pub use state_store::{Level, ScanRange, StateStore};
pub use table::{Table, TableMode, TableName};
