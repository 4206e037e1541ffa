//! A connection of mdbc's own to the local PostgreSQL, made anew when it is lost.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

use crate::error::{Result, SqlError, State, state};

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// A connection with the settings that it begins with.
pub(super) struct Link {
    server: Config,
    setup: &'static str,
    open: Mutex<Option<Open>>,
}

/// A connection that is open, until this is dropped.
pub(super) struct Open {
    client: Client,
    carrier: JoinHandle<()>,
}

impl Deref for Open {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The connection, for one user at a time.
pub(super) struct Held<'l>(MutexGuard<'l, Option<Open>>);

impl Deref for Held<'_> {
    type Target = Client;

    #[allow(clippy::panic, reason = "it is made with a connection alone")]
    fn deref(&self) -> &Client {
        match &*self.0 {
            Some(open) => &open.client,
            None => panic!("a held connection is open"),
        }
    }
}

impl DerefMut for Held<'_> {
    #[allow(clippy::panic, reason = "it is made with a connection alone")]
    fn deref_mut(&mut self) -> &mut Client {
        match &mut *self.0 {
            Some(open) => &mut open.client,
            None => panic!("a held connection is open"),
        }
    }
}

impl Link {
    /// No connection is made yet.
    pub(super) fn new(server: &Config, setup: &'static str) -> Self {
        Self {
            server: server.clone(),
            setup,
            open: Mutex::default(),
        }
    }

    /// Waits until nobody else uses the connection, and makes it anew where it is
    /// lost. What a dropped user left open is rolled back.
    pub(super) async fn hold(&self) -> Result<Held<'_>> {
        let mut open = self.open.lock().await;
        if open.as_ref().is_none_or(|open| open.client.is_closed()) {
            *open = None;
            *open = Some(self.connect().await?);
        }
        Ok(Held(open))
    }

    /// Another connection of the same kind, for one user.
    pub(super) async fn connect(&self) -> Result<Open> {
        let connected = tokio::time::timeout(CONNECT_WAIT, self.server.connect(NoTls)).await;
        let late = |_| {
            SqlError::new(
                state::CANNOT_CONNECT_NOW,
                format!("the local PostgreSQL does not answer within {CONNECT_WAIT:?}"),
            )
        };
        let (client, connection) = connected.map_err(late)?.map_err(told)?;
        let carrier = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the local PostgreSQL has ended");
            }
        });
        let open = Open { client, carrier };
        open.client.batch_execute(self.setup).await.map_err(told)?;
        Ok(open)
    }
}

/// What PostgreSQL said, or that it says nothing.
#[allow(clippy::needless_pass_by_value, reason = "it is given to map_err")]
pub(super) fn told(error: tokio_postgres::Error) -> SqlError {
    let Some(said) = error.as_db_error() else {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let detail = cause.unwrap_or_else(|| error.to_string());
        return SqlError::new(
            state::CANNOT_CONNECT_NOW,
            format!("the local PostgreSQL cannot be reached: {detail}"),
        );
    };
    let code = <[u8; 5]>::try_from(said.code().code().as_bytes());
    SqlError {
        state: code.map_or(state::INTERNAL_ERROR, State::new),
        message: said.message().to_owned(),
        detail: said.detail().map(str::to_owned),
        hint: said.hint().map(str::to_owned),
    }
}
