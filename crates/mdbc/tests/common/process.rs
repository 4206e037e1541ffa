//! One process of a site, with a configuration of its own, and what its clients do.

use std::net::SocketAddr;

use mdbc::config::{Config, RestoreConfig};
use mdbc::server::{Error, Server};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use crate::deployment::DEADLINE;
pub(crate) use crate::deployment::{Sites, soon};

/// How many entries a log keeps for a site that is away.
pub(crate) const SLOTS: u64 = 16;

/// How many entries a site misses that is left behind, and rows in each.
const MISSED: u64 = 2 * SLOTS;
const ROWS: u64 = 100;
/// How many rows there are then.
pub(crate) const ALL: &str = "3200";

impl Sites {
    /// The configuration of a site that may be restored from others.
    pub(crate) fn restored_from(&self, site: usize, others: &[usize]) -> Config {
        let address = |other: &usize| self.address(*other).unwrap().to_string();
        restored_from(self.config(site), others.iter().map(address).collect())
    }

    /// Lets a site that is not served miss more than a log keeps.
    pub(crate) async fn leave_behind(&self, writer: usize) {
        let client = self.client(writer).await;
        for missed in 1..=MISSED {
            let there = (ROWS * missed).to_string();
            let miss = async {
                // A machine that is busy may lose its lease in the middle.
                while client.batch_execute(&miss()).await.is_err() {
                    let count = "SELECT count(*) FROM strong";
                    if try_rows(&client, count)
                        .await
                        .is_ok_and(|count| count == [&*there])
                    {
                        break;
                    }
                }
            };
            soon(miss).await;
        }
    }
}

pub(crate) fn restored_from(mut config: Config, from: Vec<String>) -> Config {
    let restore = RestoreConfig {
        from,
        user: "mdbc".to_owned(),
        password_file: None,
        authority: None,
    };
    config.music.as_mut().unwrap().restore = Some(restore);
    config
}

/// The configuration of a database that has a fourth site, too.
pub(crate) fn widened(mut config: Config) -> Config {
    let music = config.music.as_mut().unwrap();
    music.sites.push("fourth".to_owned());
    music.sites_version = 2;
    config
}

/// Inserts rows, one after the other, while something else happens.
pub(crate) fn write_on(writer: Client, count: usize) -> JoinHandle<()> {
    tokio::spawn(async move {
        for number in 0..count {
            let text = format!("INSERT INTO strong (pad) VALUES ('{number}')");
            insist(&writer, &text).await;
        }
    })
}

/// Waits until a client's connection has ended.
pub(crate) async fn closed(client: &Client) {
    let ask = "SELECT count(*) FROM strong";
    let ended = async { while !(client.simple_query(ask).await.is_err() && client.is_closed()) {} };
    soon(ended).await;
}

/// A process that serves a site.
pub(crate) struct Life {
    pub(crate) address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Life {
    /// Starts as soon as what the process before it held is given up.
    pub(crate) async fn start(config: &Config) -> Self {
        soon(Self::try_start(config)).await.unwrap()
    }

    pub(crate) async fn try_start(config: &Config) -> Result<Self, Error> {
        let server = Box::pin(Server::open(config.clone())).await?;
        let shutdown = CancellationToken::new();
        let (address, stop) = (server.address(), shutdown.clone());
        let task = tokio::spawn(async move { Box::pin(server.run(stop)).await.unwrap() });
        Ok(Self {
            address,
            shutdown,
            task,
        })
    }

    /// Waits until a query answers this in one row, in whatever life.
    pub(crate) async fn until(&self, query: &str, wanted: &str) {
        let wait = async {
            loop {
                let client = self.client().await;
                while !client.is_closed() {
                    let answer = try_rows(&client, query).await;
                    if answer.is_ok_and(|rows| rows == [wanted]) {
                        return;
                    }
                }
            }
        };
        let is_over = tokio::time::timeout(DEADLINE, Box::pin(wait)).await;
        assert!(is_over.is_ok(), "{query}: not {wanted}");
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon(self.task).await.unwrap();
    }

    /// A client, as soon as it is served.
    pub(crate) async fn client(&self) -> Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.address.port())
            .user("mdbc")
            .dbname("music");
        let connected = async {
            loop {
                if let Ok(connected) = config.connect(NoTls).await {
                    break connected;
                }
            }
        };
        let (client, connection) = soon(connected).await;
        tokio::spawn(connection);
        client
    }
}

fn miss() -> String {
    format!("INSERT INTO strong (pad) SELECT repeat('x', 1000) FROM generate_series(1, {ROWS})")
}

/// Runs statements that have to succeed.
pub(crate) async fn run(client: &Client, text: &str) {
    let done = soon(client.batch_execute(text)).await;
    done.unwrap_or_else(|error| panic!("{text}: {error:?}"));
}

/// Runs a statement until it succeeds: others may be in the way.
pub(crate) async fn insist(client: &Client, text: &str) {
    let insist = async {
        while let Err(error) = client.batch_execute(text).await {
            let code = error.code().map(|code| code.code().to_owned());
            let may_be = [Some("40001".to_owned()), Some("57P03".to_owned())];
            assert!(may_be.contains(&code), "{text}: {error:?}");
        }
    };
    soon(insist).await;
}

/// The rows of a query, their values joined by bars.
pub(crate) async fn rows(client: &Client, query: &str) -> Vec<String> {
    let answer = soon(try_rows(client, query)).await;
    answer.unwrap_or_else(|error| panic!("{query}: {error:?}"))
}

pub(crate) async fn try_rows(
    client: &Client,
    query: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| row.get(at).unwrap_or("-").to_owned());
            Some(values.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    let answer = client.simple_query(query).await?;
    Ok(answer.into_iter().filter_map(row).collect())
}

/// Waits until a query answers this in one row.
pub(crate) async fn until(client: &Client, query: &str, wanted: &str) {
    let mut last = String::new();
    let wait = async {
        loop {
            let answer = try_rows(client, query).await;
            if answer.as_ref().is_ok_and(|rows| *rows == [wanted]) {
                break;
            }
            last = format!("{answer:?}");
        }
    };
    let is_over = tokio::time::timeout(DEADLINE, Box::pin(wait)).await;
    assert!(is_over.is_ok(), "{query}: {last}, not {wanted}");
}
