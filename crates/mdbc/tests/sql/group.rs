//! Many sessions of one site, whose transactions share local commits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::Client;

use crate::local::serve_sabotaged;
use crate::sites::{Sites, all, one, soon};

/// How many sessions there are.
const SESSIONS: i32 = 16;

/// The SQLSTATE that inserting a row ends with; none where it is inserted.
async fn insert(client: &Client, k: i32) -> Option<String> {
    let inserted = client
        .batch_execute(&format!("INSERT INTO t VALUES ({k})"))
        .await;
    let code = inserted.err()?;
    Some(code.code().map_or("", |code| code.code()).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_site_share_its_commits() {
    let sites = Sites::with_delays("lUs", Duration::from_secs(30)).await;
    sites.stop(0).await;
    let site = serve_sabotaged(&sites, 0).await;
    let first = sites.client_at(site.port).await;
    let create = "CREATE TABLE t (k int PRIMARY KEY)";
    soon(first.batch_execute(create)).await.unwrap();
    let before = site.database.commits();
    let work = (0..SESSIONS).map(|session| {
        let (sites, port) = (&sites, site.port);
        async move {
            let client = sites.client_at(port).await;
            for round in 0..4 {
                let k = session * 4 + round;
                while let Some(state) = insert(&client, k).await {
                    assert_eq!(state, "40001");
                }
            }
        }
    });
    soon(join_all(work)).await;
    let commits = site.database.commits() - before;
    println!("{commits} commits of {} transactions", 4 * SESSIONS);
    assert!(commits < 32, "they share commits: {commits}");
    let keys: Vec<String> = (0..4 * SESSIONS).map(|k| k.to_string()).collect();
    for client in [&first, &sites.client(1).await, &sites.client(2).await] {
        assert_eq!(all(client, "SELECT k FROM t ORDER BY k").await, keys);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_has_told_before_it_is_cut_off_is_true() {
    let sites = Sites::start(Duration::from_secs(1)).await;
    let first = sites.client(0).await;
    let create = "CREATE TABLE t (k int PRIMARY KEY)";
    soon(first.batch_execute(create)).await.unwrap();
    let (next, is_over) = (AtomicI32::new(0), AtomicBool::new(false));
    let ends: Mutex<Vec<(i32, Option<String>)>> = Mutex::default();
    let progress = tokio::sync::watch::Sender::new((0, 0));
    let work = (0..SESSIONS).map(|_| async {
        let client = sites.client(0).await;
        while !is_over.load(Ordering::SeqCst) {
            let k = next.fetch_add(1, Ordering::SeqCst);
            let end = insert(&client, k).await;
            progress.send_modify(|(good, bad)| {
                *(if end.is_none() { good } else { bad }) += 1;
            });
            ends.lock().unwrap().push((k, end));
        }
    });
    let harm = async {
        let mut seen = progress.subscribe();
        for round in 1..=2 {
            let good = seen.wait_for(|(good, _)| *good >= 30 * round).await;
            let bad = good.unwrap().1;
            sites.cut(0, true);
            seen.wait_for(|(_, now)| *now > bad).await.unwrap();
            sites.cut(0, false);
        }
        let good = seen.borrow().0;
        seen.wait_for(|(now, _)| *now > good + 30).await.unwrap();
        is_over.store(true, Ordering::SeqCst);
    };
    soon(futures_util::future::join(join_all(work), harm)).await;
    let there = all(&first, "SELECT k FROM t").await;
    for (k, end) in ends.lock().unwrap().iter() {
        let is_there = there.contains(&k.to_string());
        match end.as_deref() {
            None => assert!(is_there, "{k} was committed"),
            Some("40003") => {}
            Some(state) => assert!(!is_there, "{k} was not: {state}"),
        }
    }
    let count = one(&first, "SELECT count(*) FROM t").await;
    for site in [1, 2] {
        let client = sites.client(site).await;
        let other = async {
            // Its turn may come later.
            loop {
                if let Ok(row) = client.query_one("SELECT count(*) FROM t", &[]).await {
                    return row.get::<_, i64>(0).to_string();
                }
            }
        };
        assert_eq!(soon(other).await, count);
    }
}
