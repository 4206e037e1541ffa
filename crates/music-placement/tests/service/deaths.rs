//! A worker dies after each step of its work.

use futures_util::future::join_all;
use music_placement::service::{Inventory as _, Step};

use crate::cloud::Cloud;

/// A worker dies after this step; another one, of the same or another site,
/// finds what it left.
async fn dies_after(step: Step, successor: &str) {
    let mut cloud = Cloud::start().await;
    let name = cloud.submit_one("a").await;
    cloud.lose_worker("a-1", step).await;
    let next = cloud.hire(successor);
    cloud.all_placed(next.site()).await;
    // What the first site has too much is cleaned up by a worker of its own.
    let cleaner = cloud.hire("a-3");
    let audit = cloud.exactly_once("c").await;
    let row = &audit.rows[0];
    let is_done = matches!(step, Step::Recorded | Step::Confirmed);
    let expected = if is_done { "a-1" } else { successor };
    // The cleaner may be the first where the successor is at the same site.
    assert!(
        row.worker == expected || row.worker == cleaner.worker(),
        "{step:?}: {row:?}"
    );
    assert_eq!(row.template, name);
    next.stop().await;
    cleaner.stop().await;
    cloud.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_any_step_is_replaced_at_its_site() {
    join_all(Step::PLACING.map(|step| dies_after(step, "a-2"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_any_step_is_replaced_at_another_site() {
    join_all(Step::PLACING.map(|step| dies_after(step, "b-1"))).await;
}

/// A worker dies after its inventory has the template, another site places it,
/// and the one that cleans up dies as well.
async fn dies_while_it_cleans_up_after(step: Step) {
    let mut cloud = Cloud::start().await;
    let name = cloud.submit_one("a").await;
    cloud.lose_worker("a-1", Step::Created).await;
    assert!(
        cloud.inventories["a"]
            .list()
            .await
            .unwrap()
            .contains_key(&name)
    );
    let other = cloud.hire("b-1");
    cloud.all_placed("b").await;
    cloud.lose_worker("a-2", step).await;
    let last = cloud.hire("a-3");
    let audit = cloud.exactly_once("c").await;
    assert_eq!(audit.rows[0].worker, "b-1");
    other.stop().await;
    last.stop().await;
    cloud.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_any_step_of_cleaning_up_is_replaced() {
    join_all(Step::SETTLING.map(dies_while_it_cleans_up_after)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_one_after_the_other_at_every_site_leave_nothing_twice() {
    let mut cloud = Cloud::start().await;
    cloud.submit_one("a").await;
    for site in ["a", "b", "c"] {
        let worker = format!("{site}-1");
        cloud.lose_worker(&worker, Step::Created).await;
    }
    let audit = cloud.audit("a").await;
    assert_eq!((audit.lost.len(), audit.duplicates.len()), (1, 3));
    let workers = ["a-2", "b-2", "c-2"].map(|worker| cloud.hire(worker));
    cloud.exactly_once("a").await;
    join_all(workers.map(music_placement::service::WorkerProcess::stop)).await;
    cloud.end().await;
}
