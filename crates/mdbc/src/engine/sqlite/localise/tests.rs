use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::Database;
use super::*;
use crate::engine::{Applied, Change, Digest, Row};
use crate::outbox::Stamp;
use crate::types::Value;

const SESSION: u64 = 0;
const STRIDE: u16 = 3;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn options(&self, name: &str, site: u16) -> Options {
        Options {
            path: self.folder.path().join(name),
            site,
            sites_max: STRIDE,
            default_kind: TableKind::Eventual,
        }
    }

    /// A database with a table of each kind.
    async fn database(&self, name: &str, site: u16) -> Database {
        let database = Database::open(&self.options(name, site)).unwrap();
        let tables = [
            "CREATE TABLE t (id int PRIMARY KEY)",
            "CREATE TABLE numbered (id bigserial PRIMARY KEY)",
            "CREATE TABLE own (a int, b int) WITH (music = 'local')",
        ];
        for text in tables {
            change_schema(&database, text).await;
        }
        database
    }

    /// A snapshot of the donor, made ohio's.
    async fn localised(
        &self,
        donor: &Database,
        old: Option<&Database>,
        letters: Vec<Letter>,
    ) -> Result<Database> {
        let path: PathBuf = self.folder.path().join("new.db");
        donor.copy_to(path.clone()).await.unwrap();
        let options = self.options("new.db", 1);
        let what = Localisation {
            own: "ohio".to_owned(),
            donor: "oregon".to_owned(),
            written: 3,
            letters,
            options: options.clone(),
        };
        let old = old.map(|old| old.inner.path.clone());
        localise(&path, old.as_deref(), &what)?;
        Ok(Database::open(&options).unwrap())
    }
}

async fn change_schema(database: &Database, text: &str) {
    let digest = Digest {
        changes: vec![Change::Schema(text.to_owned())],
        default_kind: TableKind::Eventual,
        ..Digest::default()
    };
    let positions = BTreeMap::new();
    let applied = Applied { digest, positions };
    database.apply(vec![applied]).await.unwrap();
}

async fn write(database: &Database, sql: &'static str) {
    let job = move |held: &mut Held| held.connection.execute_batch(sql).plain();
    database.inner.writer.call(SESSION, job).await.unwrap();
}

async fn read(database: &Database, sql: &'static str) -> Vec<String> {
    let read = move |held: &mut Held| {
        let mut statement = held.connection.prepare(sql).plain()?;
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .plain()?;
        rows.collect::<rusqlite::Result<_>>().plain()
    };
    database.inner.writer.call(SESSION, read).await.unwrap()
}

/// The letter of ohio with this number, which writes a row of that number.
fn letter(database: &Database, sequence: u64) -> Letter {
    let table = database.schema().table("t").unwrap().oid;
    let id = Value::Integer(stamps::signed(sequence));
    let row = Row {
        table,
        key: vec![id.clone()],
        values: Some(vec![(1, id)]),
        over: None,
    };
    let rows = Rows {
        schema: database.schema().version,
        rows: vec![row],
        ..Rows::default()
    };
    Letter {
        site: "ohio".to_owned(),
        sequence,
        stamp: Stamp {
            at_us: 10 * sequence,
            site: "ohio".to_owned(),
        },
        digest: rows.encode().unwrap().into(),
    }
}

/// Notes letters in ohio's file, up to a number.
async fn keep(database: &Database, last: u64) {
    let letters: Vec<Letter> = (1..=last).map(|n| letter(database, n)).collect();
    let job = move |held: &mut Held| {
        for letter in letters {
            let name = (letter.sequence, &letter.stamp);
            mail::keep(&held.connection, name, &letter.digest)?;
        }
        rows::set_last_letter(&held.connection, last)
    };
    database.inner.writer.call(SESSION, job).await.unwrap();
}

/// The donor has applied the first letter of ohio, and written two of its own.
async fn donor(place: &Place) -> Database {
    let donor = place.database("donor.db", 2).await;
    let Letter {
        sequence,
        stamp,
        digest,
        ..
    } = letter(&donor, 1);
    let rows = Rows::decode(&digest).unwrap();
    let first = Stamped {
        stamp,
        sequence,
        rows,
    };
    donor.receive(vec![first]).await.unwrap();
    write(
        &donor,
        "INSERT INTO mdbc_meta VALUES ('last_letter', 2); \
         INSERT INTO mdbc_outbox VALUES (2, 77, 'oregon', x'00'); \
         INSERT INTO mdbc_inbox VALUES ('kansas', 5, 50); \
         INSERT INTO mdbc_sequences SELECT oid, 40 FROM mdbc_relations WHERE kind = 'sequence'; \
         INSERT INTO own VALUES (1, 1)",
    )
    .await;
    donor
}

const IDS: &str = "SELECT CAST(id AS TEXT) FROM t ORDER BY id";
const INBOX: &str = "SELECT site || ' ' || sequence || ' ' || at_us FROM mdbc_inbox ORDER BY site";
const OUTBOX: &str = "SELECT site || ' ' || sequence FROM mdbc_outbox ORDER BY sequence";
const LAST: &str = "SELECT CAST(value AS TEXT) FROM mdbc_meta WHERE name = 'last_letter'";
const GIVEN: &str = "SELECT CAST(given AS TEXT) FROM mdbc_sequences";

#[tokio::test]
async fn what_the_old_file_has_of_its_own_is_carried_over() {
    let place = Place::new();
    let donor = donor(&place).await;
    let old = place.database("old.db", 1).await;
    keep(&old, 3).await;
    write(
        &old,
        "INSERT INTO mdbc_sequences SELECT oid, 7 FROM mdbc_relations WHERE kind = 'sequence'; \
         INSERT INTO own VALUES (7, 8)",
    )
    .await;
    let new = place
        .localised(&donor, Some(&old), Vec::new())
        .await
        .unwrap();
    assert_eq!(read(&new, IDS).await, ["1", "2", "3"]);
    assert_eq!(read(&new, INBOX).await, ["kansas 5 50", "oregon 2 77"]);
    assert_eq!(read(&new, OUTBOX).await, ["ohio 1", "ohio 2", "ohio 3"]);
    assert_eq!(read(&new, LAST).await, ["3"]);
    assert_eq!(read(&new, GIVEN).await, ["7"]);
    assert_eq!(read(&new, "SELECT a || ' ' || b FROM own").await, ["7 8"]);
}

#[tokio::test]
async fn without_an_old_file_letters_come_from_music_and_sequences_go_on_beyond() {
    let place = Place::new();
    let donor = donor(&place).await;
    // Ohio's are 1, 4, 7, 10: it has given 4. Oregon's do not count.
    write(&donor, "INSERT INTO numbered VALUES (1), (10), (20)").await;
    let letters = vec![letter(&donor, 2), letter(&donor, 3)];
    let new = place.localised(&donor, None, letters).await.unwrap();
    assert_eq!(read(&new, IDS).await, ["1", "2", "3"]);
    assert_eq!(read(&new, OUTBOX).await, ["ohio 2", "ohio 3"]);
    assert_eq!(read(&new, LAST).await, ["3"]);
    let given = 4 + SKIPPED_MAX;
    assert_eq!(read(&new, GIVEN).await, [given.to_string()]);
    assert!(
        read(&new, "SELECT CAST(a AS TEXT) FROM own")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_letter_of_its_own_that_nobody_has_is_missed() {
    let place = Place::new();
    let donor = donor(&place).await;
    let letters = vec![letter(&donor, 3)];
    let error = place.localised(&donor, None, letters).await.unwrap_err();
    assert!(error.message.contains("letter 2"), "{error}");
}

#[tokio::test]
async fn rows_of_a_local_table_that_do_not_fit_stay_in_the_old_file() {
    let place = Place::new();
    let donor = donor(&place).await;
    let old = place.database("old.db", 1).await;
    keep(&old, 3).await;
    write(&old, "INSERT INTO own VALUES (7, NULL)").await;
    change_schema(&donor, "ALTER TABLE own RENAME COLUMN a TO c").await;
    let new = place
        .localised(&donor, Some(&old), Vec::new())
        .await
        .unwrap();
    assert_eq!(read(&new, "SELECT CAST(c AS TEXT) FROM own").await, ["7"]);
    drop(new);
    write(&donor, "DELETE FROM own").await;
    change_schema(&donor, "ALTER TABLE own ALTER COLUMN b SET NOT NULL").await;
    std::fs::remove_file(place.folder.path().join("new.db")).unwrap();
    let new = place
        .localised(&donor, Some(&old), Vec::new())
        .await
        .unwrap();
    assert!(
        read(&new, "SELECT CAST(c AS TEXT) FROM own")
            .await
            .is_empty()
    );
    assert_eq!(read(&new, LAST).await, ["3"], "the rest is carried over");
}

#[test]
fn short_sequences_lose_a_part_alone() {
    assert_eq!(skipped(0, 10_000), 100);
    assert_eq!(skipped(9_990, 10_000), 0);
    assert_eq!(skipped(20_000, 10_000), 0);
    assert_eq!(skipped(5, i64::MAX), SKIPPED_MAX);
}
