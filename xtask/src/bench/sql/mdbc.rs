//! mdbc at each site, beside the site's node of MUSIC.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::postgres;
use super::servers::{Folder, Servers};
use super::system::{Ready, Whole};
use crate::torture::Stage;

/// Where it listens, at its site's loopback address: nobody else is there, so
/// that no users are needed.
const PORT: u16 = 5432;
/// Where the site's own PostgreSQL listens, if there is one.
const LOCAL_PORT: u16 = 5433;

/// Starts mdbc at all sites, with a PostgreSQL of the site as its engine, or its own.
///
/// # Errors
///
/// When one does not start, such as one that knows no other engine.
pub(super) fn start(folder: &Folder, music: &Path, on_postgres: bool) -> Result<Ready> {
    let mut servers = Servers::default();
    let sites = 0..Stage::hosts().len();
    let mut whole = Vec::new();
    for site in sites.clone() {
        if on_postgres {
            postgres::local(folder, &mut servers, site, LOCAL_PORT)?;
        }
        let own = folder.at(site, "mdbc")?;
        let settings = settings(site, &own, on_postgres);
        fs::write(own.join("mdbc.toml"), settings).context("cannot write settings of mdbc")?;
        let mut mdbc = Command::new(music);
        mdbc.args(["sql", "serve", "--config", "mdbc.toml"]);
        servers.launch(site, mdbc, &own)?;
        whole.push(Whole {
            site,
            question: "SELECT 1",
            answer: &["1"],
        });
    }
    let clients = sites.map(|_| clients());
    Ok(Ready {
        servers,
        clients: clients.collect(),
        evidence: vec![(0, "SELECT version()")],
        whole,
    })
}

/// Whether this mdbc knows a PostgreSQL as its engine: settings of it are
/// refused by name where it does not, and for what is missing where it does.
///
/// # Errors
///
/// When it cannot be run.
pub(super) fn knows_postgres(folder: &Folder, music: &Path) -> Result<bool> {
    let own = folder.at(0, "settings")?;
    let settings = own.join("mdbc.toml");
    let text = "[postgres]\nurl = \"postgres://bench@127.0.0.1/music\"\n";
    fs::write(&settings, text).context("cannot write settings of mdbc")?;
    let mut mdbc = Command::new(music);
    let mdbc = mdbc.args(["sql", "serve", "--config"]).arg(&settings);
    let output = mdbc.output().context("cannot run mdbc")?;
    let said = [output.stdout, output.stderr].concat();
    Ok(!String::from_utf8_lossy(&said).contains("unknown field `postgres`"))
}

fn clients() -> Vec<String> {
    let run = format!("127.0.0.1:{PORT}");
    let words = [
        "--product",
        "mdbc",
        "--run",
        &run,
        "--look-session",
        "SET music.read = 'local'",
    ];
    words.map(str::to_owned).into()
}

fn settings(site: usize, folder: &Path, on_postgres: bool) -> String {
    let hosts = Stage::hosts();
    let quoted = |words: Vec<String>| {
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        words.join(", ")
    };
    let nodes = (site..site + hosts.len()).filter_map(|other| hosts.get(other % hosts.len()));
    let nodes = quoted(nodes.map(|host| format!("http://{host}:7410")).collect());
    let sites = quoted((0..hosts.len()).map(Stage::datacentre).collect());
    let path = folder.join("site.db");
    let engine = if on_postgres {
        format!("[postgres]\nurl = \"postgres://bench@127.0.0.1:{LOCAL_PORT}/music\"\n")
    } else {
        String::new()
    };
    let path = if on_postgres {
        String::new()
    } else {
        format!("path = \"{}\"\n", path.display())
    };
    format!(
        "listen = \"127.0.0.1:{PORT}\"\n{path}site = {}\n{engine}\
         [music]\nnodes = [{nodes}]\nsite = \"{}\"\nsites = [{sites}]\n",
        site + 1,
        Stage::datacentre(site)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_the_own_site_come_first() {
        let text = settings(1, Path::new("/data"), false);
        assert!(
            text.contains("nodes = [\"http://10.77.2.1:7410\""),
            "{text}"
        );
        assert!(
            text.contains("path = \"/data/site.db\"\nsite = 2"),
            "{text}"
        );
    }

    #[test]
    fn another_engine_is_named_in_place_of_a_file() {
        let text = settings(0, Path::new("/data"), true);
        assert!(text.contains("[postgres]\nurl = \"postgres://"), "{text}");
        assert!(!text.contains("path"), "{text}");
    }
}
