//! A PostgreSQL server of a test's own.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// Settings of the server: what is lost when the machine fails is no matter here.
const SETTINGS: &str = "-c listen_addresses=127.0.0.1 -c max_prepared_transactions=64 \
    -c fsync=off -c max_connections=64 -c shared_buffers=16MB -c autovacuum_naptime=10s";

/// A server in a folder of its own, that ends with this.
pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    /// Who runs it, where the test's user must not: the super-user.
    user: Option<(u32, u32)>,
}

impl Cluster {
    /// Starts a server; its super-user is `mdbc`, who needs no password.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let user = (number("id", &["-u"]) == 0).then(|| {
            let user = number("id", &["-u", "postgres"]);
            (user, number("id", &["-g", "postgres"]))
        });
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cluster = Self {
            folder,
            programs: programs(),
            port: listener.local_addr().unwrap().port(),
            user,
        };
        drop(listener);
        let data = cluster.data();
        cluster.run(
            "initdb",
            &[
                "-D",
                &data,
                "-A",
                "trust",
                "-U",
                "mdbc",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-N",
            ],
        );
        cluster.begin();
        cluster
    }

    /// Starts it, after [`crash`](Self::crash).
    pub(crate) fn begin(&self) {
        let socket = self.folder.path().display();
        let options = format!("-p {} -k {socket} {SETTINGS}", self.port);
        let log = self.folder.path().join("log").display().to_string();
        self.run(
            "pg_ctl",
            &[
                "-D",
                &self.data(),
                "-o",
                &options,
                "-l",
                &log,
                "-w",
                "start",
            ],
        );
    }

    /// Ends it at once; when it starts, it recovers.
    pub(crate) fn crash(&self) {
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-m", "immediate", "-w", "stop"],
        );
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        // A server would keep a pipe open.
        let output = self.folder.path().join(program);
        let file = std::fs::File::create(&output).unwrap();
        let mut command = self.command(program);
        command.args(arguments).stderr(file.try_clone().unwrap());
        let status = command.stdout(file).status().unwrap();
        let said = std::fs::read_to_string(&output).unwrap_or_default();
        assert!(status.success(), "{program}: {said}");
    }

    /// Where a database of it is.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://mdbc@127.0.0.1:{}/{database}", self.port)
    }

    /// New databases, one a site, called `site_0` and so on; their addresses.
    pub(crate) async fn databases(&self, sites: usize) -> Vec<String> {
        let mut urls = Vec::new();
        for site in 0..sites {
            urls.push(self.database(&format!("site_{site}")).await);
        }
        urls
    }

    /// Makes an empty database; where it is.
    pub(crate) async fn database(&self, name: &str) -> String {
        let client = self.connect("postgres").await;
        let text = format!("CREATE DATABASE {name}");
        client.batch_execute(&text).await.unwrap();
        self.url(name)
    }

    /// A client of the server itself.
    pub(crate) async fn connect(&self, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data();
        let mut stop = self.command("pg_ctl");
        stop.args(["-D", &data, "-m", "immediate", "-w", "stop"]);
        stop.output().unwrap();
    }
}

/// Where the server's programs are: Debian keeps them beside the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let programs = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let found = programs.filter(|path| path.join("initdb").exists()).max();
    found.unwrap_or_else(|| Path::new("").to_owned())
}

fn number(program: &str, arguments: &[&str]) -> u32 {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().parse().unwrap()
}
