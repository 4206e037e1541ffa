//! From raw values to a configuration that holds together.

use std::time::Duration;

use music_core::time::Lease;

use super::read::Reader;
use super::setting::{self, Setting};
use super::{
    Affinity, ClusterConfig, Config, Error, Limits, LogConfig, LogFormat, TraceConfig, engine,
};

/// Room that a JSON body needs beside a value.
const BODY_OVERHEAD_BYTES: usize = 1024;

/// Reads every setting, then checks them against each other.
pub(super) fn config(mut reader: Reader) -> Result<Config, Error> {
    let site = reader.text(&setting::SITE);
    let config = Config {
        node: reader.text(&setting::NODE),
        listen: reader.address(&setting::LISTEN),
        advertise: reader.text(&setting::ADVERTISE),
        shutdown_timeout: reader.duration(&setting::SHUTDOWN_MS),
        cluster: cluster(&mut reader),
        engine: engine::config(&mut reader, &site),
        site,
        affinity: affinity(&mut reader),
        limits: limits(&mut reader),
        tables: reader.tables(&setting::TABLES),
        log: log(&mut reader),
        trace: trace(&mut reader),
    };
    contradictions(&config, &mut reader);
    reader.finish()?;
    Ok(config)
}

fn cluster(reader: &mut Reader) -> ClusterConfig {
    ClusterConfig {
        node_lease: lease(reader, &setting::NODE_LEASE_MS),
        client_lease_default: lease(reader, &setting::CLIENT_LEASE_DEFAULT_MS),
        client_lease_max: lease(reader, &setting::CLIENT_LEASE_MAX_MS),
        value_bytes_max: reader.size(&setting::VALUE_BYTES_MAX),
    }
}

/// The bounds of the settings are those of a lease, as a test makes sure.
fn lease(reader: &mut Reader, setting: &Setting) -> Lease {
    Lease::new(reader.duration(setting)).unwrap_or(Lease::MIN)
}

fn affinity(reader: &mut Reader) -> Affinity {
    let hand_overs = reader.size(&setting::AFFINITY_HAND_OVERS_MAX);
    Affinity {
        idle_max: reader.duration(&setting::AFFINITY_IDLE_MS),
        hand_overs_max: u16::try_from(hand_overs).unwrap_or(u16::MAX),
        turn_max: reader.duration(&setting::AFFINITY_TURN_MS),
    }
}

fn limits(reader: &mut Reader) -> Limits {
    Limits {
        connections_max: reader.size(&setting::CONNECTIONS_MAX),
        in_flight_max: reader.size(&setting::IN_FLIGHT_MAX),
        watchers_max: reader.size(&setting::WATCHERS_MAX),
        sections_max: reader.size(&setting::SECTIONS_MAX),
        body_bytes_max: reader.size(&setting::BODY_BYTES_MAX),
        body_timeout: reader.duration(&setting::BODY_TIMEOUT_MS),
        head_timeout: reader.duration(&setting::HEAD_TIMEOUT_MS),
        wait_max: reader.duration(&setting::WAIT_MAX_MS),
    }
}

fn log(reader: &mut Reader) -> LogConfig {
    let format = match reader.text(&setting::LOG_FORMAT).as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Human,
    };
    LogConfig {
        format,
        level: reader.text(&setting::LOG_LEVEL),
    }
}

fn trace(reader: &mut Reader) -> TraceConfig {
    let endpoint = reader.text(&setting::TRACE_OTLP_ENDPOINT);
    if !endpoint.is_empty() && !is_http(&endpoint) {
        reader.contradiction(
            &setting::TRACE_OTLP_ENDPOINT,
            "is http://host:port, as http://127.0.0.1:4318".to_owned(),
        );
    }
    let samples = reader.number(&setting::TRACE_SAMPLES_PER_MILLION);
    TraceConfig {
        otlp_endpoint: (!endpoint.is_empty()).then_some(endpoint),
        samples_per_million: u32::try_from(samples).unwrap_or(u32::MAX),
        queue_spans_max: reader.size(&setting::TRACE_QUEUE_SPANS_MAX),
    }
}

/// Whether the address is one that traces can be sent to.
fn is_http(endpoint: &str) -> bool {
    let url = reqwest::Url::parse(endpoint);
    url.is_ok_and(|url| url.scheme() == "http" && url.has_host())
}

fn contradictions(config: &Config, reader: &mut Reader) {
    let cluster = &config.cluster;
    if cluster.client_lease_default > cluster.client_lease_max {
        let max = millis(cluster.client_lease_max.get());
        reader.contradiction(
            &setting::CLIENT_LEASE_DEFAULT_MS,
            format!("is at most cluster.client_lease_max_ms, which is {max}"),
        );
    }
    let needed = (cluster.value_bytes_max / 3).saturating_mul(4) + BODY_OVERHEAD_BYTES;
    if config.limits.body_bytes_max < needed {
        reader.contradiction(
            &setting::BODY_BYTES_MAX,
            format!("is at least {needed}, to fit a value of cluster.value_bytes_max in base64"),
        );
    }
    engine::contradictions(config, reader);
    if let Err(error) = config.log.level.parse::<tracing_subscriber::EnvFilter>() {
        reader.contradiction(
            &setting::LOG_LEVEL,
            format!("is a level or directives: {error}"),
        );
    }
}

fn millis(duration: Duration) -> u128 {
    duration.as_millis()
}
