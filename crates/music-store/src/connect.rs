//! Beginning to use an engine that is a service of its own.

use std::fmt;

/// A user of the service.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password; never shown.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A service that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration names nobody to connect to.
    #[error("no endpoint of {engine} is given: name at least one, that of this site first")]
    NoEndpoints {
        /// Which engine.
        engine: &'static str,
    },
    /// The configuration is wrong.
    #[error("`{value}` does not fit {engine}: {reason}")]
    Invalid {
        /// Which engine.
        engine: &'static str,
        /// What was given.
        value: String,
        /// What is expected.
        reason: &'static str,
    },
    /// The service answers, and refuses.
    #[error(
        "{engine} refuses this node: check its credentials, and that they may read and write \
         below `{prefix}`"
    )]
    Refused {
        /// Which engine.
        engine: &'static str,
        /// Where the queues are.
        prefix: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The service does not answer. It may do so later.
    #[error(
        "{engine} does not answer at {endpoints}: check that a majority of its servers run, and \
         that this machine reaches them"
    )]
    Unreachable {
        /// Which engine.
        engine: &'static str,
        /// What was tried.
        endpoints: String,
    },
}

impl ConnectError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials {
            user: "music".to_owned(),
            password: "secret".to_owned(),
        };
        let shown = format!("{credentials:?}");
        assert!(
            shown.contains("music") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
