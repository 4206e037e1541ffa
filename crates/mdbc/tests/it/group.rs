//! Transactions that share a local commit, with a log that acknowledges when it
//! is told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mdbc::config::Config;
use mdbc::engine::{
    Access, Appended, Database, Digest, Notes, Options, Position, Replication, Stamped, TableKind,
    Who,
};
use mdbc::error::{SqlError, state};
use mdbc::outbox::Stamp;
use mdbc::proxy::{Site, serve};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

/// The time after which a test has failed; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_mins(2);

type Answer = oneshot::Sender<Result<(), SqlError>>;

/// A log that acknowledges at once, or when it is told to.
#[derive(Clone)]
struct Log {
    holds: Arc<AtomicBool>,
    held: Arc<Mutex<Vec<Option<Answer>>>>,
    /// How many are appended.
    appended: Arc<watch::Sender<usize>>,
    transactions: Arc<Mutex<Vec<u64>>>,
    /// How those that were appended have ended.
    ended: Arc<Mutex<Vec<bool>>>,
}

#[async_trait]
impl Replication for Log {
    async fn before(&self, _: Who, access: &Access, _: bool) -> Result<(), SqlError> {
        // Another site has it.
        if access.reads.contains("theirs") {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn append(&self, transaction: u64, digest: &Digest) -> Result<Appended, SqlError> {
        self.transactions.lock().unwrap().push(transaction);
        let number = self.appended.borrow().wrapping_add(1);
        let (mut notes, id) = (Notes::default(), Vec::new());
        let position = u64::try_from(number).unwrap();
        if digest.changes.is_empty() {
            let stamp = Stamp {
                at_us: position,
                site: "here".to_owned(),
            };
            notes.letter = Some(digest.rows.encode().unwrap());
            let rows = digest.rows.clone();
            notes.rows = Some(Stamped {
                stamp,
                sequence: 0,
                rows,
            });
        } else {
            notes.positions = BTreeMap::from([("p".to_owned(), Position { position, id })]);
        }
        let mut appended = Appended::alone(notes);
        if self.holds.load(Ordering::SeqCst) {
            let (answer, answered) = oneshot::channel();
            self.held.lock().unwrap().push(Some(answer));
            appended.acknowledged = Box::pin(async move { answered.await.unwrap() });
        }
        self.appended.send_modify(|count| *count += 1);
        Ok(appended)
    }

    async fn read(&self, _: u64) -> Result<(), SqlError> {
        Ok(())
    }

    async fn refresh(&self) -> Result<(), SqlError> {
        Ok(())
    }

    fn ended(&self, transaction: u64, is_committed: bool) {
        if self.transactions.lock().unwrap().contains(&transaction) {
            self.ended.lock().unwrap().push(is_committed);
        }
    }

    fn age(&self) -> Option<Duration> {
        None
    }
}

struct Run {
    log: Log,
    database: Database,
    port: u16,
    serving: JoinHandle<()>,
    folder: tempfile::TempDir,
}

fn open(folder: &tempfile::TempDir) -> Database {
    Database::open(&Options {
        path: folder.path().join("site.db"),
        site: 1,
        sites_max: 4,
        default_kind: TableKind::Strong,
    })
    .unwrap()
}

impl Run {
    /// A site with some tables.
    async fn start() -> (Self, Client) {
        let folder = tempfile::tempdir().unwrap();
        let log = Log {
            holds: Arc::default(),
            held: Arc::default(),
            appended: Arc::default(),
            transactions: Arc::default(),
            ended: Arc::default(),
        };
        let database = open(&folder);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!("listen = \"{address}\"\npath = \"unused\"\nsite = 1\n");
        let site = Site {
            config: Config::parse(&text).unwrap(),
            database: database.clone(),
            replication: log.clone(),
        };
        let serving = async {
            serve(listener, site, CancellationToken::new())
                .await
                .unwrap();
        };
        let run = Self {
            log,
            database,
            port: address.port(),
            serving: tokio::spawn(serving),
            folder,
        };
        let client = run.client().await;
        let tables = "CREATE TABLE t (k int PRIMARY KEY); CREATE TABLE u (k int PRIMARY KEY);
            CREATE TABLE theirs (k int PRIMARY KEY);
            CREATE TABLE e (k int PRIMARY KEY) WITH (music = 'eventual');
            CREATE TABLE l (k int PRIMARY KEY) WITH (music = 'local')";
        client.batch_execute(tables).await.unwrap();
        run.log.holds.store(true, Ordering::SeqCst);
        run.log.appended.send_replace(0);
        run.log.ended.lock().unwrap().clear();
        (run, client)
    }

    async fn client(&self) -> Client {
        let settings = format!("host=127.0.0.1 port={} user=mdbc dbname=music", self.port);
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A statement on a connection of its own: the SQLSTATE that it ends with.
    async fn begin(&self, text: &str) -> JoinHandle<String> {
        let (client, text) = (self.client().await, text.to_owned());
        tokio::spawn(async move { state_of(&client, &text).await })
    }

    /// The same, when it is appended.
    async fn append(&self, text: &str) -> JoinHandle<String> {
        let before = *self.log.appended.borrow();
        let begun = self.begin(text).await;
        self.appended(before + 1).await;
        begun
    }

    async fn appended(&self, count: usize) {
        let mut appended = self.log.appended.subscribe();
        let reached = appended.wait_for(|appended| *appended >= count);
        soon(reached).await.unwrap();
    }

    /// Tells what becomes of an entry, from 0.
    fn tell(&self, entry: usize, result: Result<(), SqlError>) {
        let mut held = self.log.held.lock().unwrap();
        let answer = held.get_mut(entry).unwrap().take().unwrap();
        drop(answer.send(result));
    }

    fn ended(&self) -> Vec<bool> {
        self.log.ended.lock().unwrap().clone()
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let what = tokio::time::timeout(DEADLINE, what);
    what.await.expect("it has to happen soon")
}

/// The SQLSTATE that statements end with; 00000 where they succeed.
async fn state_of(client: &Client, text: &str) -> String {
    match soon(client.batch_execute(text)).await {
        Ok(()) => "00000".to_owned(),
        // The process is gone.
        Err(error) => error.code().map_or("", |code| code.code()).to_owned(),
    }
}

async fn keys(client: &Client, table: &str) -> Vec<i32> {
    let query = format!("SELECT k FROM {table} ORDER BY k");
    let rows = soon(client.query(&query, &[])).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn not_applied() -> Result<(), SqlError> {
    Err(SqlError::new(state::SERIALIZATION_FAILURE, "lost"))
}

fn unknown() -> Result<(), SqlError> {
    Err(SqlError::new(
        state::STATEMENT_COMPLETION_UNKNOWN,
        "who knows",
    ))
}

async fn told(begun: JoinHandle<String>) -> String {
    soon(begun).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_under_way_share_one_commit() {
    let (run, client) = Run::start().await;
    let mut begun = Vec::new();
    for k in 0..16 {
        begun.push(run.append(&format!("INSERT INTO t VALUES ({k})")).await);
    }
    let commits = run.database.commits();
    for entry in (0..16).rev() {
        assert_eq!(run.database.commits(), commits, "none is committed");
        run.tell(entry, Ok(()));
        let begun = begun.pop().unwrap();
        assert_eq!(told(begun).await, "00000", "it is answered at once");
    }
    assert_eq!(keys(&client, "t").await, (0..16).collect::<Vec<_>>());
    assert_eq!(run.database.commits(), commits + 1);
    assert_eq!(run.ended(), [true; 16]);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_fail_are_undone_and_the_others_are_not() {
    let (run, client) = Run::start().await;
    let mut begun = Vec::new();
    for k in 0..5 {
        let insert =
            format!("BEGIN; INSERT INTO t VALUES ({k}); INSERT INTO u VALUES ({k}); COMMIT");
        begun.push(run.append(&insert).await);
    }
    let ends = [Ok(()), not_applied(), Ok(()), unknown(), Ok(())];
    for (entry, end) in ends.into_iter().enumerate() {
        run.tell(entry, end);
    }
    let mut states = Vec::new();
    for begun in begun {
        states.push(told(begun).await);
    }
    assert_eq!(states, ["00000", "40001", "00000", "40003", "00000"]);
    for table in ["t", "u"] {
        assert_eq!(keys(&client, table).await, [0, 2, 4]);
    }
    assert_eq!(run.ended(), [true, true, true, false, false]);
    let positions = soon(run.database.positions()).await.unwrap();
    assert_eq!(positions["p"].position, 5);
    run.log.holds.store(false, Ordering::SeqCst);
    assert_eq!(state_of(&client, "INSERT INTO t VALUES (1)").await, "00000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_interrupted_undoes_no_other() {
    let (run, client) = Run::start().await;
    let first = run.append("INSERT INTO t VALUES (1), (2)").await;
    let letter = run.append("INSERT INTO e VALUES (3)").await;
    let endless = "SET statement_timeout = 50; INSERT INTO u
        WITH RECURSIVE n (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 100000000)
        SELECT k FROM n";
    assert_eq!(told(run.begin(endless).await).await, "57014");
    let last = run.begin("INSERT INTO t SELECT 7 FROM t WHERE k = 1").await;
    for entry in [0, 1] {
        run.tell(entry, Ok(()));
    }
    assert_eq!(
        (told(first).await, told(letter).await),
        ("00000".into(), "00000".into())
    );
    run.appended(3).await;
    run.tell(2, Ok(()));
    assert_eq!(told(last).await, "00000");
    assert_eq!(keys(&client, "t").await, [1, 2, 7]);
    assert_eq!(keys(&client, "e").await, [3]);
    assert!(keys(&client, "u").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_behind_one_that_fails_fails_too() {
    let (run, client) = Run::start().await;
    let before = run.append("INSERT INTO e VALUES (1)").await;
    let fails = run.append("INSERT INTO t VALUES (1)").await;
    let behind = run.append("INSERT INTO e VALUES (2)").await;
    for (entry, end) in [Ok(()), not_applied(), Ok(())].into_iter().enumerate() {
        run.tell(entry, end);
    }
    let states = [told(before).await, told(fails).await, told(behind).await];
    assert_eq!(states, ["00000", "40001", "40001"]);
    assert_eq!(keys(&client, "e").await, [1]);
    assert!(keys(&client, "t").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_a_letter_waits_for_it() {
    let (run, client) = Run::start().await;
    let rests = "INSERT INTO t SELECT k FROM e ON CONFLICT DO NOTHING";
    let letter = run.append("INSERT INTO e VALUES (0)").await;
    let rests_on_it = run.begin(rests).await;
    run.tell(0, Ok(()));
    assert_eq!(told(letter).await, "00000");
    run.appended(2).await;
    run.tell(1, Ok(()));
    assert_eq!(told(rests_on_it).await, "00000");
    // One that rests on what fails is in no log.
    let letter = run.append("INSERT INTO e VALUES (1)").await;
    let other = run.client().await;
    let state = state_of(&other, &format!("BEGIN; {rests}; SELECT 1")).await;
    assert_eq!(state, "00000", "it runs on top of it");
    let rests_on_it = tokio::spawn(async move { state_of(&other, "COMMIT").await });
    run.tell(2, not_applied());
    assert_eq!(
        (told(letter).await, told(rests_on_it).await),
        ("40001".into(), "40001".into())
    );
    assert_eq!(*run.log.appended.borrow(), 3);
    assert_eq!(keys(&client, "t").await, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_schema_is_the_last_of_its_group() {
    let (run, client) = Run::start().await;
    let row = run.append("INSERT INTO t VALUES (1)").await;
    let alter = run.append("ALTER TABLE t ADD COLUMN v int DEFAULT 5").await;
    let behind = run.begin("INSERT INTO t VALUES (2)").await;
    assert_eq!(*run.log.appended.borrow(), 2);
    for entry in [0, 1] {
        run.tell(entry, Ok(()));
    }
    assert_eq!(
        (told(row).await, told(alter).await),
        ("00000".into(), "00000".into())
    );
    run.appended(3).await;
    run.tell(2, Ok(()));
    assert_eq!(told(behind).await, "00000");
    let rows = client
        .query("SELECT v FROM t ORDER BY k", &[])
        .await
        .unwrap();
    assert_eq!(
        rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(),
        [5, 5]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_schema_that_fails_is_seen_by_nobody() {
    let (run, client) = Run::start().await;
    let row = run.append("INSERT INTO t VALUES (1)").await;
    let alter = run.append("ALTER TABLE t ADD COLUMN v int DEFAULT 5").await;
    run.tell(0, Ok(()));
    run.tell(1, not_applied());
    assert_eq!(
        (told(row).await, told(alter).await),
        ("00000".into(), "40001".into())
    );
    run.log.holds.store(false, Ordering::SeqCst);
    assert_eq!(state_of(&client, "SELECT v FROM t").await, "42703");
    assert_eq!(
        state_of(&client, "INSERT INTO t VALUES (2, 6)").await,
        "42601"
    );
    assert_eq!(keys(&client, "t").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_the_site_alone_is_changed_last() {
    let (run, client) = Run::start().await;
    let row = run.append("INSERT INTO t VALUES (1)").await;
    let here = "BEGIN; INSERT INTO l VALUES (1); INSERT INTO t VALUES (2); COMMIT";
    let here = run.begin(here).await;
    run.tell(0, Ok(()));
    run.appended(2).await;
    let behind = run.begin("INSERT INTO t VALUES (3)").await;
    assert_eq!(*run.log.appended.borrow(), 2, "it is the last of its group");
    run.tell(1, Ok(()));
    assert_eq!(
        (told(row).await, told(here).await),
        ("00000".into(), "00000".into())
    );
    run.appended(3).await;
    run.tell(2, not_applied());
    assert_eq!(told(behind).await, "40001");
    assert_eq!(keys(&client, "l").await, [1]);
    assert_eq!(keys(&client, "t").await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_the_site_alone_is_not_changed_on_top_of_what_fails() {
    let (run, client) = Run::start().await;
    let row = run.append("INSERT INTO t VALUES (1)").await;
    let other = run.client().await;
    let here = "BEGIN; INSERT INTO l VALUES (1); INSERT INTO t VALUES (2)";
    assert_eq!(state_of(&other, here).await, "00000", "it runs on top");
    let here = tokio::spawn(async move { state_of(&other, "COMMIT").await });
    run.tell(0, not_applied());
    let states = [told(row).await, told(here).await];
    assert_eq!(states, ["40001", "40001"]);
    assert_eq!(*run.log.appended.borrow(), 1, "it is in no log");
    for table in ["l", "t"] {
        assert!(keys(&client, table).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_old_where_a_table_that_was_read_has_changed() {
    let (run, client) = Run::start().await;
    run.log.holds.store(false, Ordering::SeqCst);
    let other = run.client().await;
    let rounds = [("u", "00000"), ("t", "40001"), ("e", "00000")];
    for (n, (table, state)) in rounds.into_iter().enumerate() {
        assert_eq!(state_of(&client, "BEGIN; SELECT * FROM t").await, "00000");
        let insert = format!("INSERT INTO {table} VALUES ({n})");
        assert_eq!(state_of(&other, &insert).await, "00000");
        let insert = format!("INSERT INTO u VALUES (10 + {n})");
        assert_eq!(state_of(&client, &insert).await, state, "{table}");
        state_of(&client, "COMMIT").await;
    }
    // One that has joined and is not committed counts as well.
    run.log.holds.store(true, Ordering::SeqCst);
    assert_eq!(state_of(&client, "BEGIN; SELECT * FROM t").await, "00000");
    let row = run.append("INSERT INTO t VALUES (7)").await;
    assert_eq!(
        state_of(&client, "INSERT INTO u VALUES (20)").await,
        "40001"
    );
    assert_eq!(state_of(&client, "ROLLBACK").await, "00000");
    run.tell(0, Ok(()));
    assert_eq!(told(row).await, "00000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_old_where_it_lacks_what_a_client_was_told_of() {
    let (run, client) = Run::start().await;
    let begin = "BEGIN; SELECT * FROM e";
    assert_eq!(state_of(&client, begin).await, "00000");
    // The first one keeps the second from being committed, not from its answer.
    let first = run.append("INSERT INTO u VALUES (1)").await;
    let second = run.append("INSERT INTO t VALUES (1)").await;
    run.tell(1, Ok(()));
    assert_eq!(told(second).await, "00000");
    assert_eq!(state_of(&client, "SELECT * FROM t").await, "40001");
    assert_eq!(state_of(&client, "ROLLBACK").await, "00000");
    // Who asks for what this site has does not hang on others.
    let here = "SET music.read = 'local'; SELECT * FROM t";
    assert_eq!(state_of(&run.client().await, here).await, "00000");
    let reads = tokio::spawn(async move { keys(&client, "t").await });
    run.tell(0, Ok(()));
    assert_eq!(told(first).await, "00000");
    assert_eq!(soon(reads).await.unwrap(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rolls_back_on_top_of_others_undoes_none_of_them() {
    let (run, client) = Run::start().await;
    let first = run.append("INSERT INTO t VALUES (1)").await;
    let undone = "BEGIN; INSERT INTO t VALUES (2); SAVEPOINT s; DELETE FROM t; ROLLBACK TO s;
        INSERT INTO u SELECT k FROM t; ROLLBACK";
    assert_eq!(state_of(&client, undone).await, "00000");
    let second = run.append("INSERT INTO u SELECT k + 10 FROM t").await;
    run.tell(1, Ok(()));
    run.tell(0, Ok(()));
    assert_eq!(
        (told(first).await, told(second).await),
        ("00000".into(), "00000".into())
    );
    assert_eq!(keys(&client, "t").await, [1]);
    assert_eq!(keys(&client, "u").await, [11]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_idles_on_top_of_others_is_taken_off() {
    let (run, client) = Run::start().await;
    let first = run.append("INSERT INTO t VALUES (1)").await;
    assert_eq!(
        state_of(&client, "BEGIN; INSERT INTO t VALUES (2)").await,
        "00000"
    );
    run.tell(0, Ok(()));
    assert_eq!(
        told(first).await,
        "00000",
        "though nobody ends the other one"
    );
    let reader = run.client().await;
    assert_eq!(keys(&reader, "t").await, [1], "who reads now must see it");
    assert_eq!(state_of(&client, "INSERT INTO t VALUES (3)").await, "40001");
    assert_eq!(
        state_of(&client, "COMMIT").await,
        "00000",
        "it is a rollback"
    );
    assert_eq!(keys(&client, "t").await, [1]);
    // The next one waits for those before it, and keeps nobody from an answer.
    let before = run.append("INSERT INTO t VALUES (4)").await;
    let begin = async { state_of(&client, "BEGIN; INSERT INTO t VALUES (5)").await };
    let answer = async {
        run.tell(1, Ok(()));
        told(before).await
    };
    let (begun, answered) = tokio::join!(begin, answer);
    assert_eq!((begun, answered), ("00000".into(), "00000".into()));
    run.log.holds.store(false, Ordering::SeqCst);
    assert_eq!(
        state_of(&client, "INSERT INTO t VALUES (6); COMMIT").await,
        "00000"
    );
    assert_eq!(keys(&client, "t").await, [1, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_on_top_of_others_is_taken_off() {
    let (run, client) = Run::start().await;
    let first = run.append("INSERT INTO t VALUES (1)").await;
    assert_eq!(
        state_of(&client, "BEGIN; INSERT INTO t VALUES (2)").await,
        "00000"
    );
    let waits = tokio::spawn(async move { state_of(&client, "SELECT * FROM theirs").await });
    run.tell(0, Ok(()));
    assert_eq!(told(first).await, "00000");
    assert_eq!(told(waits).await, "40001");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_leaves_nothing_of_its_group() {
    let (run, client) = Run::start().await;
    let before = soon(run.database.positions()).await.unwrap();
    let mut begun = Vec::new();
    for k in 0..3 {
        begun.push(run.append(&format!("INSERT INTO t VALUES ({k})")).await);
    }
    run.tell(1, Ok(()));
    let Run {
        log,
        database,
        serving,
        folder,
        ..
    } = run;
    drop((client, database));
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    let read = async {
        loop {
            // The old connection gives the file up as soon as it can.
            let positions = open(&folder).positions().await;
            match positions {
                Ok(positions) if log.ended.lock().unwrap().len() == 3 => return positions,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(soon(read).await, before, "it is in the log alone");
    assert_eq!(*log.ended.lock().unwrap(), [false; 3]);
}
