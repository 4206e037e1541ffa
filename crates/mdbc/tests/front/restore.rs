//! Sites with a PostgreSQL each that get their database from another one: new ones, and
//! those that were away for too long.

use std::time::Duration;

use mdbc::config::{Config, PostgresConfig};
use mdbc::engine::TableKind;

use crate::cluster::Cluster;
use crate::deployment::{Plan, Sites};
use crate::process::{
    ALL, Life, SLOTS, closed, insist, restored_from, rows, run, soon, until, widened, write_on,
};
use crate::way::{Middle, killed_in_the_middle, way_to};

const COUNT: &str = "SELECT count(*) FROM strong";

/// What all tests begin with, at the first site.
const TABLES: &[&str] = &[
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    "CREATE TABLE strong (id bigserial PRIMARY KEY, pad text)",
    "CREATE TABLE child (id bigint PRIMARY KEY REFERENCES strong ON DELETE CASCADE, \
     mood mood NOT NULL, gone int, twice bigint GENERATED ALWAYS AS (id * 2) STORED, \
     CHECK (id > 0))",
    "ALTER TABLE child DROP COLUMN gone",
    "CREATE TABLE own (a int) WITH (music = 'local')",
];

/// What comes to be while a site is away, or before it is there.
const LATER: &[&str] = &[
    "ALTER TYPE mood ADD VALUE 'so so' BEFORE 'bad'",
    "ALTER TABLE child ALTER COLUMN mood SET DEFAULT 'so so'",
    "CREATE FUNCTION double(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'",
    "CREATE VIEW moody AS SELECT double(id) AS double, mood FROM child WHERE mood <> 'good'",
    "INSERT INTO child (id) SELECT min(id) FROM strong",
];

/// The sites, and their server.
struct Town {
    sites: Sites,
    cluster: Cluster,
}

impl Town {
    /// Three sites with tables.
    async fn new() -> Self {
        let cluster = Cluster::start();
        let urls = cluster.databases(3).await;
        let plan = Plan {
            profile: "local3",
            lease: Duration::from_secs(2),
            default_kind: TableKind::Strong,
            urls,
        };
        let few_slots = |config: &mut Config| {
            config.music.as_mut().unwrap().log_slots = SLOTS;
        };
        let sites = Sites::of_changed(plan, few_slots).await;
        let first = sites.client(0).await;
        for text in TABLES {
            insist(&first, text).await;
        }
        for site in 0..3 {
            let client = sites.client(site).await;
            until(&client, "SELECT count(*) FROM own", "0").await;
        }
        Self { sites, cluster }
    }

    /// The same, of which the third was away for too long.
    async fn with_one_behind() -> (Self, Config) {
        let town = Self::new().await;
        let config = town.sites.config(2);
        town.sites.stop(2).await;
        town.sites.leave_behind(0).await;
        (town, config)
    }

    async fn later(&self) {
        let client = self.sites.client(0).await;
        for text in LATER {
            insist(&client, text).await;
        }
    }

    /// What a query answers in a site's own PostgreSQL.
    async fn behind(&self, site: &str, query: &str) -> Vec<String> {
        rows(&self.cluster.connect(site).await, query).await
    }

    /// That the schemas of two sites, and what is in their tables, are equal.
    async fn assert_equal(&self, one: &str, other: &str) {
        for query in [
            "SELECT mdbc_internal.fingerprint()",
            "SELECT version, statement FROM mdbc_internal.statements ORDER BY version",
            "SELECT id, pad FROM strong ORDER BY id",
            "SELECT * FROM child ORDER BY id",
        ] {
            let (ours, theirs) = (
                self.behind(one, query).await,
                self.behind(other, query).await,
            );
            assert_eq!(ours, theirs, "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_site_joins_a_used_database_while_others_write() {
    let town = Town::new().await;
    let sites = &town.sites;
    sites.leave_behind(0).await;
    town.later().await;
    for site in 0..3 {
        sites.stop(site).await;
    }
    // All get the new list, then the new site comes.
    let mut lives = vec![Life::start(&widened(sites.config(0))).await];
    let donor = vec![lives[0].address.to_string()];
    for site in 1..3 {
        // It may have missed more than the log keeps before it was stopped.
        let config = restored_from(sites.config(site), donor.clone());
        lives.push(Life::start(&widened(config)).await);
    }
    let donors = lives.iter().map(|life| life.address.to_string()).collect();
    let mut config = restored_from(widened(sites.config(0)), donors);
    config.site = 4;
    let url = town.cluster.database("fourth").await;
    config.postgres = Some(PostgresConfig { url });
    config.music.as_mut().unwrap().site = "fourth".to_owned();
    let writing = write_on(lives[1].client().await, 30);
    let fourth = Life::start(&config).await;
    writing.await.unwrap();
    fourth.until(COUNT, "3230").await;
    let client = fourth.client().await;
    assert_eq!(rows(&client, "SELECT mood FROM moody").await, ["so so"]);
    // It writes, under all that binds the others.
    insist(&client, "INSERT INTO strong (pad) VALUES ('fourth')").await;
    let fourths = "SELECT id % 16 FROM strong WHERE pad = 'fourth'";
    assert_eq!(rows(&client, fourths).await, ["4"]);
    let no_parent = client
        .batch_execute("INSERT INTO child VALUES (999999)")
        .await;
    assert_eq!(no_parent.unwrap_err().code().unwrap().code(), "23503");
    let first = lives[0].client().await;
    until(&first, COUNT, "3231").await;
    insist(
        &first,
        "DELETE FROM strong WHERE id = (SELECT id FROM child)",
    )
    .await;
    fourth.until("SELECT count(*) FROM child", "0").await;
    until(&lives[1].client().await, "SELECT count(*) FROM child", "0").await;
    town.assert_equal("fourth", "site_1").await;
    fourth.stop().await;
    for life in lives {
        life.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_away_for_too_long_restores_itself_and_keeps_what_is_its_own() {
    let town = Town::new().await;
    let sites = &town.sites;
    let third = sites.client(2).await;
    run(&third, "INSERT INTO own VALUES (7)").await;
    insist(&third, "INSERT INTO strong (pad) VALUES ('of the third')").await;
    // A value that no row has any more.
    let drawn = rows(&third, "SELECT nextval('strong_id_seq')").await;
    sites.stop(2).await;
    let first = sites.client(0).await;
    insist(&first, "DELETE FROM strong").await;
    sites.leave_behind(0).await;
    town.later().await;

    let life = Life::start(&sites.restored_from(2, &[0, 1])).await;
    life.until(COUNT, ALL).await;
    let client = life.client().await;
    assert_eq!(rows(&client, "SELECT a FROM own").await, ["7"]);
    assert_eq!(rows(&client, "SELECT mood FROM moody").await, ["so so"]);
    let next = rows(&client, "SELECT nextval('strong_id_seq')").await;
    let number = |rows: &[String]| rows[0].parse::<i64>().unwrap();
    assert!(number(&next) > number(&drawn), "{next:?} {drawn:?}");
    insist(&client, "INSERT INTO strong (pad) VALUES ('again')").await;
    until(&first, COUNT, "3201").await;
    town.assert_equal("site_2", "site_0").await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_finds_out_while_it_serves_restores_itself_while_others_write() {
    let town = Town::new().await;
    let sites = &town.sites;
    let config = sites.restored_from(2, &[0, 1]);
    sites.stop(2).await;
    let life = Life::start(&config).await;
    let client = life.client().await;
    until(&client, COUNT, "0").await;
    sites.cut(2, true);
    sites.leave_behind(0).await;
    sites.cut(2, false);
    let writing = write_on(sites.client(1).await, 30);
    // The client's connection ends, and another one is served in the next life.
    closed(&client).await;
    writing.await.unwrap();
    life.until(COUNT, "3230").await;
    let client = life.client().await;
    insist(&client, "INSERT INTO strong (pad) VALUES ('here')").await;
    until(&sites.client(0).await, COUNT, "3231").await;
    town.assert_equal("site_2", "site_0").await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_in_the_middle_has_its_old_database() {
    let (town, config) = Town::with_one_behind().await;
    let applied = "SELECT partition, position FROM mdbc_internal.positions ORDER BY partition";
    let before = town.behind("site_2", applied).await;
    let sites = &town.sites;
    killed_in_the_middle(&config, sites.address(0).unwrap()).await;
    let ended = async {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'site_2' \
             AND application_name = 'mdbc'";
        while town.behind("postgres", others).await != ["0"] {}
    };
    soon(ended).await;
    assert_eq!(town.behind("site_2", COUNT).await, ["0"]);
    assert_eq!(town.behind("site_2", applied).await, before);
    let life = Life::start(&sites.restored_from(2, &[1])).await;
    life.until(COUNT, ALL).await;
    town.assert_equal("site_2", "site_1").await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_donor_ends_in_the_middle_or_is_not_heard_right_another_is_asked() {
    let (town, config) = Town::with_one_behind().await;
    let sites = &town.sites;
    let donor = sites.address(0).unwrap();
    let spoiled = way_to(donor, Middle::Spoils).await;
    let alone = restored_from(config.clone(), vec![spoiled.to_string()]);
    let error = Life::try_start(&alone).await.err().unwrap().to_string();
    assert!(error.contains("another checksum"), "{error}");
    assert_eq!(town.behind("site_2", COUNT).await, ["0"]);
    let broken = way_to(donor, Middle::Ends).await;
    let from = [broken, sites.address(1).unwrap()].map(|address| address.to_string());
    let life = Life::start(&restored_from(config, from.to_vec())).await;
    life.until(COUNT, ALL).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_disk_was_lost_uses_no_number_twice() {
    let town = Town::new().await;
    let sites = &town.sites;
    let mut config = sites.restored_from(2, &[0, 1]);
    let third = sites.client(2).await;
    let drawn = rows(
        &third,
        "SELECT max(nextval('strong_id_seq')) FROM generate_series(1, 9)",
    )
    .await;
    let said = "SELECT count(*) FROM mdbc_internal.given() WHERE given = 9";
    assert_eq!(town.behind("site_2", said).await, ["1"]);
    // It says so, and what it has applied: the logs wait for that.
    sites.leave_behind(0).await;
    until(&third, COUNT, ALL).await;
    sites.stop(2).await;
    let url = town.cluster.database("another_disk").await;
    config.postgres = Some(PostgresConfig { url });
    let life = Life::start(&config).await;
    let client = life.client().await;
    insist(&client, "INSERT INTO strong (pad) VALUES ('again')").await;
    let again = rows(&client, "SELECT id FROM strong WHERE pad = 'again'").await;
    let number = |rows: &[String]| rows[0].parse::<i64>().unwrap();
    assert!(number(&again) > number(&drawn), "{again:?} {drawn:?}");
    assert_eq!(number(&again) % 16, 3);
    assert_eq!(rows(&client, "SELECT count(*) FROM own").await, ["0"]);
    life.stop().await;
}
