//! The catalogue of tables.

use super::{Harness, id, put, table, text};
use crate::{Error, Level, StateStore, TableMode, TableName};

fn name(name: &str) -> TableName {
    TableName::new(name).unwrap()
}

/// A table "has a mode, critical or eventual, fixed when it is created".
pub async fn a_table_keeps_the_mode_it_was_created_with<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let first = sites[0]
        .create_table(&name("t"), TableMode::Critical)
        .await
        .unwrap();
    assert_eq!(first.mode, TableMode::Critical);
    let again = sites[1]
        .create_table(&name("t"), TableMode::Eventual)
        .await
        .unwrap();
    assert_eq!(again, first);
}

/// The answer to a creation means that sites know; a list is in order.
pub async fn every_site_knows_the_tables<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let b = sites[0]
        .create_table(&name("b"), TableMode::Critical)
        .await
        .unwrap();
    let a = sites[1]
        .create_table(&name("a"), TableMode::Eventual)
        .await
        .unwrap();
    harness.settled().await;
    for site in &sites {
        assert_eq!(site.tables(), [a.clone(), b.clone()]);
        assert_eq!(site.table(&name("a")), Some(a.clone()));
        assert_eq!(site.table_by_id(b.id), Some(b.clone()));
        assert_eq!(site.table(&name("c")), None);
    }
}

/// Dropping "returns whether it was there".
pub async fn a_dropped_table_is_gone_and_can_be_dropped_once<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Eventual).await;
    let key = id(table, "key");
    sites[0]
        .write(&key, put(1, "x"), Level::Majority)
        .await
        .unwrap();
    assert!(sites[1].drop_table(&name("conformance")).await.unwrap());
    assert!(!sites[2].drop_table(&name("conformance")).await.unwrap());
    harness.settled().await;
    for site in &sites {
        assert_eq!(site.table(&name("conformance")), None);
        for level in [Level::Local, Level::Majority] {
            let read = site.read(&key, level).await;
            assert!(matches!(read, Err(Error::NoSuchTable)), "{read:?}");
            let write = site.write(&key, put(2, "y"), level).await;
            assert!(matches!(write, Err(Error::NoSuchTable)), "{write:?}");
        }
    }
}

/// "A table dropped and created again gets another" number.
pub async fn a_table_created_again_does_not_show_old_values<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let old = table(&sites[0], TableMode::Eventual).await;
    sites[0]
        .write(&id(old, "key"), put(9, "old"), Level::Majority)
        .await
        .unwrap();
    sites[1].drop_table(&name("conformance")).await.unwrap();
    let new = table(&sites[2], TableMode::Critical).await;
    assert_ne!(old, new);
    harness.settled().await;
    for site in &sites {
        assert!(
            !site
                .read(&id(new, "key"), Level::Majority)
                .await
                .unwrap()
                .exists()
        );
    }
}

/// A write "may still land, now or much later", but not in another table.
pub async fn an_old_write_that_lands_late_does_not_show_in_a_table_created_again<H: Harness>(
    harness: &H,
) {
    let sites = harness.sites();
    let old = table(&sites[0], TableMode::Eventual).await;
    harness.settled().await;
    if !harness.set_isolated(2, true) {
        return;
    }
    // The site that is cut off does not know yet that its table is gone.
    sites[0].drop_table(&name("conformance")).await.unwrap();
    let new = table(&sites[1], TableMode::Eventual).await;
    let late = sites[2]
        .write(&id(old, "key"), put(9, "old"), Level::Local)
        .await;
    assert!(matches!(late, Ok(()) | Err(Error::NoSuchTable)), "{late:?}");
    sites[0]
        .write(&id(new, "key"), put(1, "new"), Level::Majority)
        .await
        .unwrap();
    harness.set_isolated(2, false);
    harness.settled().await;
    for site in &sites {
        assert_eq!(
            text(&site.read(&id(new, "key"), Level::Local).await.unwrap()),
            "new"
        );
        let read = site.read(&id(old, "key"), Level::Local).await;
        assert!(matches!(read, Err(Error::NoSuchTable)), "{read:?}");
    }
}
