//! Sections under an address at which no collector listens.

use music_client::{Client, Options};
use music_server::config::{Config, LogConfig, Overrides};
use music_server::dev::{Deployment, DevConfig};
use music_server::logging;

const KEY: (&str, &str) = ("locks", "k");

/// An address at which nobody listens any more.
async fn nobody() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn failed_exports(url: &str) -> u64 {
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap();
    let text = text.text().await.unwrap();
    let line = |line: &str| {
        let count = line.strip_prefix("music_trace_exports_failed_total ");
        count.and_then(|count| count.parse().ok())
    };
    text.lines().find_map(line).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_sections_go_on_and_failures_are_counted() {
    // A queue of one span: all others are dropped.
    let text = format!(
        "[trace]\notlp_endpoint = \"http://{}\"\nqueue_spans_max = 1",
        nobody().await
    );
    let config = Config::parse(&text, |_| None, &Overrides::default()).unwrap();
    let quiet = LogConfig {
        level: "off".to_owned(),
        ..config.log
    };
    let traces = logging::install_traced(&quiet, &config.trace, "test", "here").unwrap();
    let config = DevConfig {
        base_port: 0,
        ..DevConfig::new("local3")
    };
    let deployment = Deployment::start(config).await.unwrap();
    let url = deployment.nodes()[0].url.clone();
    let client = Client::new([url.clone()], Options::default()).unwrap();
    for _ in 0..10 {
        let section = client.lock([KEY]).acquire().await.unwrap();
        section.put(KEY, "x").await.unwrap();
        section.get(KEY).await.unwrap();
        section.release().await.unwrap();
    }
    traces.flush().await;
    assert!(failed_exports(&url).await > 0);
    traces.close().await;
    deployment.shutdown().await;
}
