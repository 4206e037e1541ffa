//! Many workers, many templates, little room, and bad input.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use music_placement::service::tables::TEMPLATES;
use music_placement::service::{News, Step, WorkerProcess};
use music_placement::{Catalogue, Reader, load_dir};

use crate::cloud::{Cloud, SITES};

const WORKERS: [&str; 6] = ["a-1", "a-2", "b-1", "b-2", "c-1", "c-2"];

fn hire_all(cloud: &Cloud) -> Vec<WorkerProcess> {
    WORKERS.iter().map(|worker| cloud.hire(worker)).collect()
}

async fn dismiss(workers: Vec<WorkerProcess>) {
    join_all(workers.into_iter().map(WorkerProcess::stop)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_all_sites_at_one_template_place_it_once() {
    let mut cloud = Cloud::start().await;
    let workers = hire_all(&cloud);
    cloud.submit_one("b").await;
    cloud.exactly_once("a").await;
    dismiss(workers).await;
    cloud.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_submitted_again_is_placed_once() {
    let mut cloud = Cloud::start().await;
    let workers = hire_all(&cloud);
    let name = cloud.submit_one("a").await;
    let first = cloud.exactly_once("a").await;
    for site in SITES {
        cloud.submit_one(site).await;
    }
    // Whoever has placed what came later has seen the submissions, too.
    for template in cloud.built_in() {
        cloud.submit("a", &template).await;
    }
    let audit = cloud.exactly_once("c").await;
    let row = audit.rows.iter().find(|row| row.template == name);
    assert_eq!(row, first.rows.first());
    dismiss(workers).await;
    cloud.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_templates_that_come_with_the_service_are_placed_once_beside_bad_input() {
    let mut cloud = Cloud::start().await;
    for (template, site) in cloud.built_in().iter().zip(SITES.into_iter().cycle()) {
        cloud.submit(site, template).await;
    }
    let client = cloud.client("a");
    client
        .put((TEMPLATES, "text.yaml"), "no JSON")
        .await
        .unwrap();
    let other = music_client::Content::json(&"no submission").unwrap();
    client.put((TEMPLATES, "json.yaml"), other).await.unwrap();
    let workers = hire_all(&cloud);
    for name in ["text.yaml", "json.yaml"] {
        let refused = |news: &News| matches!(news, News::Refused { .. });
        cloud
            .hear(|event| event.template == name && refused(&event.news))
            .await;
    }
    cloud.exactly_once("a").await;
    dismiss(workers).await;
    cloud.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_no_site_stops_nothing_and_no_site_promises_more_than_it_has() {
    // One site has room for some, the two others for nothing with a server.
    let small = Catalogue::built_in_text().replace("vcpus = 32", "vcpus = 7");
    let none = "{ vcpus = 0, ram_mb = 0, disk_gb = 0, volume_gb = 0 }";
    let text = format!("{small}\n[sites]\nb = {none}\nc = {none}\n");
    let mut cloud = Cloud::with(Catalogue::read(&text).unwrap()).await;
    for template in cloud.built_in() {
        cloud.submit("a", &template).await;
    }
    let workers = hire_all(&cloud);
    cloud.all_placed("b").await;
    let audit = cloud.settled("b").await;
    let reason = "fits no site: a: needs 8 vcpus, has 7; b: needs 8 vcpus, has 0";
    assert_eq!(audit.unplaceable.len(), 2, "{audit:?}");
    assert!(
        audit.unplaceable["three_tier.yaml"].starts_with(reason),
        "{audit:?}"
    );
    assert!(
        audit.overcommitted.is_empty() && audit.duplicates.is_empty(),
        "{audit:?}"
    );
    assert!(
        !audit.rows.is_empty() && !audit.lost.is_empty(),
        "{audit:?}"
    );
    assert!(audit.rows.iter().all(|row| row.site == "a"), "{audit:?}");
    assert_eq!(
        audit.rows.len() + audit.lost.len() + 2,
        cloud.templates.len()
    );
    dismiss(workers).await;
    cloud.end().await;
}

/// The real templates, if they are on this machine.
fn real_templates() -> Option<PathBuf> {
    let given = std::env::var_os("MUSIC_HEAT_TEMPLATES").map(PathBuf::from);
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/heat-templates");
    let folder = given.unwrap_or(shared);
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: no real templates at {}; set MUSIC_HEAT_TEMPLATES",
        folder.display()
    );
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn all_real_templates_are_placed_once_though_workers_die() {
    let Some(folder) = real_templates() else {
        return;
    };
    let mut cloud = Cloud::start().await;
    let templates = load_dir(&folder, &Reader::new(&cloud.catalogue)).unwrap();
    let templates: Vec<_> = templates.into_iter().flatten().collect();
    for (template, site) in templates.iter().zip(SITES.into_iter().cycle()) {
        cloud.submit(site, template).await;
    }
    let workers = hire_all(&cloud);
    for (worker, step) in [("a-3", Step::Claimed), ("b-3", Step::Created)] {
        cloud.lose_worker(worker, step).await;
    }
    let audit = cloud.exactly_once("a").await;
    assert_eq!(audit.rows.len(), templates.len());
    dismiss(workers).await;
    cloud.end().await;
}
