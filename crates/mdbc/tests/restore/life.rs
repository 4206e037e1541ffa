//! Sites whose engine is SQLite, and the files of their databases.

use std::time::Duration;

use mdbc::config::Config;
use mdbc::engine::TableKind;
use rusqlite::Connection;

use crate::deployment::Plan;
pub(crate) use crate::process::{
    ALL, Life, SLOTS, Sites, closed, insist, restored_from, rows, run, soon, until, widened,
    write_on,
};

/// What all tests begin with, at the first site.
const TABLES: &str = "CREATE TABLE strong (id bigserial PRIMARY KEY, pad text) \
    WITH (music = 'strong'); \
    CREATE TABLE eventual (id bigserial PRIMARY KEY, page text) WITH (music = 'eventual'); \
    CREATE TABLE own (a int) WITH (music = 'local')";

impl Sites {
    /// Three sites with tables of each kind.
    pub(crate) async fn with_tables() -> Self {
        let plan = Plan {
            profile: "local3",
            lease: Duration::from_secs(2),
            default_kind: TableKind::Strong,
            urls: Vec::new(),
        };
        let few_slots = |config: &mut Config| {
            config.music.as_mut().unwrap().log_slots = SLOTS;
        };
        let sites = Self::of_changed(plan, few_slots).await;
        let first = sites.client(0).await;
        run(&first, TABLES).await;
        for site in 0..3 {
            let client = sites.client(site).await;
            until(&client, "SELECT count(*) FROM own", "0").await;
        }
        sites
    }
}

/// The files of a site's database, but for logs, in the order of their names.
pub(crate) fn files(config: &Config) -> Vec<String> {
    let name = config.path.file_name().unwrap().to_str().unwrap();
    let entries = std::fs::read_dir(config.path.parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let own = |file: &String| {
        let rest = file.strip_prefix(name);
        rest.is_some_and(|rest| !rest.starts_with('-'))
    };
    let mut names: Vec<String> = names.filter(own).collect();
    names.sort();
    names
        .into_iter()
        .map(|file| file[name.len()..].to_owned())
        .collect()
}

/// Loses the disk of a site that is not served.
pub(crate) async fn lose_disk(config: &Config) {
    // Who closes the last connection removes its log, by name. Whoever leaves the
    // mode of such logs has the database alone: then all are closed.
    let leave = || {
        let connection = Connection::open(&config.path)?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
    };
    let closed = async {
        while leave().is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(closed).await;
    std::fs::remove_file(&config.path).unwrap();
}
