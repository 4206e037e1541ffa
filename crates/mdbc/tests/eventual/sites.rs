//! A deployment of three sites, a database at each, and clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mdbc::config::{Config, MusicConfig};
use mdbc::engine::TableKind;
use mdbc::server::Server;
use music_core::time::Lease;
use music_server::dev::{Deployment, DevConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

/// The time after which a test has failed; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_mins(3);

/// How long a node may go unheard.
const NODE_LEASE: Duration = Duration::from_secs(2);

/// Three sites without delays.
pub(crate) struct Sites {
    pub(crate) deployment: Deployment,
    pub(crate) names: Vec<String>,
    pub(crate) nodes: Vec<String>,
    configs: Vec<Config>,
    servers: Vec<Option<Running>>,
    _folder: TempDir,
}

/// A server that runs.
struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Sites {
    pub(crate) async fn start() -> Self {
        let config = DevConfig {
            base_port: 0,
            node_lease: Lease::new(NODE_LEASE),
            client_lease: Lease::new(NODE_LEASE),
            ..DevConfig::new("local3")
        };
        let deployment = Deployment::start(config).await.unwrap();
        let nodes = deployment.nodes();
        let names: Vec<String> = nodes.iter().map(|node| node.site.clone()).collect();
        let folder = TempDir::new().unwrap();
        let config = |(number, url): (u16, &String)| Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            database: "music".to_owned(),
            path: folder.path().join(format!("{number}.db")),
            site: number,
            sites_max: 16,
            default_kind: TableKind::Eventual,
            connections_max: 100,
            result_bytes_max: 1 << 20,
            music: Some(MusicConfig {
                nodes: vec![url.clone()],
                site: names[usize::from(number) - 1].clone(),
                sites: names.clone(),
                sites_version: 1,
            }),
            tls: None,
            users: Vec::new(),
        };
        let urls: Vec<String> = nodes.iter().map(|node| node.url.clone()).collect();
        let configs = (1..).zip(&urls).map(config).collect();
        let mut sites = Self {
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
            deployment,
            configs,
            servers: (0..urls.len()).map(|_| None).collect(),
            _folder: folder,
            names,
        };
        for site in 0..urls.len() {
            sites.run(site).await;
        }
        sites
    }

    /// Starts the process of a site.
    pub(crate) async fn run(&mut self, site: usize) {
        let config = &self.configs[site];
        let open = async {
            loop {
                match Server::open(config.clone()).await {
                    Ok(server) => return server,
                    // What the process before it held is given up in a while.
                    Err(error) => println!("not open yet: {error}"),
                }
            }
        };
        let server = soon(open).await;
        let shutdown = CancellationToken::new();
        let (address, stop) = (server.address(), shutdown.clone());
        let task = tokio::spawn(async move { Box::pin(server.run(stop)).await.unwrap() });
        self.servers[site] = Some(Running {
            address,
            shutdown,
            task,
        });
    }

    /// Ends the process of a site wherever it is.
    pub(crate) async fn kill(&mut self, site: usize) {
        let running = self.servers[site].take().unwrap();
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
    }

    /// Ends the process of a site as it likes to end.
    pub(crate) async fn stop(&mut self, site: usize) {
        let running = self.servers[site].take().unwrap();
        running.shutdown.cancel();
        soon(running.task).await.unwrap();
    }

    pub(crate) fn cut(&self, site: usize, is_cut: bool) {
        self.deployment
            .set_site_cut(&self.names[site], is_cut)
            .unwrap();
    }

    /// A client of a site.
    pub(crate) async fn client(&self, site: usize) -> Client {
        let address = self.servers[site].as_ref().unwrap().address;
        let options = format!(
            "host={} port={} user=mdbc dbname=music",
            address.ip(),
            address.port()
        );
        let (client, connection) = soon(tokio_postgres::connect(&options, NoTls))
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    /// A client of each site.
    pub(crate) async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for site in 0..self.names.len() {
            clients.push(self.client(site).await);
        }
        clients
    }
}

/// Runs statements that have to succeed.
pub(crate) async fn run(client: &Client, text: &str) {
    let done = soon(client.batch_execute(text)).await;
    done.unwrap_or_else(|error| panic!("{text}: {}", told(&error)));
}

/// Runs statements until they succeed: others may be in the way.
pub(crate) async fn insist(client: &Client, text: &str) {
    let insist = async {
        while let Err(error) = client.batch_execute(text).await {
            let state = error.code().cloned();
            let may_be = [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::CANNOT_CONNECT_NOW,
            ];
            assert!(
                state.is_some_and(|state| may_be.contains(&state)),
                "{text}: {}",
                told(&error)
            );
            client.batch_execute("ROLLBACK").await.unwrap();
        }
    };
    soon(insist).await;
}

pub(crate) fn told(error: &Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| format!("{error:?}"))
}

/// The rows of a query, each as its values between bars.
pub(crate) async fn rows(client: &Client, query: &str) -> Vec<String> {
    let answer = soon(client.simple_query(query)).await;
    let answer = answer.unwrap_or_else(|error| panic!("{query}: {}", told(&error)));
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| row.get(at).unwrap_or("null").to_owned());
            Some(values.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    answer.into_iter().filter_map(row).collect()
}

/// Waits until a query answers this at a site.
pub(crate) async fn until(client: &Client, query: &str, wanted: &[&str]) {
    let mut last = Vec::new();
    let wait = async {
        loop {
            last = rows(client, query).await;
            if last == wanted {
                break;
            }
        }
    };
    let is_over = tokio::time::timeout(DEADLINE, Box::pin(wait)).await;
    assert!(is_over.is_ok(), "{query}: {last:?}, not {wanted:?}");
}

/// Makes a table of marks, which tell what has arrived.
pub(crate) async fn make_marks(client: &Client) {
    insist(
        client,
        "CREATE TABLE marks (site int PRIMARY KEY, round int NOT NULL)",
    )
    .await;
}

/// Waits until every site has what every site has written: the letters of a site
/// are applied in their order.
pub(crate) async fn settle(clients: &[Client], round: usize) {
    for (site, client) in clients.iter().enumerate() {
        let mark = format!(
            "INSERT INTO marks VALUES ({site}, {round}) \
             ON CONFLICT (site) DO UPDATE SET round = {round}"
        );
        run(client, &mark).await;
    }
    let all: Vec<String> = (0..clients.len())
        .map(|site| format!("{site}|{round}"))
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for client in clients {
        until(client, "SELECT site, round FROM marks ORDER BY site", &all).await;
    }
}

/// What a query answers at all sites alike.
pub(crate) async fn agreed(clients: &[Client], query: &str) -> Vec<String> {
    let first = rows(&clients[0], query).await;
    for client in &clients[1..] {
        assert_eq!(rows(client, query).await, first, "{query}");
    }
    first
}

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, Box::pin(what))
        .await
        .expect("it has to happen soon")
}
