//! A PostgreSQL of a test's own.

use std::net::TcpListener as StdListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio_postgres::NoTls;

/// Where Debian has the programs of the server, if they are not in the path.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// Who runs servers where the tests are run by root, which PostgreSQL refuses.
const USER: &str = "postgres";

/// A server that runs until this is dropped.
pub(crate) struct Cluster {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Cluster {
    /// Makes and starts one that takes prepared transactions.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        own(folder.path());
        let made = program("initdb")
            .args(["--no-sync", "--auth=trust", "--username=mdbc", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "{why}");
        let port = free_port();
        let sockets = format!("unix_socket_directories={}", folder.path().display());
        let child = program("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", "max_prepared_transactions=100", "-c", "max_connections=200"])
            .args(["-c", &sockets, "-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cluster = Self {
            child,
            port,
            _folder: folder,
        };
        cluster.ready().await;
        cluster
    }

    async fn ready(&self) {
        let connect = async {
            while tokio_postgres::connect(&self.url("postgres"), NoTls).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        crate::deployment::soon(connect).await;
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://mdbc@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database; its address.
    pub(crate) async fn database(&self, name: &str) -> String {
        let client = connect(&self.url("postgres")).await;
        let create = format!("CREATE DATABASE {name}");
        client.batch_execute(&create).await.unwrap();
        self.url(name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let process = self.child.id().to_string();
        let told = Command::new("kill").args(["-INT", &process]).status();
        assert!(told.is_ok_and(|status| status.success()));
        self.child.wait().unwrap();
    }
}

/// A client of a server itself.
pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn free_port() -> u16 {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Gives a folder to who runs the server.
fn own(folder: &Path) {
    if !is_root() {
        return;
    }
    let id = |flag: &str| {
        let output = Command::new("id").args([flag, USER]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    chown(folder, Some(id("-u")), Some(id("-g"))).unwrap();
}

/// A program of the server, to be run by who may.
fn program(name: &str) -> Command {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(PROGRAMS)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.is_file())
        .collect();
    versions.sort();
    let path = versions.pop().unwrap_or_else(|| PathBuf::from(name));
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"])
        .arg(path)
        .current_dir("/");
    command
}
