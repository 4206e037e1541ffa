//! Tables that are owned by ranges of their keys, and in groups.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use mdbc::engine::{Access, Appended, Database, Digest, Replication, Who};
use mdbc::error::SqlError;
use mdbc::proxy::{Site, serve};
use mdbc::redo_log::LogOptions;
use mdbc::replicated::Replicated;
use mdbc::sites::SiteList;
use music_client::{Client, Options};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bank;
use crate::sites::{Sites, all, one, soon, state};

const LEASE: Duration = Duration::from_secs(30);
/// What others do meanwhile, while somebody is to wait.
const MEANWHILE: usize = 20;

const STOCK: &str = "
    CREATE TABLE stock (w int, k int, v int NOT NULL, PRIMARY KEY (w, k))
        WITH (music = 'strong', music_ranges = 'w: 10, 20');
    CREATE TABLE other (k int PRIMARY KEY);
    INSERT INTO stock SELECT w, k, 0 FROM generate_series(0, 29) AS a (w),
        generate_series(0, 1) AS b (k)";

async fn stocked() -> Sites {
    let sites = Sites::start(LEASE).await;
    let client = sites.client(0).await;
    soon(client.batch_execute(STOCK)).await.unwrap();
    sites
}

/// Runs a statement at a site that has to wait for another site's transaction
/// until that is committed, and not before.
async fn waits(sites: &Sites, held: &str, statement: &str) {
    let (holder, other) = (sites.client(0).await, sites.client(1).await);
    let third = sites.client(2).await;
    let begin = format!("BEGIN; {held}");
    soon(holder.batch_execute(&begin)).await.unwrap();
    let mut waiting = Box::pin(other.batch_execute(statement));
    assert!((&mut waiting).now_or_never().is_none());
    for _ in 0..MEANWHILE {
        let work = third.batch_execute("INSERT INTO other SELECT count(*) FROM other");
        tokio::select! {
            done = &mut waiting => panic!("{statement} has not waited: {done:?}"),
            done = soon(work) => done.unwrap(),
        }
    }
    holder.batch_execute("COMMIT").await.unwrap();
    soon(waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_that_work_on_different_ranges_do_not_wait_for_each_other() {
    let sites = stocked().await;
    let clients = [
        sites.client(0).await,
        sites.client(1).await,
        sites.client(2).await,
    ];
    for (client, w) in clients.iter().zip([5, 15, 25]) {
        let update = format!("BEGIN; UPDATE stock SET v = v + 1 WHERE w = {w}");
        soon(client.batch_execute(&update)).await.unwrap();
    }
    // Each has its range in a transaction that is open, and goes on in it.
    for (client, w) in clients.iter().zip([5, 15, 25]) {
        let insert = client.prepare("INSERT INTO stock VALUES ($1, $2, 1)");
        let insert = soon(insert).await.unwrap();
        soon(client.execute(&insert, &[&w, &7_i32])).await.unwrap();
        let count = "SELECT count(*) FROM stock WHERE w IN ($1, $2)";
        let row = soon(client.query_one(count, &[&w, &(w + 1)]))
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), 5);
    }
    for client in &clients {
        soon(client.batch_execute("COMMIT")).await.unwrap();
    }
    for client in &clients {
        let sum = "SELECT sum(v), count(*) FROM stock";
        assert_eq!(soon(one(client, sum)).await, "9|63");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_touches_the_same_range_or_all_of_them_waits() {
    let sites = stocked().await;
    let held = "UPDATE stock SET v = v + 1 WHERE w = 5";
    waits(&sites, held, "UPDATE stock SET v = v + 1 WHERE w = 6").await;
    waits(&sites, held, "UPDATE stock SET v = v + 1 WHERE k = 1").await;
    waits(&sites, held, "SELECT sum(v) FROM stock").await;
    waits(
        &sites,
        held,
        "UPDATE stock SET w = 7, k = 99 WHERE w = 15 AND k = 1",
    )
    .await;
    waits(&sites, held, "ALTER TABLE stock ADD COLUMN more int").await;
    let client = sites.client(2).await;
    assert_eq!(one(&client, "SELECT sum(v) FROM stock").await, "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_moves_to_another_range_is_there_once_at_every_site() {
    let sites = stocked().await;
    let clients = [
        sites.client(0).await,
        sites.client(1).await,
        sites.client(2).await,
    ];
    soon(clients[0].batch_execute("INSERT INTO stock VALUES (1, 50, 0)"))
        .await
        .unwrap();
    for round in 0..12 {
        let (from, to) = ([1, 11, 21][round % 3], [11, 21, 1][round % 3]);
        let client = &clients[round / 2 % 3];
        let step = format!("UPDATE stock SET w = {to}, v = v + 1 WHERE w = {from} AND k = 50");
        assert_eq!(
            soon(client.execute(&step, &[])).await.unwrap(),
            1,
            "{round}"
        );
        let within = format!("UPDATE stock SET v = v + 1 WHERE w = {to} AND k = 50");
        let client = &clients[(round + 1) % 3];
        assert_eq!(
            soon(client.execute(&within, &[])).await.unwrap(),
            1,
            "{round}"
        );
    }
    for client in &clients {
        let rows = soon(all(client, "SELECT w, v FROM stock WHERE k = 50")).await;
        assert_eq!(rows, ["1|24"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_foreign_keys_reach_in_a_range_is_owned_with_it() {
    let sites = Sites::start(LEASE).await;
    let (a, b) = (sites.client(0).await, sites.client(1).await);
    soon(a.batch_execute(
        "CREATE TABLE house (w int PRIMARY KEY)
             WITH (music_group = 'orders', music_ranges = 'w: 10');
         CREATE TABLE orders (w int, id int, PRIMARY KEY (w, id),
             FOREIGN KEY (w) REFERENCES house ON DELETE CASCADE)
             WITH (music_group = 'orders', music_ranges = 'w: 10');
         CREATE TABLE line (id int, house int, orders int, PRIMARY KEY (house, orders, id),
             FOREIGN KEY (house, orders) REFERENCES orders ON DELETE CASCADE)
             WITH (music_group = 'orders', music_ranges = 'house: 10');
         INSERT INTO house VALUES (1), (11)",
    ))
    .await
    .unwrap();
    for (client, w) in [(&a, 1), (&b, 11)] {
        let order = format!(
            "BEGIN; INSERT INTO orders VALUES ({w}, 7); INSERT INTO line VALUES (1, {w}, 7)"
        );
        soon(client.batch_execute(&order)).await.unwrap();
    }
    // Both are open: neither waits for the other's range.
    for client in [&a, &b] {
        soon(client.batch_execute("COMMIT")).await.unwrap();
    }
    assert_eq!(
        soon(state(&b, "INSERT INTO orders VALUES (12, 1)")).await,
        "23503"
    );
    soon(a.batch_execute("DELETE FROM house WHERE w = 11"))
        .await
        .unwrap();
    for client in [&a, &b] {
        let left = soon(all(client, "SELECT house, orders FROM line")).await;
        assert_eq!(left, ["1|7"]);
    }
}

/// Keeps the positions of what is committed.
#[derive(Clone)]
struct Watched {
    inner: Replicated,
    positions: Arc<Mutex<Vec<Vec<String>>>>,
    /// What statements are to be taken to touch, if not what they do.
    ranges: Arc<Mutex<Option<Access>>>,
}

#[async_trait]
impl Replication for Watched {
    async fn before(&self, who: Who, access: &Access, may_write: bool) -> Result<(), SqlError> {
        let wrong = self.ranges.lock().unwrap().clone();
        let access = wrong.as_ref().unwrap_or(access);
        self.inner.before(who, access, may_write).await
    }

    async fn append(&self, transaction: u64, digest: &Digest) -> Result<Appended, SqlError> {
        let appended = self.inner.append(transaction, digest).await?;
        let positions = appended.notes.positions.keys().cloned().collect();
        self.positions.lock().unwrap().push(positions);
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

/// Serves a site anew whose entries are watched; its port.
async fn serve_watched(sites: &Sites, site: usize) -> (u16, Watched) {
    sites.stop(site).await;
    let config = sites.config(site);
    let music = config.music.as_ref().unwrap();
    let database = Database::open(&config.options()).unwrap();
    let client = Client::new(&music.nodes, Options::default()).unwrap();
    let list = SiteList::new(1, music.sites.clone()).unwrap();
    let options = LogOptions::new("music", music.site.clone(), list);
    let joined = Replicated::join(client, options, database.clone());
    let replication = Watched {
        inner: soon(joined).await.unwrap(),
        positions: Arc::default(),
        ranges: Arc::default(),
    };
    let listener = TcpListener::bind(config.listen).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Site {
        config,
        database,
        replication: replication.clone(),
    };
    tokio::spawn(Box::pin(serve(listener, served, CancellationToken::new())));
    (port, replication)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_tables_of_a_group_is_an_entry_of_one_log() {
    let sites = Sites::start(LEASE).await;
    let (port, watched) = serve_watched(&sites, 0).await;
    let client = sites.client_at(port).await;
    for options in [
        "music_group = 'g'",
        "music_group = 'h', music_ranges = 'k: 10, 20'",
    ] {
        let group = options.split('\'').nth(1).unwrap();
        for name in ["a", "b"] {
            let create = format!("CREATE TABLE {group}{name} (k int PRIMARY KEY) WITH ({options})");
            soon(client.batch_execute(&create)).await.unwrap();
        }
        let insert = format!(
            "BEGIN; INSERT INTO {group}a VALUES (15); INSERT INTO {group}b VALUES (16); COMMIT"
        );
        soon(client.batch_execute(&insert)).await.unwrap();
    }
    let positions = watched.positions.lock().unwrap().clone();
    assert_eq!(
        positions,
        [
            vec!["g/group", "mdbc_schema/all"],
            vec!["g/group", "mdbc_schema/all"],
            vec!["g/group"],
            vec!["h/group.0", "h/group.1", "h/group.2", "mdbc_schema/all"],
            vec!["h/group.0", "h/group.1", "h/group.2", "mdbc_schema/all"],
            vec!["h/group.1"],
        ]
    );
    let other = sites.client(1).await;
    let rows = soon(all(&other, "SELECT * FROM ga, gb, ha, hb")).await;
    assert_eq!(rows, ["15|16|15|16"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_in_a_range_that_is_not_owned_is_not_committed() {
    let sites = stocked().await;
    let (port, watched) = serve_watched(&sites, 0).await;
    let client = sites.client_at(port).await;
    let mut wrong = Access::default();
    wrong.writes.insert("stock".to_owned());
    wrong
        .ranges
        .entry("stock".to_owned())
        .or_default()
        .writes
        .insert(1);
    *watched.ranges.lock().unwrap() = Some(wrong);
    for statement in [
        "UPDATE stock SET v = 1 WHERE w = 5",
        "INSERT INTO stock VALUES (15, 77, 1), (5, 77, 1)",
        "DELETE FROM stock WHERE w = 25",
        "UPDATE stock SET w = 25, k = 90 WHERE w = 15 AND k = 1",
    ] {
        assert_eq!(
            soon(state(&client, statement)).await,
            "XX000",
            "{statement}"
        );
    }
    soon(client.batch_execute("UPDATE stock SET v = 1 WHERE w = 15"))
        .await
        .unwrap();
    let other = sites.client(1).await;
    let left = soon(one(&other, "SELECT sum(v), count(*) FROM stock")).await;
    assert_eq!(left, "2|60");
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_that_work_at_once_are_strictly_serializable() {
    bank::on_ranges(4, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_and_tear_nothing() {
    bank::on_ranges(5, &[2, 0, 1, 2, 0, 1]).await;
}
