//! Clients that come while there is no database to serve.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use pgwire::tokio::server::negotiate_tls;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::message;
use crate::error::{SqlError, state};
use crate::snapshot::Progress;

/// How long a client may take that is refused.
const WAIT: Duration = Duration::from_secs(10);
/// How many are refused at a time; others wait for that.
const CLIENTS_MAX: usize = 64;

/// Refuses clients, and tells them why, until it is dropped.
pub(crate) async fn refuse(listener: &TcpListener, progress: &Progress) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < CLIENTS_MAX => match accepted {
                Ok((socket, _)) => {
                    let why = starting(progress);
                    clients.spawn(timeout(WAIT, tell(socket, why)));
                }
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            },
            Some(_told) = clients.join_next() => {}
        }
    }
}

async fn tell(socket: TcpStream, why: SqlError) -> io::Result<()> {
    let negotiated = negotiate_tls::<()>(socket, None).await?;
    let Some(mut stranger) = negotiated else {
        return Ok(());
    };
    // Whatever it asks for.
    let _request = stranger.next().await;
    stranger.send(message::fatal(&why)).await?;
    stranger.close().await
}

/// Why a client cannot be served yet.
fn starting(progress: &Progress) -> SqlError {
    let message = match progress.restoring() {
        Some(restoring) => format!("this site restores its database: {restoring}"),
        None => "the database system is starting up".to_owned(),
    };
    SqlError::new(state::CANNOT_CONNECT_NOW, message).with_hint("Try it again in a moment.")
}

/// Why the connection of a client ends.
pub(super) fn ending(progress: &Progress) -> SqlError {
    let ended = "terminating connection due to administrator command";
    let error = SqlError::new(state::ADMIN_SHUTDOWN, ended);
    match progress.restoring() {
        Some(restoring) => error
            .with_detail(format!(
                "This site restores its database: {}",
                restoring.reason
            ))
            .with_hint("Connect again in a moment, or to another site."),
        None => error,
    }
}
