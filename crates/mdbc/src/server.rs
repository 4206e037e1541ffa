//! The process at one site.

use std::net::SocketAddr;

use music_client::{Client, Options};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, MusicConfig};
use crate::engine::{Database, Engine, LocalOnly, OpenError, Postgres, PostgresError};
use crate::error::SqlError;
use crate::proxy::{ServeError, Site, serve};
use crate::redo_log::LogOptions;
use crate::replicated::Replicated;
use crate::sites::{SiteList, SitesError};

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
    /// Clients cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// A site's database that is open, and listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
    engine: Engine,
    replicated: Option<Replicated>,
}

impl Server {
    /// Opens the local database, joins the other sites and begins to listen.
    ///
    /// # Errors
    /// [`Error`]; what was made in MUSIC stays.
    ///
    /// # Cost
    /// As [`Replicated::join`].
    ///
    /// # Cancel safety
    /// Tables of MUSIC and the file of the database may be made.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let engine = match config.postgres_options() {
            Some(options) => Engine::from(Postgres::open(options).await?),
            None => Engine::from(Database::open(&config.options())?),
        };
        let replicated = match &config.music {
            Some(music) => Some(join(music, &config.database, engine.clone()).await?),
            None => None,
        };
        let listen = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            listener,
            address,
            config,
            engine,
            replicated,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves clients until `shutdown` is canceled.
    ///
    /// # Errors
    /// [`Error::Serve`], before the first client.
    ///
    /// # Cancel safety
    /// As [`serve`].
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self {
            listener,
            config,
            engine,
            replicated,
            ..
        } = self;
        let database = engine;
        let Some(replicated) = replicated else {
            let site = Site {
                config,
                database,
                replication: LocalOnly,
            };
            return Ok(serve(listener, site, shutdown).await?);
        };
        let site = Site {
            config,
            database,
            replication: replicated.clone(),
        };
        let follow = replicated.follow(shutdown.clone());
        let (served, ()) = tokio::join!(serve(listener, site, shutdown), follow);
        replicated.close().await;
        Ok(served?)
    }
}

async fn join(music: &MusicConfig, name: &str, engine: Engine) -> Result<Replicated, Error> {
    let client = Client::new(&music.nodes, Options::default()).map_err(Error::Nodes)?;
    let sites = SiteList::new(music.sites_version, music.sites.iter().cloned())?;
    let options = LogOptions::new(name, music.site.clone(), sites);
    Replicated::join(client, options, engine)
        .await
        .map_err(Error::Join)
}
