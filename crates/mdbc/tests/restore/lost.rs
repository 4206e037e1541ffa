//! Sites that are new, or whose disk was lost.

use crate::life::{
    Life, Sites, files, insist, lose_disk, restored_from, rows, run, until, widened, write_on,
};

const PAGES: &str = "SELECT string_agg(page, ',' ORDER BY page) FROM eventual";

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_disk_was_lost_uses_no_number_twice() {
    let sites = Sites::with_tables().await;
    let config = sites.restored_from(2, &[0, 1]);
    let (first, third) = (sites.client(0).await, sites.client(2).await);
    for page in ["a", "b", "c"] {
        run(
            &third,
            &format!("INSERT INTO eventual (page) VALUES ('{page}')"),
        )
        .await;
    }
    insist(&third, "INSERT INTO strong (pad) VALUES ('of the third')").await;
    until(&first, PAGES, "a,b,c").await;
    // A value that no table has any more.
    let drawn = rows(&third, "SELECT max(id) FROM eventual").await;
    run(&third, "DELETE FROM eventual WHERE page = 'c'").await;
    until(&first, PAGES, "a,b").await;
    until(
        &first,
        "SELECT letters_to_apply FROM mdbc_sites WHERE NOT is_here ORDER BY site DESC LIMIT 1",
        "0",
    )
    .await;
    sites.stop(2).await;
    lose_disk(&config).await;

    let life = Life::start(&config).await;
    let client = life.client().await;
    until(&client, PAGES, "a,b").await;
    assert_eq!(files(&config), [""], "there was nothing to keep");
    run(&client, "INSERT INTO eventual (page) VALUES ('d')").await;
    let next = rows(&client, "SELECT max(id) FROM eventual").await;
    let number = |rows: &[String]| rows[0].parse::<i64>().unwrap();
    assert!(number(&next) > number(&drawn), "{next:?} {drawn:?}");
    for other in [&first, &sites.client(1).await] {
        until(other, PAGES, "a,b,d").await;
    }
    insist(&client, "INSERT INTO strong (pad) VALUES ('again')").await;
    until(&first, "SELECT count(DISTINCT id) FROM strong", "2").await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_lacks_what_the_site_has_said_is_not_taken() {
    let sites = Sites::with_tables().await;
    let config = sites.restored_from(2, &[0]);
    let (second, third) = (sites.client(1).await, sites.client(2).await);
    // The only donor is heard of, and hears nothing.
    sites.deployment.suspend(&sites.nodes[0]).unwrap();
    insist(&third, "INSERT INTO strong (pad) VALUES ('said')").await;
    run(&third, "INSERT INTO eventual (page) VALUES ('sent')").await;
    until(&second, PAGES, "sent").await;
    let name = &config.music.as_ref().unwrap().site;
    let behind = format!("SELECT entries_behind FROM mdbc_sites WHERE site = '{name}'");
    until(&second, &behind, "0").await;
    sites.stop(2).await;
    lose_disk(&config).await;
    let error = Life::try_start(&config).await.err().unwrap().to_string();
    assert!(error.contains("this site has said"), "{error}");
    sites.deployment.resume(&sites.nodes[0]).unwrap();

    let life = Life::start(&config).await;
    life.until("SELECT count(*) FROM strong WHERE pad = 'said'", "1")
        .await;
    life.until(PAGES, "sent").await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_site_joins_a_used_database_while_others_write() {
    let sites = Sites::with_tables().await;
    let first = sites.client(0).await;
    run(&first, "INSERT INTO eventual (page) VALUES ('early')").await;
    sites.leave_behind(0).await;
    for site in 0..3 {
        sites.stop(site).await;
    }
    // All get the new list, then the new site comes.
    let mut lives = Vec::new();
    lives.push(Life::start(&widened(sites.config(0))).await);
    let donor = vec![lives[0].address.to_string()];
    for site in 1..3 {
        // It may have missed more than the log keeps before it was stopped.
        let config = restored_from(sites.config(site), donor.clone());
        lives.push(Life::start(&widened(config)).await);
    }
    let donors = lives.iter().map(|life| life.address.to_string()).collect();
    let mut config = restored_from(widened(sites.config(0)), donors);
    config.site = 4;
    config.path.set_file_name("fourth.db");
    config.music.as_mut().unwrap().site = "fourth".to_owned();
    let writing = write_on(lives[1].client().await, 30);
    let fourth = Life::start(&config).await;
    writing.await.unwrap();
    fourth.until("SELECT count(*) FROM strong", "3230").await;
    fourth.until(PAGES, "early").await;
    let client = fourth.client().await;
    run(&client, "INSERT INTO eventual (page) VALUES ('late')").await;
    let first = lives[0].client().await;
    until(&first, PAGES, "early,late").await;
    let fourths = rows(&client, "SELECT nextval('eventual_id_seq') % 16").await;
    assert_eq!(fourths, ["4"]);
    fourth.stop().await;
    for life in lives {
        life.stop().await;
    }
}
