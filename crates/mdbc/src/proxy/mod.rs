//! The front: PostgreSQL's wire protocol.

mod auth;
mod connection;
mod copy_in;
mod copy_out;
mod extended;
mod message;
mod refusal;
mod simple;
mod tls;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pgwire::messages::startup::SecretKey;
use pgwire::tokio::TlsAcceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::catalog::Facts;
use crate::config::Config;
use crate::engine::{Database, Engine, Replication};
use crate::postgres;
use crate::session::{Cancel, Shared};
use crate::snapshot::{Donor, Progress, Source};

pub use auth::UserError;
pub(crate) use copy_out::SIGNATURE;
pub(crate) use refusal::refuse;
pub use tls::TlsError;

/// Why clients cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The certificate or its key cannot be used.
    #[error("the certificate cannot be used")]
    Tls(#[from] TlsError),
    /// A user's password cannot be used.
    #[error("a user cannot be used")]
    User(#[from] UserError),
}

/// A site that clients are served at.
#[derive(Debug)]
pub struct Site<R, D = Database> {
    /// How.
    pub config: Config,
    /// The local database: of either engine.
    pub database: D,
    /// What keeps it the same as those of other sites.
    pub replication: R,
}

/// What sessions share, by engine.
enum Sessions {
    Sqlite(Arc<Shared>),
    Postgres(Arc<postgres::Shared>),
}

/// What all connections share.
struct Hub {
    engine: Sessions,
    tls: Option<TlsAcceptor>,
    users: auth::Users,
    database_name: String,
    /// Sessions that can be canceled: by the number and the key they were told.
    running: Mutex<HashMap<i32, (SecretKey, Arc<Cancel>)>>,
    sessions: AtomicU64,
    shutdown: CancellationToken,
    progress: Progress,
}

impl Hub {
    fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    fn register(&self, pid: i32, key: SecretKey, cancel: Arc<Cancel>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(pid, (key, cancel));
    }

    fn unregister(&self, pid: i32) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&pid);
    }

    fn cancel(&self, pid: i32, key: &SecretKey) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((own, cancel)) = running.get(&pid)
            && own.eq_value(key)
        {
            cancel.ask();
        }
    }
}

/// Serves clients until `shutdown` is canceled; then their transactions are
/// rolled back and their connections closed.
///
/// # Errors
///
/// [`ServeError`], before the first client.
///
/// # Cancel safety
///
/// A dropped future closes all connections; transactions that are open are
/// rolled back, one that is being committed may turn out either way.
pub async fn serve<R: Replication, D: Into<Engine>>(
    listener: TcpListener,
    site: Site<R, D>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    serve_at(&listener, site, Progress::default(), shutdown).await
}

/// The same, where clients are told of a restore that `progress` tells of.
pub(crate) async fn serve_at<R: Replication, D: Into<Engine>>(
    listener: &TcpListener,
    site: Site<R, D>,
    progress: Progress,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let Site {
        config,
        database,
        replication,
    } = site;
    let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
    let certificate = config.tls.as_ref().map(tls::certificate).transpose()?;
    let users = auth::Users::new(&config.users, certificate.as_deref())?;
    let hub = Arc::new(Hub {
        engine: sessions(
            &config,
            database.into(),
            Arc::new(replication),
            (&progress, &shutdown),
        ),
        tls,
        users,
        database_name: config.database.clone(),
        running: Mutex::default(),
        sessions: AtomicU64::new(1),
        shutdown: shutdown.clone(),
        progress,
    });
    let places = Arc::new(Semaphore::new(config.connections_max));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => accept(socket, &hub, &places, &mut connections),
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            },
            Some(ended) = connections.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a connection has failed");
            },
        }
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}

fn sessions(
    config: &Config,
    engine: Engine,
    replication: Arc<dyn Replication>,
    (progress, shutdown): (&Progress, &CancellationToken),
) -> Sessions {
    let site = config.music.as_ref().map(|music| music.site.clone());
    let donor = |source| Donor::new(source, config.database.clone(), site, shutdown.clone());
    let database = match engine {
        Engine::Sqlite(database) => database,
        Engine::Postgres(local) => {
            return Sessions::Postgres(Arc::new(postgres::Shared {
                donor: donor(Source::Postgres(local.clone())),
                local,
                replication,
                transactions: AtomicU64::default(),
            }));
        }
    };
    let mut roles: Vec<String> = config.users.iter().map(|user| user.name.clone()).collect();
    if roles.is_empty() {
        roles.push("mdbc".to_owned());
    }
    let facts = Facts {
        database: config.database.clone(),
        roles,
        settings: crate::session::fixed_settings(),
    };
    database.inner.board.set(&replication, progress.clone());
    Sessions::Sqlite(Arc::new(Shared {
        donor: donor(Source::Sqlite(database.clone(), config.path.clone())),
        database,
        replication,
        facts: Arc::new(facts),
        result_bytes_max: config.result_bytes_max,
    }))
}

fn accept(
    socket: TcpStream,
    hub: &Arc<Hub>,
    places: &Arc<Semaphore>,
    connections: &mut JoinSet<()>,
) {
    // Else an answer of several messages waits for the client's acknowledgement.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection's answers may be late");
    }
    let place = Arc::clone(places).try_acquire_owned().ok();
    let hub = Arc::clone(hub);
    connections.spawn(async move {
        let is_full = place.is_none();
        let served = Box::pin(connection::serve(socket, hub, is_full)).await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection has ended");
        }
        drop(place);
    });
}
