//! `music sql status`.

use std::path::PathBuf;

use clap::Args;
use futures_util::future::join_all;
use mdbc::snapshot::Peer;
use mdbc::status::{AskError, Line, Told, ask};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};

/// Show what sites tell of their databases: ownership, lag, how long the logs are
///
/// A site answers from what it knows itself, also when it is cut off from the others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music sql status
  music sql status --url postgres://app@10.1.0.7:5432/music --url postgres://app@10.2.0.7:5432/music
  music --json sql status")]
pub(crate) struct Status {
    /// A site's database; may be given several times
    #[arg(
        long = "url",
        value_name = "URL",
        default_value = "postgres://mdbc@127.0.0.1:5432/music"
    )]
    urls: Vec<String>,
    /// The password, where the URL has none
    #[arg(
        long,
        env = "PGPASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    password: Option<String>,
    /// Certificates, in PEM, of whom those of the sites are: the connection is encrypted
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
}

#[derive(Serialize)]
struct SiteJson<'a> {
    address: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    told: Option<&'a Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Shows what each site tells.
pub(super) async fn run(status: Status, output: &Output) -> Result<Exit, Failure> {
    let mut peers = Vec::new();
    for url in &status.urls {
        let mut peer = Peer::of_url(url)?;
        peer.password = peer.password.or_else(|| status.password.clone());
        peer.authority.clone_from(&status.authority);
        peers.push(peer);
    }
    let asked = peers.iter().map(|peer| async {
        let told = Box::pin(ask(peer)).await;
        (peer.address.as_str(), told)
    });
    let asked = join_all(asked).await;
    let json: Vec<_> = asked
        .iter()
        .map(|(address, told)| SiteJson {
            address,
            told: told.as_ref().ok(),
            error: told.as_ref().err().map(ToString::to_string),
        })
        .collect();
    output.either(&json, || text(&asked))?;
    if asked.iter().all(|(_, told)| told.is_err()) {
        return Err(Failure::NoDatabase { sites: asked.len() });
    }
    Ok(Exit::Done)
}

fn text(asked: &[(&str, Result<Told, AskError>)]) -> String {
    let rows: Vec<_> = asked
        .iter()
        .map(|(address, told)| row(address, told))
        .collect();
    let head = ["ADDRESS", "SITE", "STATE", "AGE", "WAITING", "LETTERS"];
    let mut parts = vec![columns(head, &rows)];
    let told = asked.iter().filter_map(|(_, told)| told.as_ref().ok());
    for told in told.filter(|told| !told.sites.is_empty()) {
        let site = cell(&told.status, "site");
        parts.push(format!("as {site} sees the others\n{}", sites(told)));
        parts.push(format!(
            "the logs, as {site} sees them\n{}",
            partitions(told)
        ));
    }
    parts.join("\n\n")
}

fn row(address: &str, told: &Result<Told, AskError>) -> [String; 6] {
    let told = match told {
        Ok(told) => told,
        Err(error) => {
            let why = error.to_string();
            let why = why.strip_prefix(address).unwrap_or(&why);
            let why = why.trim_start_matches(": ");
            return [address, "", why, "", "", ""].map(str::to_owned);
        }
    };
    let status = &told.status;
    let state = match (&status.get("restoring"), &status.get("behind")) {
        (Some(Value::String(restoring)), _) => format!("restoring: {restoring}"),
        (_, Some(Value::String(behind))) => format!("behind: {behind}"),
        _ => cell(status, "state"),
    };
    [
        address.to_owned(),
        cell(status, "site"),
        state,
        age(status),
        cell(status, "waiting"),
        format!(
            "{} written, {} sent, {} done",
            cell(status, "letters_written"),
            cell(status, "letters_sent"),
            cell(status, "letters_done")
        ),
    ]
}

fn age(status: &Line) -> String {
    let age_us = status.get("age_us").and_then(Value::as_u64);
    let tenths = age_us.map(|age_us| age_us / 100_000);
    tenths.map_or("unknown".to_owned(), |tenths| {
        format!("{}.{} s", tenths / 10, tenths % 10)
    })
}

fn sites(told: &Told) -> String {
    let names = [
        "site",
        "entries_behind",
        "letters_to_apply",
        "letters_unapplied",
    ];
    let head = [
        "SITE",
        "ENTRIES BEHIND",
        "LETTERS TO APPLY",
        "LETTERS UNAPPLIED",
    ];
    table(head, names, &told.sites)
}

fn partitions(told: &Told) -> String {
    let names = ["partition", "ownership", "applied", "committed", "length"];
    let head = ["PARTITION", "OWNED", "APPLIED", "COMMITTED", "LENGTH"];
    table(head, names, &told.partitions)
}

fn table<const N: usize>(head: [&str; N], names: [&str; N], lines: &[Line]) -> String {
    let rows: Vec<_> = lines
        .iter()
        .map(|line| names.map(|name| cell(line, name)))
        .collect();
    columns(head, &rows)
}

fn cell(line: &Line, name: &str) -> String {
    match line.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
