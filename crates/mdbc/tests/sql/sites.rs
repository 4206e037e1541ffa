//! Three sites with a database each, and clients of them.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use mdbc::config::{Config, MusicConfig};
use mdbc::engine::TableKind;
use mdbc::server::Server;
use music_core::time::Lease;
use music_server::dev::{Deployment, DevConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

/// The time after which a test has failed; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_mins(3);

/// Three sites without delays.
pub(crate) struct Sites {
    pub(crate) deployment: Deployment,
    pub(crate) names: Vec<String>,
    pub(crate) nodes: Vec<String>,
    urls: Vec<String>,
    folder: TempDir,
    running: Vec<Mutex<Option<Running>>>,
}

struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Sites {
    /// Three sites where a node may go unheard for so long.
    pub(crate) async fn start(lease: Duration) -> Self {
        Self::of("local3", lease).await
    }

    /// Three sites with the delays of a profile.
    pub(crate) async fn of(profile: &str, lease: Duration) -> Self {
        let config = DevConfig {
            base_port: 0,
            node_lease: Lease::new(lease),
            ..DevConfig::new(profile)
        };
        let deployment = Deployment::start(config).await.unwrap();
        let nodes = deployment.nodes();
        let sites = Self {
            names: nodes.iter().map(|node| node.site.clone()).collect(),
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
            urls: nodes.iter().map(|node| node.url.clone()).collect(),
            deployment,
            folder: tempfile::tempdir().unwrap(),
            running: (0..3).map(|_| Mutex::default()).collect(),
        };
        for site in 0..3 {
            soon(sites.serve(site)).await;
        }
        sites
    }

    fn config(&self, site: usize) -> Config {
        let name = &self.names[site];
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: "music".to_owned(),
            path: self.folder.path().join(format!("{name}.db")),
            site: u16::try_from(site + 1).unwrap(),
            sites_max: 16,
            default_kind: TableKind::Strong,
            connections_max: 100,
            result_bytes_max: 1 << 20,
            music: Some(MusicConfig {
                nodes: vec![self.urls[site].clone()],
                site: name.clone(),
                sites: self.names.clone(),
                sites_version: 1,
            }),
            tls: None,
            users: Vec::new(),
        }
    }

    /// Begins to serve a site, as soon as it can.
    pub(crate) async fn serve(&self, site: usize) {
        let server = loop {
            match Server::open(self.config(site)).await {
                Ok(server) => break server,
                Err(error) => println!("{} does not start: {error}", self.names[site]),
            }
        };
        let address = server.address();
        let task = tokio::spawn(async move {
            Box::pin(server.run(CancellationToken::new()))
                .await
                .unwrap();
        });
        *self.running[site].lock().unwrap() = Some(Running { address, task });
    }

    /// Ends the process of a site where it is, as a crash would.
    pub(crate) async fn kill(&self, site: usize) {
        let running = self.running[site].lock().unwrap().take();
        if let Some(Running { task, .. }) = running {
            task.abort();
            let _killed = task.await;
        }
    }

    /// Where a site's clients connect.
    pub(crate) fn address(&self, site: usize) -> Option<SocketAddr> {
        let running = self.running[site].lock().unwrap();
        running.as_ref().map(|running| running.address)
    }

    /// A client of a site; none where nobody serves it.
    pub(crate) async fn connect(&self, site: usize) -> Option<Client> {
        let address = self.address(site)?;
        let settings = format!(
            "host={} port={} user=mdbc dbname=music",
            address.ip(),
            address.port()
        );
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    /// A client of a site that is served.
    pub(crate) async fn client(&self, site: usize) -> Client {
        self.connect(site).await.unwrap()
    }
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let what = tokio::time::timeout(DEADLINE, Box::pin(what));
    what.await.expect("it has to happen soon")
}

/// The only value of the only row of a query, as text.
pub(crate) async fn one(client: &Client, query: &str) -> String {
    let rows = all(client, query).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

/// The rows of a query, their values joined.
pub(crate) async fn all(client: &Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |row: &tokio_postgres::SimpleQueryRow| {
        let values = (0..row.len()).map(|at| row.get(at).unwrap_or("-"));
        values.collect::<Vec<_>>().join("|")
    };
    rows.map(text).collect()
}

/// The SQLSTATE with which a statement fails.
pub(crate) async fn state(client: &Client, query: &str) -> String {
    let failed = client.batch_execute(query).await.unwrap_err();
    failed
        .code()
        .map_or(String::new(), |code| code.code().to_owned())
}
