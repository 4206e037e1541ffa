//! What is left where a process ends, at each step of a commit.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use mdbc::engine::Postgres;

use crate::cluster::Cluster;
use crate::site::{Site, options};

const TABLE: &str = "CREATE TABLE account (id int PRIMARY KEY, balance int)";

/// A process has ended; the next one begins.
async fn again(site: Site, cluster: &Cluster) -> Site {
    drop(site);
    Site::open(&cluster.url("site_1"), 1).await
}

#[tokio::test]
async fn a_transaction_that_was_prepared_counts_only_by_the_log() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.change(TABLE, 1).await;
    assert_eq!(site.position().await, 1);
    site.run("BEGIN; INSERT INTO account VALUES (1, 1)").await;
    let (_, digest) = site.prepare().await;
    let site = again(site, &cluster).await;
    assert!(
        site.all("account").await.is_empty(),
        "nobody was told of it"
    );
    assert_eq!(site.position().await, 1);
    // It was in the log after all.
    site.apply(&digest, 2).await;
    assert_eq!(site.all("account").await, ["(1,1)"]);
    assert_eq!(site.position().await, 2);
    // Nothing holds locks any more.
    site.write("UPDATE account SET balance = 2", 3).await;
}

#[tokio::test]
async fn what_was_committed_before_its_positions_were_written_is_not_done_twice() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.change(TABLE, 1).await;
    assert_eq!(site.position().await, 1);
    site.run("BEGIN; INSERT INTO account VALUES (1, 1)").await;
    let (id, first) = site.prepare().await;
    site.run(&format!("COMMIT PREPARED '{}'", id.gid())).await;
    let second = site
        .write("UPDATE account SET balance = balance + 1", 3)
        .await;
    let site = again(site, &cluster).await;
    assert_eq!(site.position().await, 1, "the positions were not written");
    site.apply(&first, 2).await;
    site.apply(&second, 3).await;
    assert_eq!(site.all("account").await, ["(1,2)"]);
    assert_eq!(site.position().await, 3);
    let own = "SELECT id::text FROM mdbc_internal.own";
    assert!(
        site.rows(own).await.is_empty(),
        "ids that are passed are removed"
    );
}

#[tokio::test]
async fn positions_do_not_overtake_a_commit_that_is_under_way() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.change(TABLE, 1).await;
    let beside = site.another().await;
    site.run("BEGIN; INSERT INTO account VALUES (1, 1)").await;
    beside.run("BEGIN; INSERT INTO account VALUES (2, 2)").await;
    let ((_, digest), (second, other)) = (site.prepare().await, beside.prepare().await);
    // The later entry is committed first, and the process ends.
    beside.commit(second, 3).await;
    assert_eq!(site.position().await, 1);
    drop(beside);
    let site = again(site, &cluster).await;
    site.apply(&digest, 2).await;
    site.apply(&other, 3).await;
    assert_eq!(site.all("account").await, ["(1,1)", "(2,2)"]);
}

#[tokio::test]
async fn an_entry_is_replayed_after_its_own_commit_and_not_beside_it() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.change(TABLE, 1).await;
    site.run("BEGIN; INSERT INTO account VALUES (1, 1)").await;
    let (id, digest) = site.prepare().await;
    let replay = site.apply(&digest, 2);
    let end = format!("COMMIT PREPARED '{}'", id.gid());
    let ((), ()) = tokio::join!(replay, site.run(&end));
    assert_eq!(site.all("account").await, ["(1,1)"]);
    assert_eq!(site.position().await, 2);
}

#[tokio::test]
async fn a_transaction_ends_as_it_must_though_its_connection_is_lost() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.change(TABLE, 1).await;
    for (key, is_committed) in [(1, true), (2, false)] {
        let client = site.another().await;
        let process: i32 = client.rows("SELECT pg_backend_pid()::text").await[0]
            .parse()
            .unwrap();
        client
            .run(&format!("BEGIN; INSERT INTO account VALUES ({key}, 1)"))
            .await;
        let (id, _) = client.prepare().await;
        site.postgres
            .finish(id, process, is_committed)
            .await
            .unwrap();
        assert!(client.client.batch_execute("SELECT 1").await.is_err());
    }
    assert_eq!(site.all("account").await, ["(1,1)"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let cluster = Cluster::start();
    let url = cluster.database("site_1").await;
    cluster.crash();
    let mut opening = pin!(Postgres::open(options(&url, 1)));
    let moment = Duration::from_millis(300);
    let opened = tokio::time::timeout(moment, opening.as_mut()).await;
    assert!(opened.is_err(), "it waits");
    cluster.begin();
    opening.await.unwrap();
}

#[tokio::test]
async fn a_prepared_transaction_outlives_the_server() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.change(TABLE, 1).await;
    site.run("BEGIN; INSERT INTO account VALUES (1, 1)").await;
    let (id, digest) = site.prepare().await;
    cluster.crash();
    cluster.begin();
    // It is in the log: it is committed as soon as that can be.
    site.postgres.finish(id, 0, true).await.unwrap();
    site.apply(&digest, 2).await;
    let beside = site.another().await;
    assert_eq!(beside.all("account").await, ["(1,1)"]);
    beside.write("UPDATE account SET balance = 2", 3).await;
    assert_eq!(beside.position().await, 3);
}

#[tokio::test]
async fn two_processes_do_not_serve_one_database() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    let error = Postgres::open(options(&cluster.url("site_1"), 1))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("another process of mdbc"),
        "{error}"
    );
    site.change(TABLE, 1).await;
}

#[tokio::test]
async fn an_entry_whose_replay_was_dropped_is_replayed_once() {
    let cluster = Cluster::start();
    let (here, there) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
    there.apply(&here.change(TABLE, 1).await, 1).await;
    let row = "INSERT INTO account VALUES (1, 0)";
    there.apply(&here.write(row, 2).await, 2).await;
    for polls in 0..25 {
        let position = 3 + polls;
        let update = "UPDATE account SET balance = balance + 1";
        let digest = here.write(update, position).await;
        {
            let mut replay = pin!(there.apply(&digest, position));
            let mut left = polls;
            std::future::poll_fn(|context| {
                if left == 0 || replay.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                left -= 1;
                Poll::Pending
            })
            .await;
        }
        there.apply(&digest, position).await;
        assert_eq!(there.position().await, position);
        assert_eq!(
            there.all("account").await,
            here.all("account").await,
            "{polls}"
        );
    }
}

#[tokio::test]
async fn a_local_reader_does_not_hold_up_what_other_sites_did_for_ever() {
    let cluster = Cluster::start();
    let (here, there) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
    there.apply(&here.change(TABLE, 1).await, 1).await;
    let reader = there.another().await;
    reader.run("BEGIN; SELECT * FROM account").await;
    let digest = here.change("ALTER TABLE account ADD note text", 2).await;
    there.apply(&digest, 2).await;
    assert!(
        reader
            .client
            .batch_execute("SELECT * FROM account")
            .await
            .is_err()
    );
    assert!(there.rows("SELECT note FROM account").await.is_empty());
}
