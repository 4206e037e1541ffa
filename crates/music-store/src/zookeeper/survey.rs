//! How a deployment of ZooKeeper looks from this machine: its servers, how far
//! away, and whether a majority of them answers.
//!
//! Facts only: what is wrong with them is judged elsewhere.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zookeeper_client::{Client, Error as Refusal};

use super::{ZooKeeperConfig, check};
use crate::connect::ConnectError;
use crate::probe;

/// How often each server, and a majority, is asked for the time.
const SAMPLES: usize = 3;
/// How long a server may take to answer.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 8 * 1024;
/// Any version will do.
const ANY: i32 = -1;

/// A deployment of ZooKeeper.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The endpoints of the configuration, in its order.
    pub endpoints: Vec<Endpoint>,
    /// How long a transaction that a majority agrees on takes, as a node does
    /// it: the median of several. Or why there is none.
    pub agreed: Result<Duration, String>,
    /// The znode below which the queues are.
    pub root: Root,
    /// How many servers have a vote; `None` where nobody tells.
    pub voters: Option<usize>,
}

/// An endpoint of the configuration.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As the configuration has it.
    pub address: String,
    /// What the server there says, or why it does not.
    pub answer: Result<Answer, String>,
}

/// An answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The round trip from here: the median of several.
    pub rtt: Duration,
    /// What it says of itself.
    pub state: State,
}

/// What a server says of itself when it is asked `srvr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves.
    Serves {
        /// The version of ZooKeeper.
        version: String,
        /// `leader`, `follower`, `observer` or `standalone`.
        mode: String,
    },
    /// It runs and finds no majority.
    NotServing,
    /// It does not tell: `srvr` is not among the words that it answers.
    Silent,
}

/// The znode below which the queues are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// It is there, and may be read.
    Present,
    /// It is not there.
    Missing,
    /// It is there, and not for this user.
    Refused,
    /// Nobody tells.
    Unknown(String),
}

/// Looks at a deployment.
///
/// # Cost
/// Some small requests to each endpoint, a session, and transactions that a
/// majority agrees on and that change nothing.
///
/// # Errors
/// Where the configuration is wrong.
///
/// # Cancel safety
/// It changes nothing.
pub async fn take(config: &ZooKeeperConfig) -> Result<Survey, ConnectError> {
    check(config)?;
    let endpoints = ask(&config.endpoints, SAMPLES).await;
    let Some(client) = session(config).await else {
        let reason = "no server begins a session".to_owned();
        return Ok(Survey {
            endpoints,
            agreed: Err(reason.clone()),
            root: Root::Unknown(reason),
            voters: None,
        });
    };
    let agreed = probe::repeated(SAMPLES, || agree(&client)).await;
    Ok(Survey {
        endpoints,
        agreed: agreed.map(|answers| probe::median(&answers).unwrap_or_default()),
        root: root(&client, &config.root).await,
        voters: voters(&client).await,
    })
}

/// Asks each server once what it is.
///
/// # Cost
/// Two connections to each.
///
/// # Cancel safety
/// It changes nothing.
pub async fn look(endpoints: &[String]) -> Vec<Endpoint> {
    ask(endpoints, 1).await
}

async fn ask(endpoints: &[String], samples: usize) -> Vec<Endpoint> {
    let endpoints = endpoints.iter().map(|address| async move {
        Endpoint {
            address: address.clone(),
            answer: ask_one(address, samples).await,
        }
    });
    join_all(endpoints).await
}

async fn ask_one(address: &str, samples: usize) -> Result<Answer, String> {
    let mut answers = Vec::new();
    for _ in 0..samples {
        answers.push(srvr(address).await?);
    }
    answers.sort_by_key(|answer| answer.rtt);
    let middle = answers.len() / 2;
    answers.into_iter().nth(middle).ok_or_else(String::new)
}

/// Asks for the word `srvr`. A connection answers one word, so its making is
/// not part of the time.
async fn srvr(address: &str) -> Result<Answer, String> {
    let late = |_| "it does not answer in time".to_owned();
    let failed = |error: std::io::Error| format!("it cannot be reached: {error}");
    let connecting = timeout(REQUEST_TIME, TcpStream::connect(address)).await;
    let mut stream = connecting.map_err(late)?.map_err(failed)?;
    let exchange = async {
        stream.write_all(b"srvr").await?;
        let mut text = String::new();
        let mut limited = stream.take(ANSWER_BYTES_MAX);
        limited.read_to_string(&mut text).await?;
        Ok(text)
    };
    let timed = timeout(REQUEST_TIME, probe::timed(exchange)).await;
    let timed = timed.map_err(late)?.map_err(failed)?;
    Ok(Answer {
        rtt: timed.took,
        state: state(&timed.answer),
    })
}

fn state(text: &str) -> State {
    let value = |name: &str| {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let version = value("Zookeeper version:").and_then(|version| {
        let number = version.split(['-', ',', ' ']).next()?;
        Some(number.to_owned())
    });
    match (version, value("Mode:")) {
        (Some(version), Some(mode)) => State::Serves { version, mode },
        _ if text.contains("not currently serving") => State::NotServing,
        _ => State::Silent,
    }
}

/// A session at the first server that answers, which makes no znode.
async fn session(config: &ZooKeeperConfig) -> Option<Client> {
    for server in &config.endpoints {
        let mut connector = Client::connector();
        if let Some(credentials) = &config.credentials {
            let identity = format!("{}:{}", credentials.user, credentials.password);
            connector = connector.with_auth("digest", identity.as_bytes());
        }
        let connecting = connector.with_fail_eagerly().connect(server);
        match timeout(REQUEST_TIME, connecting).await {
            Ok(Ok(client)) => return Some(client),
            Ok(Err(error)) => tracing::debug!(server, %error, "no session begins"),
            Err(_) => tracing::debug!(server, "no session begins in time"),
        }
    }
    None
}

/// A transaction that only checks that there is a root, which there always is.
async fn agree(client: &Client) -> Result<(), String> {
    let mut transaction = client.new_multi_writer();
    let added = transaction.add_check_version("/", ANY);
    added.map_err(|refusal| refusal.to_string())?;
    match timeout(REQUEST_TIME, transaction.commit()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(refusal)) => Err(format!("a transaction is refused: {refusal}")),
        Err(_) => Err("a transaction is not answered in time".to_owned()),
    }
}

async fn root(client: &Client, path: &str) -> Root {
    match timeout(REQUEST_TIME, client.get_data(path)).await {
        Ok(Ok(_)) => Root::Present,
        Ok(Err(Refusal::NoNode)) => Root::Missing,
        Ok(Err(Refusal::NoAuth | Refusal::AuthFailed)) => Root::Refused,
        Ok(Err(refusal)) => Root::Unknown(refusal.to_string()),
        Err(_) => Root::Unknown("a read is not answered in time".to_owned()),
    }
}

async fn voters(client: &Client) -> Option<usize> {
    let config = timeout(REQUEST_TIME, client.get_config()).await;
    let (text, _) = config.ok()?.ok()?;
    let count = count_voters(&String::from_utf8_lossy(&text));
    (count > 0).then_some(count)
}

/// Lines are `server.1=host:2888:3888:participant;0.0.0.0:2181`.
fn count_voters(config: &str) -> usize {
    let servers = config.lines().filter(|line| line.starts_with("server."));
    servers.filter(|line| !line.contains(":observer")).count()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SRVR: &str = "Zookeeper version: 3.9.5-4dc0\
                        6ee7d, built on 2025-01-01 00:00 UTC\n\
                        Latency min/avg/max: 0/0.6/12\nReceived: 74\nConnections: 1\n\
                        Zxid: 0x100000002\nMode: follower\nNode count: 5\n";

    #[test]
    fn a_server_that_serves_says_what_it_is() {
        let serves = State::Serves {
            version: "3.9.5".to_owned(),
            mode: "follower".to_owned(),
        };
        assert_eq!(state(SRVR), serves);
        let waiting = "This ZooKeeper instance is not currently serving requests\n";
        assert_eq!(state(waiting), State::NotServing);
        let refused = "srvr is not executed because it is not in the whitelist.\n";
        assert_eq!(state(refused), State::Silent);
        assert_eq!(state(""), State::Silent);
    }

    #[test]
    fn observers_have_no_vote() {
        let config = "server.1=a:2888:3888:participant;0.0.0.0:2181\n\
                      server.2=b:2888:3888:participant\nserver.3=c:2888:3888:observer;2181\n\
                      version=0";
        assert_eq!(count_voters(config), 2);
    }

    /// Not more than so much is read from a server that never ends.
    #[tokio::test]
    async fn an_endless_answer_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let endless = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Until the other end has read enough.
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
        };
        let (answer, ()) = tokio::join!(srvr(&address), endless);
        assert_eq!(answer.unwrap().state, State::Silent);
    }

    #[tokio::test]
    async fn a_server_that_is_down_says_nothing() {
        let seen = look(&["127.0.0.1:1".to_owned()]).await;
        let error = seen[0].answer.as_ref().unwrap_err();
        assert!(error.contains("cannot be reached"), "{error}");
    }
}
