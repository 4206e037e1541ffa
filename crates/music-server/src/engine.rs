//! What is done to the engines of a deployment, beside serving from them.

pub mod doctor;

use crate::config::{Config, EngineConfig};
pub use crate::topology::EngineError;
use crate::topology::Services;

/// Creates what the engines of a configuration need and is not there yet: the
/// keyspace and tables of Cassandra, the root of ZooKeeper. Returns whether
/// there is anything to set up: the embedded engine needs nothing.
///
/// May be run again, and by several nodes at once.
///
/// # Errors
/// Each says what to do about it. What was created stays.
///
/// # Cancel safety
/// Part of it may have been done; it is to be run again.
pub async fn init(config: &Config) -> Result<bool, EngineError> {
    match &config.engine {
        EngineConfig::Embedded(_) => Ok(false),
        EngineConfig::Services(services) => {
            Services::init(services).await?;
            Ok(true)
        }
    }
}
