//! MariaDB with Galera, a node at each site: the first makes the cluster, the
//! others get their data from it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::servers::{self, Folder, Servers};
use super::system::{Ready, Whole};
use crate::clock::Stopwatch;
use crate::torture::Stage;

const PORT: u16 = 3306;
/// How long a node may take from when it listens until it takes statements.
const READY_TIME: Duration = Duration::from_secs(30);
/// What it runs as: rsync, by which nodes get their first data, may not write
/// for root.
const USER: &str = "mysql";
const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";

const STATUS: &str = "SHOW STATUS WHERE Variable_name IN ('wsrep_provider_version', \
    'wsrep_cluster_size', 'wsrep_cluster_status', 'wsrep_local_state_comment', \
    'wsrep_evs_repl_latency', 'wsrep_local_cert_failures', 'wsrep_local_bf_aborts', \
    'wsrep_flow_control_paused')";
const IS_WHOLE: &str = "SHOW STATUS WHERE Variable_name IN ('wsrep_cluster_size', \
    'wsrep_cluster_status', 'wsrep_local_state_comment')";
const WHOLE: &[&str] = &["3", "Primary", "Synced"];

/// Starts all nodes.
///
/// # Errors
///
/// When one does not start.
pub(super) fn start(folder: &Folder) -> Result<Ready> {
    ensure!(
        Path::new(PROVIDER).is_file(),
        "{PROVIDER} of the package galera-4 is missing"
    );
    let mut servers = Servers::default();
    let sites = 0..Stage::hosts().len();
    for site in sites.clone() {
        let own = folder.at(site, "mariadb")?;
        fs::write(own.join("my.cnf"), settings(site, &own)).context("cannot write my.cnf")?;
        servers::give_away(USER, &own)?;
        let mut install = servers::as_user(USER, "mariadb-install-db");
        install.arg(format!("--defaults-file={}", own.join("my.cnf").display()));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.args(["--wsrep-on=OFF"]);
        servers::at(site, install)?;
        let mut mariadb = servers::as_user(USER, "mariadbd");
        mariadb.arg(format!("--defaults-file={}", own.join("my.cnf").display()));
        if site == 0 {
            mariadb.arg("--wsrep-new-cluster");
        }
        servers.launch(site, mariadb, &own)?;
        // One after the other: the first gives its data to one at a time.
        servers::wait(site, PORT, &own)?;
        if site == 0 {
            wait_until_ready(site, &own)?;
            servers::at(site, client(&own, "CREATE DATABASE music"))?;
            servers::at(site, client(&own, "CREATE USER bench@'%'"))?;
            servers::at(site, client(&own, "GRANT ALL ON *.* TO bench@'%'"))?;
        }
    }
    Ok(Ready {
        servers,
        clients: sites.clone().map(|_| clients()).collect(),
        evidence: sites.clone().map(|site| (site, STATUS)).collect(),
        whole: sites
            .map(|site| Whole {
                site,
                question: IS_WHOLE,
                answer: WHOLE,
            })
            .collect(),
    })
}

/// Waits until a node takes statements: it listens before it does.
fn wait_until_ready(site: usize, folder: &Path) -> Result<()> {
    let stopwatch = Stopwatch::start();
    loop {
        let ready = servers::at(site, client(folder, "SELECT count(*) FROM mysql.db"));
        if ready.is_ok() || stopwatch.elapsed() > READY_TIME {
            return ready;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// The client of the product, as root.
fn client(folder: &Path, sql: &str) -> Command {
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--user=root", "--execute", sql]);
    client.arg(format!("--socket={}", folder.join("socket").display()));
    client
}

fn clients() -> Vec<String> {
    let run = format!("127.0.0.1:{PORT}");
    let fresh = "SET SESSION wsrep_sync_wait = 1";
    let words = [
        "--product",
        "mariadb",
        "--run",
        &run,
        "--fresh-session",
        fresh,
    ];
    words.map(str::to_owned).into()
}

/// As Galera's manual has it for sites that are far from each other: patient
/// with links, a segment a site, and windows as wide as the way. Durable at
/// each commit, as the product is by itself.
fn settings(site: usize, folder: &Path) -> String {
    let hosts = Stage::hosts();
    let (cluster, own) = (
        hosts.join(","),
        hosts.get(site).cloned().unwrap_or_default(),
    );
    let name = Stage::datacentre(site);
    let folder = folder.display();
    let provider = format!(
        "gmcast.segment={site}; gcache.size=256M; evs.keepalive_period=PT3S; \
         evs.suspect_timeout=PT30S; evs.inactive_timeout=PT1M; evs.install_timeout=PT1M; \
         evs.send_window=1024; evs.user_send_window=512; gcs.fc_limit=256; gcs.fc_factor=0.9"
    );
    format!(
        "[mariadbd]\ndatadir = {folder}/data\nsocket = {folder}/socket\n\
         pid_file = {folder}/mariadbd.pid\nport = {PORT}\nbind_address = 0.0.0.0\n\
         skip_name_resolve = ON\nmax_connections = 300\nperformance_schema = OFF\n\
         default_storage_engine = InnoDB\nbinlog_format = ROW\n\
         innodb_autoinc_lock_mode = 2\ninnodb_flush_log_at_trx_commit = 1\n\
         innodb_buffer_pool_size = 512M\ninnodb_log_file_size = 512M\n\
         wsrep_on = ON\nwsrep_provider = {PROVIDER}\nwsrep_cluster_name = music\n\
         wsrep_cluster_address = gcomm://{cluster}\nwsrep_node_address = {own}\n\
         wsrep_node_name = {name}\nwsrep_sst_method = rsync\nwsrep_slave_threads = 4\n\
         wsrep_provider_options = \"{provider}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_is_a_segment_and_commits_are_durable() {
        let text = settings(2, Path::new("/data"));
        assert!(text.contains("gmcast.segment=2"), "{text}");
        assert!(
            text.contains("innodb_flush_log_at_trx_commit = 1"),
            "{text}"
        );
        assert!(
            text.contains("gcomm://10.77.1.1,10.77.2.1,10.77.3.1"),
            "{text}"
        );
    }
}
