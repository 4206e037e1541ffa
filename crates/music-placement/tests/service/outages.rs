//! Nodes that die or stand still, and sites that are cut off.

use futures_util::future::join_all;
use music_placement::service::{Inventory as _, News, Step, Trap, WorkerProcess, progress};

use crate::cloud::{Cloud, SITES};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_under_a_worker_leaves_the_template_to_others() {
    for step in [Step::Locked, Step::Claimed, Step::Created] {
        let mut cloud = Cloud::start().await;
        cloud.submit_one("a").await;
        let first = cloud.hire("a-1");
        cloud.reached("a", step).await;
        cloud.deployment.kill(&Cloud::node("a")).await.unwrap();
        let second = cloud.hire("b-1");
        cloud.all_placed("b").await;
        cloud
            .deployment
            .start_node(&Cloud::node("a"))
            .await
            .unwrap();
        cloud.exactly_once("b").await;
        join_all([first, second].map(WorkerProcess::stop)).await;
        cloud.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_for_long_is_overtaken_and_its_worker_undoes_what_it_did() {
    for step in [Step::Locked, Step::Claimed, Step::Created] {
        let mut cloud = Cloud::start().await;
        cloud.submit_one("a").await;
        let first = cloud.hire("a-1");
        cloud.reached("a", step).await;
        cloud.deployment.suspend(&Cloud::node("a")).unwrap();
        let second = cloud.hire("b-1");
        cloud.all_placed("b").await;
        cloud.deployment.resume(&Cloud::node("a")).unwrap();
        cloud.exactly_once("b").await;
        join_all([first, second].map(WorkerProcess::stop)).await;
        cloud.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_cut_off_takes_submissions_which_are_placed_when_it_is_back() {
    let mut cloud = Cloud::start().await;
    let workers = ["a-1", "b-1", "c-1"].map(|worker| cloud.hire(worker));
    cloud.deployment.set_site_cut("a", true).unwrap();
    let name = cloud.submit_one("a").await;
    // Its own worker sees the template, and cannot lock it.
    let failed = |news: &News| matches!(news, News::Failed { .. });
    cloud
        .hear(|event| event.site == "a" && failed(&event.news))
        .await;
    let sites = SITES.map(str::to_owned);
    for site in SITES {
        let client = cloud.client(site);
        let seen = progress(&client, &cloud.catalogue, &sites, &cloud.templates).await;
        assert!(seen.unwrap().waiting.contains(&name));
    }
    cloud.deployment.set_site_cut("a", false).unwrap();
    cloud.exactly_once("b").await;
    join_all(workers.map(WorkerProcess::stop)).await;
    cloud.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_cut_off_in_the_middle_of_a_placement_cleans_up_when_it_is_back() {
    for step in [Step::Locked, Step::Claimed, Step::Created] {
        let mut cloud = Cloud::start().await;
        cloud.submit_one("b").await;
        let first = cloud.hire("a-1");
        cloud.reached("a", step).await;
        cloud.deployment.set_site_cut("a", true).unwrap();
        let second = cloud.hire("b-1");
        cloud.all_placed("b").await;
        cloud.deployment.set_site_cut("a", false).unwrap();
        cloud.exactly_once("c").await;
        join_all([first, second].map(WorkerProcess::stop)).await;
        cloud.end().await;
    }
}

/// A worker stands still after this step for so long that its lock is lost and
/// all is placed and cleaned up without it. Then it goes on.
async fn wakes_up_after(step: Step) {
    let mut cloud = Cloud::start().await;
    let name = cloud.submit_one("a").await;
    let trap = Trap::new();
    trap.set_stall(step);
    let stalled = cloud.hire_for("a-1", &trap);
    let news = News::Stalled(step);
    cloud.hear(|event| event.news == news).await;
    let other = cloud.hire("b-1");
    cloud.all_placed("b").await;
    other.stop().await;
    let cleaner = cloud.hire("a-2");
    let before = cloud.exactly_once("b").await;
    cleaner.stop().await;

    trap.resume();
    // It is told that it lost its lock, or that the template is placed; only
    // where it had recorded that before, it has nothing more to do.
    let told = |news: &News| !matches!(news, News::Reached(_));
    if !matches!(step, Step::Picked | Step::Locked | Step::Confirmed) {
        cloud
            .hear(|event| event.worker == "a-1" && told(&event.news))
            .await;
    }
    assert_eq!(cloud.audit("b").await, before, "{step:?}");
    let is_here = cloud.inventories["a"]
        .list()
        .await
        .unwrap()
        .contains_key(&name);
    assert_eq!(is_here, before.rows[0].site == "a", "{step:?}");
    stalled.stop().await;
    assert_eq!(cloud.audit("c").await, before, "{step:?}");
    cloud.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_for_long_and_goes_on_changes_nothing() {
    join_all(Step::PLACING.map(wakes_up_after)).await;
}
