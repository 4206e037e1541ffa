//! psql, as a client of a site.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs a script with psql, at a port of this machine and in a folder; what it
/// printed on both outputs.
pub(crate) async fn psql(
    (port, folder): (u16, &Path),
    arguments: &[&str],
    variables: &[(&str, &str)],
    script: &str,
) -> String {
    let mut command = Command::new("psql");
    command
        .args(["--no-psqlrc", "--host=127.0.0.1", "--no-password"])
        .arg(format!("--port={port}"))
        .args(arguments)
        .env("PGUSER", "mdbc")
        .env("PGDATABASE", "music")
        .env("PGTZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("psql is needed: postgresql-client");
    let mut input = child.stdin.take().unwrap();
    input.write_all(script.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    text
}
