//! The state store, all sites connected.

use bytes::Bytes;
use music_core::id::{Field, Key, TableId};
use music_core::record::Record;

use super::{Harness, at, field, id, put, table, text};
use crate::table::SYSTEM_TABLE;
use crate::{Level, ScanRange, StateStore, TableMode};

/// Two majorities share a replica.
pub async fn a_majority_write_is_read_by_a_majority_at_every_site<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    for (number, writer) in sites.iter().enumerate() {
        let id = id(table, format!("key {number}"));
        writer
            .write(&id, put(1, "x"), Level::Majority)
            .await
            .unwrap();
        for reader in &sites {
            assert_eq!(text(&reader.read(&id, Level::Majority).await.unwrap()), "x");
        }
    }
}

/// A local write "reaches every replica in the end".
pub async fn a_local_write_reaches_every_site<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Eventual).await;
    for (number, writer) in sites.iter().enumerate() {
        let id = id(table, format!("key {number}"));
        writer.write(&id, put(1, "x"), Level::Local).await.unwrap();
        assert_eq!(text(&writer.read(&id, Level::Local).await.unwrap()), "x");
    }
    harness.settled().await;
    for (number, _) in sites.iter().enumerate() {
        for reader in &sites {
            let id = id(table, format!("key {number}"));
            assert_eq!(text(&reader.read(&id, Level::Local).await.unwrap()), "x");
        }
    }
}

/// "The order of stamps is the order of writes."
pub async fn the_highest_stamp_wins_wherever_and_whenever_it_lands<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Eventual).await;
    let id = id(table, "key");
    for (time, level) in [(3, Level::Local), (1, Level::Majority), (2, Level::Local)] {
        for site in &sites {
            site.write(&id, put(time, time.to_string()), level)
                .await
                .unwrap();
        }
    }
    harness.settled().await;
    for site in &sites {
        assert_eq!(text(&site.read(&id, Level::Local).await.unwrap()), "3");
        assert_eq!(text(&site.read(&id, Level::Majority).await.unwrap()), "3");
    }
}

/// "Ties: the larger value wins."
pub async fn equal_stamps_end_with_the_larger_value_at_every_site<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Eventual).await;
    let id = id(table, "key");
    for (number, site) in sites.iter().enumerate() {
        site.write(&id, put(1, format!("{number}")), Level::Local)
            .await
            .unwrap();
    }
    harness.settled().await;
    let largest = (sites.len() - 1).to_string();
    for site in &sites {
        assert_eq!(text(&site.read(&id, Level::Local).await.unwrap()), largest);
    }
}

/// "The fields of one key put together are atomic", at each replica.
pub async fn the_fields_of_one_write_are_seen_together<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    let key = id(table, "key");
    let writer = {
        let (store, key) = (sites[0].clone(), key.clone());
        tokio::spawn(async move {
            for time in 1..=50 {
                let value = Some(Bytes::from(time.to_string()));
                let both = [(field("a"), value.clone()), (field("b"), value)];
                store
                    .write(&key, Record::write(at(time), both), Level::Majority)
                    .await
                    .unwrap();
            }
        })
    };
    while !writer.is_finished() {
        for (site, level) in sites
            .iter()
            .zip([Level::Local, Level::Majority].iter().cycle())
        {
            let record = site.read(&key, *level).await.unwrap();
            assert_eq!(record.value(&field("a")), record.value(&field("b")));
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

/// "A field that was absent must stay absent when a late put of an older
/// lockRef lands."
pub async fn a_deletion_covers_older_puts_that_land_later<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    let key = id(table, "key");
    sites[0]
        .write(&key, put(1, "old"), Level::Majority)
        .await
        .unwrap();
    sites[0]
        .write(&key, Record::deletion(at(5)), Level::Majority)
        .await
        .unwrap();
    for (site, time) in sites.iter().zip([2, 5, 4].into_iter().cycle()) {
        let late = [
            (Field::DEFAULT, Some("late".into())),
            (field("new"), Some("late".into())),
        ];
        site.write(&key, Record::write(at(time), late), Level::Majority)
            .await
            .unwrap();
    }
    harness.settled().await;
    for site in &sites {
        for level in [Level::Local, Level::Majority] {
            let record = site.read(&key, level).await.unwrap();
            assert!(!record.exists());
            assert_eq!(record.deleted(), Some(at(5)));
        }
    }
    sites[1]
        .write(&key, put(6, "new"), Level::Majority)
        .await
        .unwrap();
    assert_eq!(
        text(&sites[2].read(&key, Level::Majority).await.unwrap()),
        "new"
    );
}

/// A cell is a register of its own: "the stamp, and value or deleted".
pub async fn a_deleted_field_stays_deleted_and_others_stay<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    let key = id(table, "key");
    let both = [
        (field("a"), Some("1".into())),
        (field("b"), Some("1".into())),
    ];
    sites[0]
        .write(&key, Record::write(at(1), both), Level::Majority)
        .await
        .unwrap();
    let deleted = Record::write(at(3), [(field("a"), None)]);
    sites[1]
        .write(&key, deleted, Level::Majority)
        .await
        .unwrap();
    let late = Record::write(at(2), [(field("a"), Some("late".into()))]);
    sites[2].write(&key, late, Level::Majority).await.unwrap();
    let record = sites[0].read(&key, Level::Majority).await.unwrap();
    assert_eq!(record.value(&field("a")), None);
    assert_eq!(record.value(&field("b")), Some(&Bytes::from("1")));
}

/// The name of a key is "any bytes".
pub async fn keys_may_hold_every_byte<H: Harness>(harness: &H) {
    let site = &harness.sites()[0];
    let table = table(site, TableMode::Eventual).await;
    let mut keys: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    keys.push((0..=255).collect());
    keys.push(vec![0; 1024]);
    keys.push(vec![255; 1024]);
    for key in &keys {
        let value = Bytes::from(key.clone());
        site.write(&id(table, key.clone()), put(1, value), Level::Local)
            .await
            .unwrap();
    }
    keys.sort();
    for key in &keys {
        let record = site
            .read(&id(table, key.clone()), Level::Local)
            .await
            .unwrap();
        assert_eq!(
            record
                .value(&Field::DEFAULT)
                .map(|value| value.to_vec())
                .as_ref(),
            Some(key)
        );
    }
    assert_eq!(scan(site, table, b"", None).await, keys);
}

async fn scan(
    site: &impl StateStore,
    table: TableId,
    prefix: &[u8],
    after: Option<&[u8]>,
) -> Vec<Vec<u8>> {
    let after = after.map(|key| Key::new(key.to_vec()).unwrap());
    let range = ScanRange {
        table,
        prefix: prefix.to_vec(),
        after,
        limit: 1_000,
    };
    let found = site.scan(range).await.unwrap();
    found
        .into_iter()
        .map(|(key, _)| key.as_bytes().to_vec())
        .collect()
}

/// A scan is "in the order of its keys' bytes", within its range.
pub async fn a_scan_keeps_to_order_prefix_start_and_limit<H: Harness>(harness: &H) {
    let site = &harness.sites()[0];
    let table = table(site, TableMode::Eventual).await;
    let name = crate::TableName::new("another").unwrap();
    let other = site
        .create_table(&name, TableMode::Eventual)
        .await
        .unwrap()
        .id;
    for key in ["b", "a/2", "a/10", "a", "a/1", "c", "a0"] {
        site.write(&id(table, key), put(1, "x"), Level::Local)
            .await
            .unwrap();
        site.write(
            &id(other, format!("other {key}")),
            put(1, "x"),
            Level::Local,
        )
        .await
        .unwrap();
    }
    let keys = |keys: &[&str]| {
        keys.iter()
            .map(|key| key.as_bytes().to_vec())
            .collect::<Vec<_>>()
    };
    let all = ["a", "a/1", "a/10", "a/2", "a0", "b", "c"];
    assert_eq!(scan(site, table, b"", None).await, keys(&all));
    assert_eq!(
        scan(site, table, b"a/", None).await,
        keys(&["a/1", "a/10", "a/2"])
    );
    assert_eq!(
        scan(site, table, b"a/", Some(b"a/1")).await,
        keys(&["a/10", "a/2"])
    );
    assert_eq!(
        scan(site, table, b"a/", Some(b"a")).await,
        keys(&["a/1", "a/10", "a/2"])
    );
    assert_eq!(
        scan(site, table, b"", Some(b"a/3")).await,
        keys(&["a0", "b", "c"])
    );
    assert_eq!(scan(site, table, b"", Some(b"z")).await, keys(&[]));
    assert_eq!(scan(site, table, b"z", None).await, keys(&[]));
    let range = ScanRange {
        table,
        prefix: b"a".to_vec(),
        after: None,
        limit: 2,
    };
    assert_eq!(site.scan(range).await.unwrap().len(), 2);
}

/// A scan returns "the records of a range that exist".
pub async fn a_scan_leaves_out_what_does_not_exist<H: Harness>(harness: &H) {
    let site = &harness.sites()[0];
    let table = table(site, TableMode::Eventual).await;
    for number in 0..600 {
        let key = id(table, format!("{number:04}"));
        site.write(&key, put(1, "x"), Level::Local).await.unwrap();
        if number % 100 != 0 {
            site.write(&key, Record::deletion(at(2)), Level::Local)
                .await
                .unwrap();
        }
    }
    let found = scan(site, table, b"", None).await;
    let expected: Vec<_> = (0..6)
        .map(|number| format!("{:04}", number * 100))
        .collect();
    assert_eq!(
        found,
        expected
            .iter()
            .map(|key| key.as_bytes().to_vec())
            .collect::<Vec<_>>()
    );
    let range = ScanRange {
        table,
        prefix: Vec::new(),
        after: None,
        limit: 3,
    };
    assert_eq!(site.scan(range).await.unwrap().len(), 3);
}

/// Values are returned as stored.
pub async fn a_value_of_a_mebibyte_comes_back<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Eventual).await;
    let value: Bytes = (0..1_u32 << 20)
        .map(|byte| byte.to_le_bytes()[byte as usize % 4])
        .collect();
    let (key, empty) = (id(table, "large"), id(table, "empty"));
    sites[0]
        .write(&key, put(1, value.clone()), Level::Local)
        .await
        .unwrap();
    sites[0]
        .write(&empty, put(1, ""), Level::Majority)
        .await
        .unwrap();
    harness.settled().await;
    for site in &sites {
        let record = site.read(&key, Level::Majority).await.unwrap();
        assert_eq!(record.value(&Field::DEFAULT), Some(&value));
        let record = site.read(&empty, Level::Local).await.unwrap();
        assert_eq!(record.value(&Field::DEFAULT), Some(&Bytes::new()));
    }
}

/// `changes` "tells of each record that changes at the local replica".
pub async fn listeners_hear_of_a_change_at_their_replica<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Eventual).await;
    let listeners: Option<Vec<_>> = sites.iter().map(StateStore::changes).collect();
    assert_eq!(listeners.is_some(), harness.tells_of_changes());
    let Some(mut listeners) = listeners else {
        return;
    };
    let key = id(table, "key");
    sites[0]
        .write(&key, put(1, "x"), Level::Local)
        .await
        .unwrap();
    harness.settled().await;
    for listener in &mut listeners {
        assert_eq!(listener.recv().await.unwrap(), key);
    }
}

/// The nodes' proofs of life are records of the system table.
pub async fn the_system_table_is_always_there<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = id(SYSTEM_TABLE, "session");
    sites[0]
        .write(&key, put(1, "x"), Level::Majority)
        .await
        .unwrap();
    assert_eq!(
        text(&sites[2].read(&key, Level::Majority).await.unwrap()),
        "x"
    );
    assert!(sites[0].tables().is_empty());
}
