//! A local database that does not take what is in the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mdbc::engine::{Access, Appended, Database, Digest, Position, Replication, Who};
use mdbc::error::SqlError;
use mdbc::proxy::{Site, serve};
use mdbc::redo_log::LogOptions;
use mdbc::replicated::Replicated;
use mdbc::sites::SiteList;
use music_client::{Client, Options};
use tokio::net::TcpListener;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::sites::{Sites, all, soon};

const LEASE: Duration = Duration::from_secs(30);

/// Lets the local commit fail, as a full disk would, when the log has the entry.
#[derive(Clone)]
struct Sabotage {
    inner: Replicated,
    is_on: Arc<AtomicBool>,
}

#[async_trait]
impl Replication for Sabotage {
    async fn before(&self, who: Who, access: &Access, may_write: bool) -> Result<(), SqlError> {
        self.inner.before(who, access, may_write).await
    }

    async fn append(&self, transaction: u64, digest: &Digest) -> Result<Appended, SqlError> {
        let mut appended = self.inner.append(transaction, digest).await?;
        if self.is_on.load(Ordering::SeqCst) {
            let nowhere = Position {
                position: u64::MAX,
                id: Vec::new(),
            };
            appended.notes.positions = BTreeMap::from([("none".to_owned(), nowhere)]);
        }
        Ok(appended)
    }

    async fn read(&self, transaction: u64) -> Result<(), SqlError> {
        self.inner.read(transaction).await
    }

    async fn refresh(&self) -> Result<(), SqlError> {
        self.inner.refresh().await
    }

    fn age(&self) -> Option<Duration> {
        self.inner.age()
    }

    fn acknowledged(&self, transaction: u64) {
        self.inner.acknowledged(transaction);
    }

    fn ended(&self, transaction: u64, is_committed: bool) {
        self.inner.ended(transaction, is_committed);
    }
}

/// A site whose local commits may be made to fail, and are counted.
pub(crate) struct Sabotaged {
    pub(crate) port: u16,
    pub(crate) database: Database,
    is_on: Arc<AtomicBool>,
}

/// Serves a site that was stopped.
pub(crate) async fn serve_sabotaged(sites: &Sites, site: usize) -> Sabotaged {
    let config = sites.config(site);
    let music = config.music.as_ref().unwrap();
    let database = Database::open(&config.options()).unwrap();
    let client = Client::new(&music.nodes, Options::default()).unwrap();
    let list = SiteList::new(1, music.sites.clone()).unwrap();
    let options = LogOptions::new("music", music.site.clone(), list);
    let joined = Replicated::join(client, options, database.clone());
    let inner = soon(joined).await.unwrap();
    let is_on = Arc::new(AtomicBool::new(false));
    let replication = Sabotage {
        inner,
        is_on: Arc::clone(&is_on),
    };
    let listener = TcpListener::bind(config.listen).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Site {
        config,
        database: database.clone(),
        replication,
    };
    tokio::spawn(Box::pin(serve(listener, served, CancellationToken::new())));
    Sabotaged {
        port,
        database,
        is_on,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_local_database_does_not_take_is_committed_and_applied_later() {
    let sites = Sites::start(LEASE).await;
    let other = sites.client(0).await;
    other
        .batch_execute("CREATE TABLE t (k int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    sites.stop(2).await;
    let Sabotaged { port, is_on, .. } = serve_sabotaged(&sites, 2).await;
    let client = sites.client_at(port).await;
    is_on.store(true, Ordering::SeqCst);
    // It is in the log, and the client is told so.
    soon(client.batch_execute("INSERT INTO t VALUES (2)"))
        .await
        .unwrap();
    is_on.store(false, Ordering::SeqCst);
    // Whoever goes on without it is not told that it has the latest.
    let go_on = async {
        while let Err(error) = client
            .batch_execute("INSERT INTO t SELECT max(k) + 1 FROM t")
            .await
        {
            let code = error.code().map(SqlState::code);
            assert_eq!(code, Some("40001"), "{error}");
        }
    };
    soon(go_on).await;
    for client in [&client, &other] {
        let rows = all(client, "SELECT k FROM t ORDER BY k").await;
        assert_eq!(rows, ["1", "2", "3"]);
    }
}
