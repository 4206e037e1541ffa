//! `music sql`, and the databases of `music dev --sql`.

use std::path::Path;
use std::process::Command;

use crate::support::{Dev, Running, music, succeeded};

/// What a query answers where an address is.
fn psql(address: &str, query: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    let output = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-h", host, "-p", port])
        .args(["-U", "mdbc", "-d", "music", "-c", query])
        .output()
        .unwrap();
    succeeded(&output)
}

fn write_config(folder: &Path, more: &str) -> String {
    let database = folder.join("site.db");
    let text = format!(
        "listen = \"127.0.0.1:0\"\npath = \"{}\"\nsite = 1\n{more}",
        database.display()
    );
    let file = folder.join("mdbc.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn serve(config: &str) -> (Running, String) {
    let running = Running::start(music().args(["--json", "sql", "serve", "--config", config]));
    let says: serde_json::Value = serde_json::from_str(&running.line()).unwrap();
    let address = says["address"].as_str().unwrap().to_owned();
    (running, address)
}

#[test]
fn the_databases_of_a_development_deployment_are_one() {
    let dev = Dev::start_with(&["--sql"]);
    let address = |site: usize| {
        dev.says["sql"][site]["address"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    psql(&address(0), "CREATE TABLE t (k int PRIMARY KEY)");
    psql(&address(1), "INSERT INTO t VALUES (7)");
    assert_eq!(psql(&address(2), "SELECT k FROM t").trim(), "7");
    let (code, error) = dev.stop();
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_site_serves_until_it_is_told_to_end_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), "");
    for number in 1..3 {
        let (running, address) = serve(&config);
        psql(&address, "CREATE TABLE IF NOT EXISTS t (k int PRIMARY KEY)");
        psql(&address, &format!("INSERT INTO t VALUES ({number})"));
        let count = psql(&address, "SELECT count(*) FROM t");
        assert_eq!(count.trim(), number.to_string());
        running.signal("TERM");
        let (code, error) = running.end();
        assert_eq!(code, Some(0), "{error}");
    }
}

#[test]
fn settings_that_cannot_be_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(
        folder.path(),
        "connections_max = 0\n[music]\nnodes = []\nsite = \"a\"\nsites = [\"b\"]\n",
    );
    let output = music()
        .args(["sql", "serve", "--config", &config])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{error}");
    for name in ["connections_max:", "music.nodes:", "music.site:"] {
        assert!(error.contains(name), "{error}");
    }
}
