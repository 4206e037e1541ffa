//! The process at one site.
//!
//! It serves clients in *lives*: one ends where the database is found to lack what
//! no log holds any more. Then it is restored from another site (`snapshot`), while
//! clients are refused and told so, and the next life begins.

use std::net::SocketAddr;
use std::time::Duration;

use music_client::{Client, Options};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::{Config, MusicConfig};
use crate::engine::{Database, Engine, LocalOnly, OpenError, Postgres, PostgresError};
use crate::error::SqlError;
pub use crate::metrics::MetricsError;
use crate::metrics::{self, Measured, Metrics};
use crate::outbox::{Outbox, OutboxError};
use crate::proxy::{ServeError, Site, refuse, serve_at};
use crate::redo_log::{Behind, Error as LogError, LogOptions, RedoLog};
use crate::replicated::Replicated;
use crate::sites::{SiteList, SitesError};
use crate::snapshot::{self, Progress, Restore, RestoreError};

/// How often the database is restored anew because the snapshot was too old when it
/// was there, before a site gives up.
const RESTORES_MAX: u32 = 5;
/// How long a site that can be restored by nobody waits before it asks again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Why a site cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The local database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The site's own PostgreSQL cannot be used.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The address is taken, or not one of this machine.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A node's address is none.
    #[error("the nodes of MUSIC cannot be used")]
    Nodes(#[source] music_client::Error),
    /// The list of sites is wrong.
    #[error(transparent)]
    Sites(#[from] SitesError),
    /// The other sites cannot be joined.
    #[error("cannot join the other sites: {0}")]
    Join(#[source] SqlError),
    /// The logs cannot be reached.
    #[error("cannot join the other sites")]
    Log(#[from] LogError),
    /// The letters cannot be reached.
    #[error("cannot join the other sites")]
    Outbox(#[from] OutboxError),
    /// The database lacks what is gone, and cannot be restored.
    #[error("the database needs a snapshot of another site: {0}")]
    Restore(#[from] RestoreError),
    /// Metrics cannot be told.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Clients cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// A site's database that is open, and listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    metrics_listener: Option<TcpListener>,
    config: Config,
    progress: Progress,
    metrics: Metrics,
    opened: Opened,
}

/// A database, and what joins it to others.
#[derive(Debug)]
struct Opened {
    engine: Engine,
    replicated: Option<Replicated>,
}

/// How a life has ended.
enum End {
    /// The process was told to end.
    Over,
    /// The database is to be restored, for this reason.
    Behind(String),
}

impl Server {
    /// Begins to listen, opens the local database and joins the other sites. Where
    /// the database lacks what is gone, as that of a new site does, it is restored
    /// from another one. Clients that come meanwhile are refused and told why.
    ///
    /// # Errors
    /// [`Error`]; what was made in MUSIC stays.
    ///
    /// # Cost
    /// As [`Replicated::join`]; a restore costs the whole database over the wire.
    ///
    /// # Cancel safety
    /// Tables of MUSIC and the file of the database may be made.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let (listener, address) = listen(config.listen).await?;
        let metrics_listener = match config.metrics_listen {
            Some(address) => Some(listen(address).await?.0),
            None => None,
        };
        if config.postgres.is_none() {
            snapshot::tidy(&config.path);
        }
        let progress = Progress::default();
        let opened = tokio::select! {
            opened = Box::pin(open(&config, &progress)) => opened?,
            () = refuse(&listener, &progress) => return Err(Error::Join(gone())),
        };
        Ok(Self {
            listener,
            address,
            metrics_listener,
            config,
            metrics: Metrics::new(progress.clone()),
            progress,
            opened,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are told; none where they are not.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref()?.local_addr().ok()
    }

    /// Serves clients until `shutdown` is canceled.
    ///
    /// # Errors
    /// [`Error::Serve`], before the first client; any other where the database had
    /// to be restored and could not be opened again.
    ///
    /// # Cancel safety
    /// As [`serve`](crate::proxy::serve).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self {
            listener,
            metrics_listener,
            config,
            progress,
            metrics,
            mut opened,
            ..
        } = self;
        let stop = shutdown.child_token();
        let told = metrics::serve(metrics_listener, metrics.clone(), stop.clone());
        let lives = async {
            loop {
                let room = (&listener, &progress, &metrics);
                match Box::pin(live(&config, opened, room, &shutdown)).await? {
                    End::Over => return Ok(()),
                    End::Behind(reason) => tracing::warn!(reason, "the database is restored"),
                }
                opened = tokio::select! {
                    opened = Box::pin(open_behind(&config, &progress)) => opened?,
                    () = refuse(&listener, &progress) => return Err(Error::Join(gone())),
                    () = shutdown.cancelled() => return Ok(()),
                };
            }
        };
        let lives = async {
            let lived: Result<(), Error> = lives.await;
            stop.cancel();
            lived
        };
        let (lived, told) = tokio::join!(lives, told);
        lived.and(told.map_err(Error::Metrics))
    }
}

fn gone() -> SqlError {
    SqlError::internal("clients are refused no more")
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves clients until the process is to end, or the database to be restored.
async fn live(
    config: &Config,
    opened: Opened,
    (listener, progress, metrics): (&TcpListener, &Progress, &Metrics),
    shutdown: &CancellationToken,
) -> Result<End, Error> {
    let Opened {
        engine: database,
        replicated,
    } = opened;
    if let Engine::Sqlite(database) = &database {
        metrics.watch(database);
    }
    let progress = progress.clone();
    let Some(replicated) = replicated else {
        let site = Site {
            config: config.clone(),
            database,
            replication: Measured::new(LocalOnly, metrics.clone()),
        };
        serve_at(listener, site, progress, shutdown.clone()).await?;
        return Ok(End::Over);
    };
    let life = shutdown.child_token();
    let site = Site {
        config: config.clone(),
        database,
        replication: Measured::new(replicated.clone(), metrics.clone()),
    };
    let follow = replicated.follow(life.clone());
    let watch = life.run_until_cancelled(watch(config, replicated.behind(), &progress));
    let watched = async {
        let reason = watch.await;
        // What follows in this life is its end.
        life.cancel();
        reason
    };
    let serve = serve_at(listener, site, progress.clone(), life.clone());
    let serve = async {
        let served = serve.await;
        // It ends sooner where it cannot begin.
        life.cancel();
        served
    };
    let (served, (), reason) = tokio::join!(serve, follow, watched);
    replicated.close().await;
    served?;
    Ok(reason.map_or(End::Over, End::Behind))
}

/// Waits until the database needs to be restored, and somebody is there who could:
/// until then the site serves what it has.
async fn watch(config: &Config, behind: &Behind, progress: &Progress) -> String {
    behind.noted().await;
    let reason = behind.reason().unwrap_or_default().to_owned();
    loop {
        match restore_of(config, progress, &reason) {
            Ok(Some(restore)) => match restore.check().await {
                Ok(()) => {
                    progress.begin(&reason);
                    return reason;
                }
                Err(error) => {
                    tracing::error!(reason, %error, "the database cannot be restored yet");
                }
            },
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the database cannot be restored"),
        }
        clock::sleep(ASK_AGAIN).await;
    }
}

fn restore_of(
    config: &Config,
    progress: &Progress,
    reason: &str,
) -> Result<Option<Restore>, RestoreError> {
    let Some(music) = &config.music else {
        return Ok(None);
    };
    let restore = Restore::of(config, music, progress.clone())?;
    restore
        .map(Some)
        .ok_or_else(|| RestoreError::Nobody(reason.to_owned()))
}

/// Opens a database that is to be restored first. Where it cannot be, it is served
/// as it was.
async fn open_behind(config: &Config, progress: &Progress) -> Result<Opened, Error> {
    let reason = progress.restoring().map(|restoring| restoring.reason);
    let restored = restore(config, progress, &reason.unwrap_or_default()).await;
    match restored {
        Ok(()) => open(config, progress).await,
        Err(error) => {
            tracing::error!(%error, "the database could not be restored");
            join(config).await.map_err(|(error, _)| error)
        }
    }
}

/// Opens the database, and restores it where that must be.
async fn open(config: &Config, progress: &Progress) -> Result<Opened, Error> {
    let mut restores = 0;
    loop {
        let (error, behind) = match join(config).await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failed,
        };
        let Some(reason) = behind.reason().filter(|_| restores < RESTORES_MAX) else {
            return Err(error);
        };
        restores += 1;
        tracing::warn!(reason, "the database is restored");
        progress.begin(reason);
        restore(config, progress, reason).await?;
    }
}

async fn restore(config: &Config, progress: &Progress, reason: &str) -> Result<(), Error> {
    let restored = async {
        let (Some(restore), Some(music)) = (restore_of(config, progress, reason)?, &config.music)
        else {
            return Err(RestoreError::Nobody(reason.to_owned()).into());
        };
        let (client, options) = log_options(music, &config.database)?;
        let log = RedoLog::open(client.clone(), options).await?;
        let outbox = Outbox::open(client, &config.database, &log).await?;
        Ok(Box::pin(restore.run(&log, &outbox)).await?)
    };
    let restored: Result<(), Error> = restored.await;
    progress.end(restored.is_ok());
    restored
}

fn log_options(music: &MusicConfig, name: &str) -> Result<(Client, LogOptions), Error> {
    let client = Client::new(&music.nodes, Options::default()).map_err(Error::Nodes)?;
    let sites = SiteList::new(music.sites_version, music.sites.iter().cloned())?;
    let options = LogOptions {
        slots: music.log_slots,
        ..LogOptions::new(name, music.site.clone(), sites)
    };
    Ok((client, options))
}

/// Opens the database and joins the others; what was found out where that fails.
async fn join(config: &Config) -> Result<Opened, (Error, Behind)> {
    let failed = |error| (error, Behind::default());
    let engine = match config.postgres_options() {
        Some(options) => Postgres::open(options)
            .await
            .map(Engine::from)
            .map_err(Error::from),
        None => Database::open(&config.options())
            .map(Engine::from)
            .map_err(Error::from),
    };
    let engine = engine.map_err(failed)?;
    let Some(music) = &config.music else {
        return Ok(Opened {
            engine,
            replicated: None,
        });
    };
    let (client, options) = log_options(music, &config.database).map_err(failed)?;
    let behind = options.behind.clone();
    let joined = Box::pin(Replicated::join(client, options, engine.clone())).await;
    match joined {
        Ok(replicated) => Ok(Opened {
            engine,
            replicated: Some(replicated),
        }),
        Err(error) => Err((Error::Join(error), behind)),
    }
}
