//! Opening a directory: what is there comes back, what is not ours is refused.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::conformance::{id, put, text, ticket};
use crate::embedded::{Engine, OpenError, Options, Place, Profile};
use crate::table::SYSTEM_TABLE;
use crate::{Level, LockStore, StateStore, TableMode, TableName};

fn open_with(directory: &Path, profile: &Profile) -> Result<Engine, OpenError> {
    Engine::open(
        &Place::Directory(directory.to_owned()),
        profile,
        Options::default(),
    )
}

fn three() -> Profile {
    Profile::uniform(3, Duration::ZERO).unwrap()
}

fn open(directory: &Path) -> Result<Engine, OpenError> {
    open_with(directory, &three())
}

#[tokio::test]
async fn what_was_written_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let key = id(SYSTEM_TABLE, "key");
    let name = TableName::new("t").unwrap();
    let engine = open(directory.path()).unwrap();
    let site = engine.site("b").unwrap();
    let table = site.create_table(&name, TableMode::Critical).await.unwrap();
    site.write(&key, put(1, "x"), Level::Local).await.unwrap();
    let holding = ticket(&site, &key, 1).await;
    engine.close().await;
    let engine = open(directory.path()).unwrap();
    let site = engine.site("b").unwrap();
    assert_eq!(site.table(&name), Some(table));
    assert_eq!(text(&site.read(&key, Level::Local).await.unwrap()), "x");
    assert!(site.peek(&key).await.unwrap().present(holding));
    engine.settled().await;
    assert_eq!(engine.digest("a").unwrap(), engine.digest("c").unwrap());
    engine.close().await;
}

#[tokio::test]
async fn handles_of_a_closed_engine_fail() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    let site = engine.site("a").unwrap();
    engine.close().await;
    let key = id(SYSTEM_TABLE, "key");
    assert!(site.write(&key, put(1, "x"), Level::Local).await.is_err());
    assert!(site.read(&key, Level::Local).await.is_err());
    assert!(site.peek(&key).await.is_err());
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    engine.close().await;
    open(directory.path()).unwrap().close().await;
}

#[tokio::test]
async fn a_directory_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("precious"), "x").unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let file = directory.path().join("precious");
    let error = open(&file).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_from_a_later_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).unwrap().close().await;
    fs::write(
        directory.path().join("format"),
        "music-store 2\nplanets mars\n",
    )
    .unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 2, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_directory_of_other_sites_is_refused_but_their_order_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).unwrap().close().await;
    let error = open_with(directory.path(), &Profile::built_in("lUs").unwrap()).unwrap_err();
    assert!(matches!(error, OpenError::OtherSites { .. }), "{error}");
    let other_order = Profile::parse("sites c a b\nrtt * * 1\nrtt a b 7").unwrap();
    let engine = open_with(directory.path(), &other_order).unwrap();
    assert_eq!(engine.sites(), ["a", "b", "c"]);
    let links = engine.links();
    let a_to_b = links
        .iter()
        .find(|link| link.from == "a" && link.to == "b")
        .unwrap();
    assert_eq!(a_to_b.rtt, Duration::from_millis(7));
    engine.close().await;
}

#[tokio::test]
async fn a_damaged_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    let site = engine.site("a").unwrap();
    for number in 0..200 {
        let key = id(SYSTEM_TABLE, format!("key {number}"));
        site.write(&key, put(1, "x".repeat(100)), Level::Local)
            .await
            .unwrap();
    }
    drop((engine, site));
    fs::write(directory.path().join("format"), "nonsense").unwrap();
    assert!(matches!(
        wait_open(directory.path()),
        Err(OpenError::Damaged { .. })
    ));
    fs::write(
        directory.path().join("format"),
        "music-store 1\nsites a b c\n",
    )
    .unwrap();
    let journal = fs::read_dir(directory.path().join("store"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    // In the middle of a value, which a checksum covers.
    let at = bytes
        .windows(8)
        .position(|window| window == b"xxxxxxxx")
        .unwrap();
    bytes[at + 3] = b'y';
    fs::write(&journal, bytes).unwrap();
    let error = wait_open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

/// Opens a directory whose engine was dropped without closing it: its threads
/// may take a moment to let go.
fn wait_open(directory: &Path) -> Result<Engine, OpenError> {
    loop {
        match open(directory) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            other => return other,
        }
    }
}

#[test]
fn an_engine_needs_a_runtime() {
    let error = Engine::open(&Place::Memory, &three(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Start(_)), "{error}");
}

#[tokio::test]
async fn records_of_a_table_dropped_before_a_crash_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    let site = engine.site("a").unwrap();
    let name = TableName::new("t").unwrap();
    let table = site.create_table(&name, TableMode::Eventual).await.unwrap();
    for number in 0..3_000 {
        let key = id(table.id, format!("key {number}"));
        site.write(&key, put(1, "x"), Level::Local).await.unwrap();
    }
    site.drop_table(&name).await.unwrap();
    // Closed at once: not everything may have been removed yet.
    engine.close().await;
    let engine = open(directory.path()).unwrap();
    engine.settled().await;
    let empty = Engine::open(&Place::Memory, &three(), Options::default()).unwrap();
    for name in engine.sites() {
        assert_eq!(engine.digest(name).unwrap(), empty.digest("a").unwrap());
    }
    engine.close().await;
}
