//! PostgreSQL: a primary with a standby at each other site, of which one at
//! least has a commit before it is acknowledged; and servers of a site alone,
//! as engines of mdbc.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::servers::{self, Folder, Servers};
use super::system::{Ready, Whole};
use crate::torture::Stage;

/// Where the primary is: the site that is nearest to the others.
const PRIMARY: usize = 1;
const PORT: u16 = 5432;
/// Where Debian's packages put programs, a folder a version.
const INSTALLED: &str = "/usr/lib/postgresql";
/// PostgreSQL refuses to run as root.
const USER: &str = "postgres";

const STANDBYS: &str = "SELECT application_name, client_addr, state, sync_state, \
    current_setting('synchronous_commit') FROM pg_stat_replication ORDER BY application_name";
const IS_WHOLE: &str = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming' \
    ORDER BY application_name";

/// Starts the primary and its standbys.
///
/// # Errors
///
/// When one does not start.
pub(super) fn start(folder: &Folder) -> Result<Ready> {
    let programs = programs()?;
    let hosts = Stage::hosts();
    let primary_host = hosts.get(PRIMARY).context("no site for the primary")?;
    let standbys = || (0..hosts.len()).filter(|site| *site != PRIMARY);
    let mut servers = Servers::default();
    let own = initialised(folder, &programs, PRIMARY)?;
    let names: Vec<String> = standbys().map(Stage::datacentre).collect();
    let names = format!("synchronous_standby_names=ANY 1 ({})", names.join(", "));
    servers.launch(PRIMARY, server(&programs, &own, PORT, &[&names]), &own)?;
    servers::wait(PRIMARY, PORT, &own)?;
    for site in standbys() {
        let own = folder.at(site, "postgres")?;
        servers::give_away(USER, &own)?;
        let mut copy = as_user(&programs.join("pg_basebackup"));
        let name = Stage::datacentre(site);
        let from = format!("host={primary_host} port={PORT} user=bench application_name={name}");
        copy.args([
            "--dbname",
            &from,
            "--write-recovery-conf",
            "--wal-method=stream",
        ]);
        copy.args(["--checkpoint=fast", "--pgdata"])
            .arg(own.join("data"));
        servers::at(site, copy)?;
        servers.launch(site, server(&programs, &own, PORT, &[&names]), &own)?;
        servers::wait(site, PORT, &own)?;
    }
    Ok(Ready {
        servers,
        clients: (0..hosts.len()).map(|_| clients(primary_host)).collect(),
        evidence: vec![(PRIMARY, STANDBYS)],
        whole: vec![Whole {
            site: PRIMARY,
            question: IS_WHOLE,
            answer: &["quorum", "quorum"],
        }],
    })
}

/// Starts a server of one site alone, such that mdbc can have it.
///
/// # Errors
///
/// When it does not start.
pub(super) fn local(folder: &Folder, servers: &mut Servers, site: usize, port: u16) -> Result<()> {
    let programs = programs()?;
    let own = initialised(folder, &programs, site)?;
    let settings = ["max_prepared_transactions=300"];
    servers.launch(site, server(&programs, &own, port, &settings), &own)?;
    servers::wait(site, port, &own)
}

fn clients(primary_host: &str) -> Vec<String> {
    let (run, look) = (
        format!("{primary_host}:{PORT}"),
        format!("127.0.0.1:{PORT}"),
    );
    let words = ["--product", "postgres", "--run", &run, "--look", &look];
    words.map(str::to_owned).into()
}

/// A new server's folder, with a database `music` and a user that needs no
/// password.
fn initialised(folder: &Folder, programs: &Path, site: usize) -> Result<PathBuf> {
    let own = folder.at(site, "postgres")?;
    servers::give_away(USER, &own)?;
    let data = own.join("data");
    let mut init = as_user(&programs.join("initdb"));
    init.args([
        "--username=bench",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    init.args(["--no-sync", "--pgdata"]).arg(&data);
    servers::at(site, init)?;
    let hosts = "host all all 10.77.0.0/16 trust\nhost replication all 10.77.0.0/16 trust\n";
    let access = fs::OpenOptions::new()
        .append(true)
        .open(data.join("pg_hba.conf"));
    access
        .and_then(|mut file| file.write_all(hosts.as_bytes()))
        .context("cannot write pg_hba.conf")?;
    // Without a server: a primary would wait for its standbys.
    let mut single = as_user(&programs.join("postgres"));
    single.args(["--single", "-D"]).arg(&data).arg("postgres");
    let mut single = single
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start PostgreSQL")?;
    let mut input = single.stdin.take().context("PostgreSQL without an input")?;
    input
        .write_all(b"CREATE DATABASE music\n")
        .context("cannot make a database")?;
    drop(input);
    let status = single.wait().context("cannot wait for PostgreSQL")?;
    ensure!(status.success(), "cannot make a database: {status}");
    Ok(own)
}

/// Settings that a server of this size has in production; durable at each
/// commit, as the product is by itself.
fn server(programs: &Path, own: &Path, port: u16, settings: &[&str]) -> Command {
    let mut server = as_user(&programs.join("postgres"));
    server.arg("-D").arg(own.join("data"));
    let port = format!("port={port}");
    let usual = [
        &*port,
        "listen_addresses=*",
        "unix_socket_directories=",
        "max_connections=300",
        "shared_buffers=512MB",
        "max_wal_size=4GB",
        "wal_level=replica",
        "hot_standby_feedback=on",
        "synchronous_commit=on",
    ];
    for setting in usual.iter().chain(settings) {
        server.args(["-c", setting]);
    }
    server
}

/// A program as the user that PostgreSQL runs as.
fn as_user(program: &Path) -> Command {
    servers::as_user(USER, program)
}

/// The newest version that is installed.
fn programs() -> Result<PathBuf> {
    let entries = fs::read_dir(INSTALLED).context("Debian's package postgresql is missing")?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = versions
        .max_by_key(version)
        .context("no PostgreSQL is installed")?;
    Ok(newest.join("bin"))
}
