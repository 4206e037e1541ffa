//! `music sql`, and the databases of `music dev --sql`.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Dev, MUSIC, Running, music, succeeded};

/// What psql says of a query where an address is.
fn asked(address: &str, query: &str) -> Output {
    let (host, port) = address.rsplit_once(':').unwrap();
    Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-h", host, "-p", port])
        .args(["-v", "VERBOSITY=verbose"])
        .args(["-U", "mdbc", "-d", "music", "-c", query])
        .output()
        .unwrap()
}

/// What a query answers where an address is.
fn psql(address: &str, query: &str) -> String {
    succeeded(&asked(address, query))
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

#[test]
fn a_site_tells_its_status_also_when_it_is_cut_off() {
    let dev = Dev::start_with(&["--sql"]);
    let address = |site: usize| {
        let address = &dev.says["sql"][site]["address"];
        address.as_str().unwrap().to_owned()
    };
    psql(&address(0), "CREATE TABLE t (k int PRIMARY KEY)");
    psql(&address(0), "INSERT INTO t VALUES (7)");
    let url = |site: usize| format!("postgres://mdbc@{}/music", address(site));
    let (first, nobody) = (url(0), "postgres://mdbc@127.0.0.1:1/music".to_owned());
    let status = |json: &[&str]| {
        let mut command = music();
        command.args(json).args(["sql", "status"]);
        command.args(["--url", &first, "--url", &nobody]);
        succeeded(&command.output().unwrap())
    };
    dev.run(&["dev", "cut", dev.site(0)]);
    let text = status(&[]);
    for part in [
        "ADDRESS",
        "serving",
        "LETTERS UNAPPLIED",
        "PARTITION",
        "refused",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let told: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    assert_eq!(told[0]["status"]["state"], "serving");
    assert_eq!(told[0]["sites"].as_array().unwrap().len(), 3);
    let partitions = told[0]["partitions"].as_array().unwrap();
    let table = partitions.iter().find(|line| line["partition"] == "t/all");
    assert!(table.unwrap()["applied"].as_i64().unwrap() >= 1, "{told}");
    assert!(told[1]["error"].is_string());
    let output = music().args(["sql", "status", "--url", &nobody]).output();
    assert_eq!(output.unwrap().status.code(), Some(69));
}

#[test]
fn metrics_are_told_to_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), "metrics_listen = \"127.0.0.1:0\"\n");
    let running = Running::start(music().args(["--json", "sql", "serve", "--config", &config]));
    let says: serde_json::Value = serde_json::from_str(&running.line()).unwrap();
    let address = says["address"].as_str().unwrap();
    psql(address, "CREATE TABLE t (k int PRIMARY KEY)");
    psql(address, "INSERT INTO t VALUES (1)");
    let mut stream = std::net::TcpStream::connect(says["metrics"].as_str().unwrap()).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    for line in [
        "mdbc_commits_total{kind=\"strong\",outcome=\"committed\"} 2",
        "mdbc_commit_seconds_count{kind=\"strong\"} 2",
        "mdbc_restores_total 0",
        "mdbc_conflicts_total 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

/// A site on a file system of its own, with a file that takes half of its room.
fn serve_on_a_small_disk(folder: &Path) -> (Running, String) {
    let config = write_config(folder, "");
    let config_file = folder.with_extension("toml");
    std::fs::rename(config, &config_file).unwrap();
    let script = "mount -t tmpfs -o size=4m none \"$1\" && \
        head -c 2000000 /dev/zero > \"$1/ballast\" && exec \"$2\" --json sql serve --config \"$3\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    command.args(["sh", "-c", script, "sh"]);
    command.args([folder, Path::new(MUSIC), &config_file]);
    let running = Running::start(&mut command);
    let says: serde_json::Value = serde_json::from_str(&running.line()).unwrap();
    (running, says["address"].as_str().unwrap().to_owned())
}

#[test]
fn on_a_full_disk_a_statement_fails_whole_and_the_site_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let (running, address) = serve_on_a_small_disk(&disk);
    psql(
        &address,
        "CREATE TABLE t (k bigserial PRIMARY KEY, pad text)",
    );
    let fill = "INSERT INTO t (pad) SELECT repeat('x', 1000) FROM generate_series(1, 200)";
    let mut written = 0;
    let refused = loop {
        let output = asked(&address, fill);
        if !output.status.success() {
            break String::from_utf8(output.stderr).unwrap();
        }
        written += 200;
        assert!(written < 10_000, "the disk has no end");
    };
    assert!(refused.contains("53100"), "{refused}");
    let count = || psql(&address, "SELECT count(*) FROM t").trim().to_owned();
    assert_eq!(count(), written.to_string(), "nothing is half done");
    let again = asked(&address, fill);
    assert!(!again.status.success(), "there is no room yet");
    let ballast = format!("/proc/{}/root{}/ballast", running.pid(), disk.display());
    std::fs::remove_file(ballast).unwrap();
    psql(&address, fill);
    assert_eq!(count(), (written + 200).to_string());
    running.signal("TERM");
    let (code, error) = running.end();
    assert_eq!(code, Some(0), "{error}");
}
