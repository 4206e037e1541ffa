//! The engine's seam: what a transaction has done is told, and done again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mdbc::config::Config;
use mdbc::engine::{
    Access, Appended, Applied, Change, Database, Digest, Notes, OpenError, Options, Position,
    Replication, TableKind, Who,
};
use mdbc::error::{SqlError, state};
use mdbc::outbox::Stamp;
use mdbc::proxy::{Site, serve};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Keeps what it is told, and refuses while it is told to.
#[derive(Clone, Default)]
struct Recorder {
    digests: Arc<Mutex<Vec<Digest>>>,
    accesses: Arc<Mutex<Vec<Access>>>,
    refuses: Arc<Mutex<bool>>,
}

#[async_trait]
impl Replication for Recorder {
    async fn before(&self, _: Who, access: &Access, _: bool) -> Result<(), SqlError> {
        self.accesses.lock().unwrap().push(access.clone());
        Ok(())
    }

    async fn append(&self, _: u64, digest: &Digest) -> Result<Appended, SqlError> {
        if *self.refuses.lock().unwrap() {
            return Err(SqlError::new(
                state::SERIALIZATION_FAILURE,
                "the tables were lost",
            ));
        }
        // As it travels.
        let bytes = digest.encode().unwrap();
        self.digests
            .lock()
            .unwrap()
            .push(Digest::decode(&bytes).unwrap());
        Ok(Appended::alone(Notes::default()))
    }

    async fn read(&self, _: u64) -> Result<(), SqlError> {
        Ok(())
    }

    async fn refresh(&self) -> Result<(), SqlError> {
        Ok(())
    }

    fn ended(&self, _: u64, _: bool) {}

    fn age(&self) -> Option<Duration> {
        None
    }
}

fn options(folder: &tempfile::TempDir, site: u16) -> Options {
    Options {
        path: folder.path().join(format!("{site}.db")),
        site,
        sites_max: 4,
        default_kind: TableKind::Strong,
    }
}

async fn start(database: Database, recorder: Recorder) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config::parse(&format!(
        "listen = \"{address}\"\npath = \"unused\"\nsite = 1\n"
    ))
    .unwrap();
    let site = Site {
        config,
        database,
        replication: recorder,
    };
    tokio::spawn(serve(listener, site, CancellationToken::new()));
    address.port()
}

async fn psql(port: u16, text: &str) -> String {
    let output = Command::new("psql")
        .args([
            "-X",
            "-At",
            "-h",
            "127.0.0.1",
            "-U",
            "mdbc",
            "-d",
            "music",
            "-p",
            &port.to_string(),
            "-c",
            text,
        ])
        .output()
        .await
        .unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

const WORK: &[&str] = &[
    "create table parent (id serial primary key, name text unique, price numeric(6,2), raw bytea)",
    "create table child (id int primary key, parent_id int references parent on delete cascade)",
    "insert into parent (name, price, raw) values ('a', 1.5, '\\x00'), ('b', null, null), \
     ('c', 3, '\\xff')",
    "insert into child select id, id from parent",
    "begin; update parent set name = 'd', price = price + 1 where name = 'a'; savepoint s; \
     delete from parent; rollback to s; delete from parent where name = 'b'; commit",
    "alter table parent add column note text not null default 'none'",
    "insert into parent (name) values ('e') on conflict do nothing",
    "insert into parent (name) values ('e') on conflict (name) do update set note = 'again'",
    "update parent set id = 1000 where name = 'e'",
    "create table other (a int primary key) with (music = 'local')",
    "insert into other values (1)",
];

const STATE: &str = "select * from parent order by id; select * from child order by id";

#[tokio::test]
async fn a_digest_makes_another_database_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let port = start(
        Database::open(&options(&folder, 1)).unwrap(),
        recorder.clone(),
    )
    .await;
    for statement in WORK {
        let output = psql(port, statement).await;
        assert!(!output.contains("ERROR"), "{statement}: {output}");
    }
    let digests = std::mem::take(&mut *recorder.digests.lock().unwrap());
    // A table of this site alone is told of by its schema.
    assert_eq!(digests.len(), WORK.len() - 1);
    let replica = Database::open(&options(&folder, 2)).unwrap();
    let applied = digests
        .iter()
        .cloned()
        .zip(1..)
        .map(|(digest, position)| Applied {
            digest,
            positions: BTreeMap::from([(
                "p".to_owned(),
                Position {
                    position,
                    id: vec![7],
                },
            )]),
        });
    let mut applied: Vec<Applied> = applied.collect();
    // What does not apply holds up what comes before it no more than one by one.
    let rest = applied.split_off(5);
    applied.push(applied[2].clone());
    let error = replica.apply(applied).await.unwrap_err();
    assert_eq!(error.state, state::DATA_CORRUPTED);
    assert_eq!(replica.positions().await.unwrap()["p"].position, 5);
    replica.apply(rest).await.unwrap();
    let positions = replica.positions().await.unwrap();
    let at = &positions["p"];
    assert_eq!((at.position, &*at.id), (10, &[7][..]));
    assert_eq!(positions.get("q"), None);
    // Not a second time: rows are not as they were.
    let again = Applied {
        digest: digests[2].clone(),
        positions: BTreeMap::new(),
    };
    let error = replica.apply(vec![again]).await.unwrap_err();
    assert_eq!(error.state, state::DATA_CORRUPTED);
    let other = start(replica, Recorder::default()).await;
    assert_eq!(psql(other, STATE).await, psql(port, STATE).await);
    // Values of sequences are unlike those of the other site.
    let drawn = psql(other, "insert into parent (name) values ('f') returning id").await;
    let id: i64 = drawn.lines().next().unwrap().parse().unwrap();
    assert_eq!(id % 4, 2);
}

#[tokio::test]
async fn a_site_that_has_forgotten_what_it_did_gives_no_value_twice() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let database = Database::open(&options(&folder, 1)).unwrap();
    let port = start(database, recorder.clone()).await;
    for statement in &WORK[..7] {
        psql(port, statement).await;
    }
    // Rows of eventual tables are in the log with those of strong ones.
    let visits = "create table visit (id serial primary key) with (music = 'eventual')";
    psql(port, visits).await;
    let both = "begin; insert into visit default values; update parent set price = 7; commit";
    assert!(!psql(port, both).await.contains("ERROR"));
    let digests = std::mem::take(&mut *recorder.digests.lock().unwrap());
    let stamp = Stamp {
        at_us: 1,
        site: "here".to_owned(),
    };
    let applied = digests.into_iter().map(|mut digest| {
        digest.stamp = Some(stamp.clone());
        Applied {
            digest,
            positions: BTreeMap::new(),
        }
    });
    let lost = tempfile::tempdir().unwrap();
    let again = Database::open(&options(&lost, 1)).unwrap();
    again.apply(applied.collect()).await.unwrap();
    drop(again);
    let again = Database::open(&options(&lost, 1)).unwrap();
    let port = start(again, Recorder::default()).await;
    let drawn = psql(port, "insert into parent (name) values ('f') returning id").await;
    let id: i64 = drawn.lines().next().unwrap().parse().unwrap();
    assert_eq!(id, 17, "1, 5, 9 and 13 are in rows");
    let drawn = psql(port, "insert into visit default values returning id").await;
    assert!(drawn.starts_with("5\n"), "{drawn}");
}

#[tokio::test]
async fn what_is_not_in_the_log_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let port = start(
        Database::open(&options(&folder, 1)).unwrap(),
        recorder.clone(),
    )
    .await;
    psql(port, "create table t (a int primary key)").await;
    *recorder.refuses.lock().unwrap() = true;
    let refused = psql(port, "insert into t values (1)").await;
    assert!(
        refused.contains("ERROR:  the tables were lost"),
        "{refused}"
    );
    assert_eq!(psql(port, "select count(*) from t").await, "0\n");
    *recorder.refuses.lock().unwrap() = false;
    assert_eq!(psql(port, "insert into t values (1)").await, "INSERT 0 1\n");
    let digests = recorder.digests.lock().unwrap();
    assert!(matches!(
        digests[1].changes.as_slice(),
        [Change::Insert { .. }]
    ));
}

#[tokio::test]
async fn a_row_without_a_parent_is_found_before_the_log_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let port = start(
        Database::open(&options(&folder, 1)).unwrap(),
        recorder.clone(),
    )
    .await;
    psql(port, "create table p (a int primary key)").await;
    let deferred = "references p on delete no action deferrable initially deferred";
    psql(
        port,
        &format!("create table c (a int primary key, p int {deferred})"),
    )
    .await;
    let good = "begin; insert into c values (1, 7); insert into p values (7); commit";
    assert!(!psql(port, good).await.contains("ERROR"));
    let known = recorder.digests.lock().unwrap().len();
    for bad in [
        "begin; insert into c values (2, 8); commit",
        "begin; delete from p where a = 7; commit",
        "begin; update c set p = 9; commit",
    ] {
        let refused = psql(port, bad).await;
        assert!(
            refused.contains("violates foreign key constraint \"c_p_fkey\""),
            "{refused}"
        );
    }
    assert_eq!(recorder.digests.lock().unwrap().len(), known);
}

#[tokio::test]
async fn a_statement_says_what_it_touches() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let port = start(
        Database::open(&options(&folder, 1)).unwrap(),
        recorder.clone(),
    )
    .await;
    for statement in [
        &WORK[..2],
        &["create view names as select name from parent"],
    ]
    .concat()
    {
        psql(port, statement).await;
    }
    let names = |list: &std::collections::BTreeSet<String>| {
        list.iter().cloned().collect::<Vec<_>>().join(",")
    };
    for (statement, reads, writes) in [
        ("select * from names", "parent", ""),
        ("select 1", "", ""),
        ("select * from parent for update", "parent", "parent"),
        (
            "insert into child values (1, null)",
            "child,parent",
            "child",
        ),
        ("delete from parent where false", "parent", "child,parent"),
        (
            "with x as (select * from child) update parent set name = 'x' where id in \
             (select id from child)",
            "",
            "",
        ),
    ] {
        recorder.accesses.lock().unwrap().clear();
        psql(port, statement).await;
        let accesses = recorder.accesses.lock().unwrap();
        match accesses.as_slice() {
            [] => assert_eq!((reads, writes), ("", ""), "{statement}"),
            [access, ..] => assert_eq!(
                (
                    names(&access.reads).as_str(),
                    names(&access.writes).as_str()
                ),
                (reads, writes),
                "{statement}"
            ),
        }
    }
}

#[tokio::test]
async fn a_database_that_others_have_changed_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let port = start(
        Database::open(&options(&folder, 1)).unwrap(),
        Recorder::default(),
    )
    .await;
    psql(port, "create table t (a int primary key)").await;
    let path = options(&folder, 1).path;
    let stranger = rusqlite::Connection::open(&path).unwrap();
    // A row cannot be changed without mdbc's own function.
    let error = stranger
        .execute("INSERT INTO t VALUES (1)", [])
        .unwrap_err();
    assert!(error.to_string().contains("mdbc_capture"), "{error}");
    stranger.execute("DROP TRIGGER mdbc_i_16384", []).unwrap();
    let error = Database::open(&options(&folder, 1)).unwrap_err();
    assert!(
        error.to_string().contains("changed by another program"),
        "{error}"
    );
    let other = Options {
        path: folder.path().join("other.db"),
        ..options(&folder, 1)
    };
    rusqlite::Connection::open(&other.path)
        .unwrap()
        .execute("CREATE TABLE x (a)", [])
        .unwrap();
    assert!(matches!(
        Database::open(&other),
        Err(OpenError::Database { .. })
    ));
    assert!(matches!(
        Database::open(&options(&folder, 9)),
        Err(OpenError::Site { .. })
    ));
}
