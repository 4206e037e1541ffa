//! `music bench local`: gets and eventual puts at one node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use music_client::api::table::TableMode;
use music_client::{Client, Options};
use serde::Serialize;

use super::deployment;
use super::error::Error;
use super::load::{Load, Measured, Operation};
use super::processor::Process;
use super::server::Server;
use crate::arguments::Global;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};

/// The table that is written to.
const TABLE: &str = "bench-local";

/// Measure gets and eventual puts at one node
///
/// Starts a deployment as `music dev` does, on a data directory of its own,
/// and asks its first node over HTTP/1.1. Closed loop unless --rate is given: each
/// connection waits for its answer. An answered put is on disk, by fsync, at
/// the node's site.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music bench local
  music bench local --connections 1 --seconds 5
  music bench local --rate 10000
  music bench local --running --pid 4711 --endpoint http://127.0.0.1:7701")]
pub(crate) struct Local {
    /// How many connections there are, each with one request at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// How long to count, for gets and for puts each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How long the load goes on before it is counted
    #[arg(long, default_value = "2s", value_parser = duration::parse)]
    warm_up: Duration,
    /// Requests a second, sent whether or not earlier ones are answered
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How many keys there are
    #[arg(long, default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// The size of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    value_bytes: u32,
    /// The delays between the sites of the deployment; `local` for none
    #[arg(long, default_value = deployment::LOCAL)]
    profile: String,
    /// Where the deployment keeps its data; a temporary directory if left out
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure the node at --endpoint, which is the process --pid
    #[arg(long, requires = "pid", conflicts_with_all = ["data", "profile"])]
    running: bool,
    /// The process whose processor time is counted
    #[arg(long, requires = "running")]
    pid: Option<u32>,
}

/// What is printed of one operation; `bench/etcd` prints the same.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    system: &'static str,
    operation: &'static str,
    connections: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    seconds: f64,
    requests: u64,
    errors: u64,
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    server_cpu_us_per_request: f64,
    client_cpu_us_per_request: f64,
}

/// Measures.
pub(super) async fn run(global: &Global, local: Local, output: &Output) -> Result<Exit, Failure> {
    if let Some(pid) = local.pid {
        let client = global.client()?;
        let url = client.endpoints().first().cloned().unwrap_or_default();
        client.create_table(TABLE, TableMode::Eventual).await?;
        return measure(&local, &url, Process::new(pid), output).await;
    }
    let server = Server::start(&local.profile, local.data.as_deref(), output).await?;
    let url = server.urls().first().cloned().unwrap_or_default();
    let client = Client::new([url.clone()], Options::default())?;
    client.create_table(TABLE, TableMode::Eventual).await?;
    let measured = measure(&local, &url, server.process(), output).await;
    server.stop().await;
    measured
}

async fn measure(
    local: &Local,
    url: &str,
    server: Process,
    output: &Output,
) -> Result<Exit, Failure> {
    let load = local.load(url)?;
    output.progress(&format!("writing {} keys", load.keys));
    load.fill().await?;
    let mut reports = Vec::new();
    for operation in [Operation::Get, Operation::Put] {
        output.progress(&format!(
            "{} for {} s",
            operation.name(),
            load.counted.as_secs()
        ));
        let measured = load.clone().run(operation, server).await?;
        reports.push(local.report(operation, &measured));
    }
    output.either(&reports, || table(local, &reports))?;
    Ok(Exit::Done)
}

impl Local {
    fn load(&self, url: &str) -> Result<Load, Error> {
        Ok(Load {
            address: address(url)?,
            table: TABLE.to_owned(),
            connections: self.connections,
            keys: self.keys,
            value_bytes: usize::try_from(self.value_bytes).unwrap_or_default(),
            warm_up: self.warm_up,
            counted: Duration::from_secs(self.seconds.into()),
            rate: self.rate.map(f64::from),
        })
    }

    fn report(&self, operation: Operation, measured: &Measured) -> Report {
        let latencies = &measured.latencies;
        let requests = latencies.len();
        let quantile = |q| micros(Duration::from_nanos(latencies.value_at_quantile(q)));
        let count = f64::from(u32::try_from(requests).unwrap_or(u32::MAX)).max(1.0);
        let seconds = f64::from(self.seconds);
        Report {
            system: "music",
            operation: operation.name(),
            connections: self.connections,
            rate: self.rate,
            seconds,
            requests,
            errors: 0,
            requests_per_second: count / seconds,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: quantile(1.0),
            server_cpu_us_per_request: micros(measured.server_used) / count,
            client_cpu_us_per_request: micros(measured.own_used) / count,
        }
    }
}

fn micros(length: Duration) -> f64 {
    length.as_secs_f64() * 1e6
}

/// The address in `http://ADDRESS:PORT`.
fn address(url: &str) -> Result<SocketAddr, Error> {
    let authority = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'));
    let address = authority.and_then(|authority| authority.parse().ok());
    address.ok_or_else(|| Error::Url(url.to_owned()))
}

fn table(local: &Local, reports: &[Report]) -> String {
    let rows: Vec<_> = reports
        .iter()
        .map(|report| {
            [
                report.operation.to_owned(),
                format!("{:.0}", report.requests_per_second),
                format!("{:.2}", report.p50_us / 1000.0),
                format!("{:.2}", report.p99_us / 1000.0),
                format!("{:.2}", report.p999_us / 1000.0),
                format!("{:.1}", report.server_cpu_us_per_request),
                format!("{:.1}", report.client_cpu_us_per_request),
            ]
        })
        .collect();
    let head = [
        "operation",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "server µs/request",
        "load µs/request",
    ];
    let kind = match local.rate {
        Some(rate) => format!("open loop, {rate} requests/s"),
        None => "closed loop".to_owned(),
    };
    format!(
        "{} connections, {kind}, {} keys, values of {} bytes\n{}",
        local.connections,
        local.keys,
        local.value_bytes,
        columns(head, &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_a_url() {
        assert_eq!(address("http://127.0.0.1:7701/").unwrap().port(), 7701);
        for url in [
            "https://127.0.0.1:7701",
            "http://localhost:1",
            "127.0.0.1:1",
        ] {
            assert!(address(url).is_err(), "{url}");
        }
    }
}
