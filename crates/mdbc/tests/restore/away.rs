//! Sites that were away for longer than the log lasts.

use crate::life::{
    ALL, Life, Sites, closed, files, insist, restored_from, rows, run, until, write_on,
};

const COUNT: &str = "SELECT count(*) FROM strong";

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_away_for_too_long_restores_itself_and_keeps_what_is_its_own() {
    let sites = Sites::with_tables().await;
    let config = sites.restored_from(2, &[0, 1]);
    let (first, third) = (sites.client(0).await, sites.client(2).await);
    run(&third, "INSERT INTO own VALUES (7)").await;
    run(&third, "INSERT INTO eventual (page) VALUES ('told')").await;
    until(&first, "SELECT count(*) FROM eventual", "1").await;
    // With its node away, nothing is sent.
    sites.deployment.suspend(&sites.nodes[2]).unwrap();
    run(
        &third,
        "INSERT INTO eventual (page) VALUES ('told to nobody')",
    )
    .await;
    run(
        &third,
        "UPDATE eventual SET page = 'changed' WHERE page = 'told'",
    )
    .await;
    let drawn = rows(&third, "SELECT max(id) FROM eventual").await;
    sites.kill(2).await;
    sites.deployment.resume(&sites.nodes[2]).unwrap();
    sites.leave_behind(0).await;
    run(&first, "INSERT INTO eventual (page) VALUES ('elsewhere')").await;

    let life = Life::start(&config).await;
    life.until(COUNT, ALL).await;
    let client = life.client().await;
    assert_eq!(rows(&client, "SELECT a FROM own").await, ["7"]);
    let pages = "SELECT string_agg(page, ',' ORDER BY page) FROM eventual";
    let all = "changed,elsewhere,told to nobody";
    for client in [&client, &first, &sites.client(1).await] {
        until(client, pages, all).await;
    }
    let next = rows(&client, "SELECT nextval('eventual_id_seq')").await;
    let number = |rows: &[String]| rows[0].parse::<i64>().unwrap();
    assert!(number(&next) > number(&drawn), "{next:?} {drawn:?}");
    assert_eq!(files(&config), ["", ".before-1"]);
    assert_eq!(
        rows(&client, "SELECT state, restored FROM mdbc_status")
            .await
            .len(),
        1
    );
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_finds_out_while_it_serves_restores_itself_while_others_write() {
    let sites = Sites::with_tables().await;
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
    life.until("SELECT restored > 0 FROM mdbc_status", "t")
        .await;
    let client = life.client().await;
    insist(&client, "INSERT INTO strong (pad) VALUES ('here')").await;
    until(&sites.client(0).await, COUNT, "3231").await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_donor_the_error_names_what_to_do_and_the_database_stays() {
    let sites = Sites::with_tables().await;
    let config = sites.config(2);
    sites.stop(2).await;
    sites.leave_behind(0).await;
    let told = |error: mdbc::server::Error| error.to_string();
    let error = Life::try_start(&config).await.err().map(told).unwrap();
    assert!(error.contains("[music.restore]"), "{error}");
    let nobody = restored_from(config.clone(), vec!["127.0.0.1:1".to_owned()]);
    let error = Life::try_start(&nobody).await.err().map(told).unwrap();
    assert!(error.contains("127.0.0.1:1"), "{error}");
    assert_eq!(files(&config), [""]);
    let life = Life::start(&sites.restored_from(2, &[1])).await;
    life.until(COUNT, ALL).await;
    life.stop().await;
}
