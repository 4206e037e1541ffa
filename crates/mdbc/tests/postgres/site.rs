//! A site's local database with the connection of one client, as the front uses
//! it.

use std::collections::BTreeMap;

use mdbc::engine::postgres::{Captured, Id, Slot, TableOptions};
use mdbc::engine::{Applied, Digest, Position, Postgres, PostgresOptions, TableKind};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::cluster::Cluster;

/// Partitions of which entries are, here: one.
pub(crate) const PARTITION: &str = "all/all";

/// A site.
pub(crate) struct Site {
    pub(crate) postgres: Postgres,
    pub(crate) client: Client,
    _slot: Slot,
}

/// The site with a number, at a database that is there.
pub(crate) fn options(url: &str, site: u16) -> PostgresOptions {
    PostgresOptions {
        url: url.to_owned(),
        site,
        sites_max: 4,
        default_kind: TableKind::Strong,
    }
}

impl Site {
    /// A site with an empty database.
    pub(crate) async fn new(cluster: &Cluster, site: u16) -> Self {
        let url = cluster.database(&format!("site_{site}")).await;
        Self::open(&url, site).await
    }

    pub(crate) async fn open(url: &str, site: u16) -> Self {
        let postgres = Postgres::open(options(url, site)).await.unwrap();
        let (client, slot) = connect(&postgres).await;
        Self {
            postgres,
            client,
            _slot: slot,
        }
    }

    /// Another connection of a client.
    pub(crate) async fn another(&self) -> Self {
        let (client, slot) = connect(&self.postgres).await;
        Self {
            postgres: self.postgres.clone(),
            client,
            _slot: slot,
        }
    }

    pub(crate) async fn run(&self, text: &str) {
        if let Err(error) = self.client.batch_execute(text).await {
            panic!("{text}: {error:?}");
        }
    }

    /// The SQLSTATE that a statement fails with.
    pub(crate) async fn state(&self, text: &str) -> String {
        let error = self.client.batch_execute(text).await.unwrap_err();
        error.code().unwrap().code().to_owned()
    }

    /// Changes the schema, within a transaction.
    pub(crate) async fn ddl(&self, text: &str, kind: Option<TableKind>) {
        self.run(self.postgres.before_ddl()).await;
        self.run(text).await;
        let options = TableOptions { kind, group: None };
        self.run(&self.postgres.after_ddl(text, &options)).await;
    }

    /// Seals and prepares the transaction.
    pub(crate) async fn prepare(&self) -> (Id, Digest) {
        let id = Id::draw();
        let digest = self.seal(id).await;
        let text = format!("PREPARE TRANSACTION '{}'", id.gid());
        self.run(&text).await;
        (id, digest)
    }

    pub(crate) async fn seal(&self, id: Id) -> Digest {
        let rows = self.client.simple_query(&self.postgres.seal(id)).await;
        let captured = |message: &SimpleQueryMessage| {
            let SimpleQueryMessage::Row(row) = message else {
                return None;
            };
            let text = |at| row.get(at).unwrap().to_owned();
            Some(Captured {
                kind: text(0),
                schema: text(1),
                relation: text(2),
                body: text(3),
            })
        };
        let rows = rows.unwrap();
        let captured = rows.iter().filter_map(captured).collect();
        self.postgres.digest(id, captured).unwrap()
    }

    /// Commits what is prepared, as the entry at a position.
    pub(crate) async fn commit(&self, id: Id, position: u64) {
        self.run(&format!("COMMIT PREPARED '{}'", id.gid())).await;
        self.postgres.note_own(id, at(position)).await;
    }

    /// One transaction of changes of rows, committed as the entry at a position.
    pub(crate) async fn write(&self, text: &str, position: u64) -> Digest {
        self.run(&format!("BEGIN; {text}")).await;
        self.end(position).await
    }

    /// One transaction that changes the schema, committed likewise.
    pub(crate) async fn change(&self, text: &str, position: u64) -> Digest {
        self.run("BEGIN").await;
        self.ddl(text, None).await;
        self.end(position).await
    }

    pub(crate) async fn end(&self, position: u64) -> Digest {
        let (id, digest) = self.prepare().await;
        self.commit(id, position).await;
        self.postgres.reload().await.unwrap();
        digest
    }

    /// Applies an entry of another site.
    pub(crate) async fn apply(&self, digest: &Digest, position: u64) {
        self.try_apply(digest, position).await.unwrap();
    }

    pub(crate) async fn try_apply(
        &self,
        digest: &Digest,
        position: u64,
    ) -> mdbc::error::Result<()> {
        self.apply_all(&[(digest, position)]).await.1
    }

    /// Applies entries at once: how many are done, and why no more.
    pub(crate) async fn apply_all(
        &self,
        entries: &[(&Digest, u64)],
    ) -> (usize, mdbc::error::Result<()>) {
        // What is in the log is bytes.
        let applied = entries.iter().map(|(digest, position)| Applied {
            digest: Digest::decode(&digest.encode().unwrap()).unwrap(),
            positions: at(*position),
        });
        self.postgres.apply(&applied.collect::<Vec<_>>()).await
    }

    /// How far the only log is applied, as it is on the disk.
    pub(crate) async fn position(&self) -> u64 {
        let positions = self.postgres.positions().await.unwrap();
        positions.get(PARTITION).map_or(0, |at| at.position)
    }

    /// All rows of a query, as text.
    pub(crate) async fn rows(&self, query: &str) -> Vec<String> {
        let rows = self.client.query(query, &[]).await.unwrap();
        rows.iter()
            .map(|row| row.get::<_, Option<String>>(0).unwrap_or_default())
            .collect()
    }

    /// All rows of a table, in order.
    pub(crate) async fn all(&self, table: &str) -> Vec<String> {
        let query = format!("SELECT row(t.*)::text AS line FROM {table} AS t ORDER BY line");
        self.rows(&query).await
    }
}

/// The position of an entry in the only log.
pub(crate) fn at(position: u64) -> BTreeMap<String, Position> {
    let at = Position {
        position,
        id: position.to_be_bytes().to_vec(),
    };
    BTreeMap::from([(PARTITION.to_owned(), at)])
}

async fn connect(postgres: &Postgres) -> (Client, Slot) {
    let slot = postgres.slot().await.unwrap();
    let mut server: Config = postgres.server().clone();
    server.options(slot.startup_options());
    let (client, connection) = server.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    (client, slot)
}
