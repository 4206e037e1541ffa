//! Three sites with a database each, and clients of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use mdbc::config::{Config, MusicConfig, PostgresConfig, log_slots};
use mdbc::engine::TableKind;
use mdbc::server::Server;
use music_core::time::Lease;
use music_server::dev::{Deployment, DevConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

/// The time after which a test has failed; nothing waits for it to pass.
pub(crate) const DEADLINE: Duration = Duration::from_mins(3);

/// What the sites are like.
pub(crate) struct Plan {
    /// The delays between them.
    pub(crate) profile: &'static str,
    /// How long a node, or a client of it, may go unheard.
    pub(crate) lease: Duration,
    /// What tables are that do not say.
    pub(crate) default_kind: TableKind,
    /// Where the PostgreSQL of each site is; none where their engine is SQLite.
    pub(crate) urls: Vec<String>,
}

/// Three sites.
pub(crate) struct Sites {
    pub(crate) deployment: Deployment,
    pub(crate) names: Vec<String>,
    pub(crate) nodes: Vec<String>,
    configs: Vec<Config>,
    running: Vec<Mutex<Option<Running>>>,
    _folder: TempDir,
}

/// A process that serves.
struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Sites {
    pub(crate) async fn of(plan: Plan) -> Self {
        Self::of_changed(plan, |_| {}).await
    }

    /// The same, with other configurations.
    pub(crate) async fn of_changed(plan: Plan, change: impl Fn(&mut Config)) -> Self {
        let config = DevConfig {
            base_port: 0,
            node_lease: Lease::new(plan.lease),
            client_lease: Lease::new(plan.lease),
            ..DevConfig::new(plan.profile)
        };
        let deployment = Deployment::start(config).await.unwrap();
        let nodes = deployment.nodes();
        let names: Vec<String> = nodes.iter().map(|node| node.site.clone()).collect();
        let folder = tempfile::tempdir().unwrap();
        let config = |(site, url): (&String, String)| {
            let number = names.iter().position(|name| name == site).unwrap() + 1;
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let own = plan.urls.get(number - 1).cloned();
            let path = match own {
                Some(_) => PathBuf::new(),
                None => folder.path().join(format!("{site}.db")),
            };
            Config {
                default_kind: plan.default_kind,
                result_bytes_max: 1 << 20,
                postgres: own.map(|url| PostgresConfig { url }),
                music: Some(MusicConfig {
                    nodes: vec![url],
                    site: site.clone(),
                    sites: names.clone(),
                    sites_version: 1,
                    restore: None,
                    log_slots: log_slots(),
                }),
                ..Config::new(listen, path, u16::try_from(number).unwrap())
            }
        };
        let urls = nodes.iter().map(|node| node.url.clone());
        let mut configs: Vec<Config> = names.iter().zip(urls).map(config).collect();
        configs.iter_mut().for_each(change);
        let sites = Self {
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
            running: configs.iter().map(|_| Mutex::default()).collect(),
            deployment,
            configs,
            names,
            _folder: folder,
        };
        for site in 0..sites.names.len() {
            sites.serve(site).await;
        }
        sites
    }

    /// Starts the process of a site, as soon as it can.
    pub(crate) async fn serve(&self, site: usize) {
        let open = async {
            loop {
                match Server::open(self.configs[site].clone()).await {
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
        *self.running[site].lock().unwrap() = Some(Running {
            address,
            shutdown,
            task,
        });
    }

    /// Ends the process of a site wherever it is, as a crash would.
    pub(crate) async fn kill(&self, site: usize) {
        let running = self.running[site].lock().unwrap().take().unwrap();
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
    }

    /// Ends the process of a site as it likes to end.
    pub(crate) async fn stop(&self, site: usize) {
        let running = self.running[site].lock().unwrap().take().unwrap();
        running.shutdown.cancel();
        soon(running.task).await.unwrap();
    }

    pub(crate) fn cut(&self, site: usize, is_cut: bool) {
        let name = &self.names[site];
        self.deployment.set_site_cut(name, is_cut).unwrap();
    }

    /// What a site's process is told.
    pub(crate) fn config(&self, site: usize) -> Config {
        self.configs[site].clone()
    }

    /// Where a site's clients connect; none where nobody serves it.
    pub(crate) fn address(&self, site: usize) -> Option<SocketAddr> {
        let running = self.running[site].lock().unwrap();
        running.as_ref().map(|running| running.address)
    }

    /// A client of a site; none where nobody serves it.
    pub(crate) async fn connect(&self, site: usize) -> Option<Client> {
        connect(self.address(site)?.port()).await
    }

    /// A client of whoever serves at a port.
    pub(crate) async fn client_at(&self, port: u16) -> Client {
        soon(connect(port)).await.unwrap()
    }

    /// A client of a site that is served.
    pub(crate) async fn client(&self, site: usize) -> Client {
        soon(self.connect(site)).await.unwrap()
    }
}

async fn connect(port: u16) -> Option<Client> {
    let settings = format!("host=127.0.0.1 port={port} user=mdbc dbname=music");
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let what = tokio::time::timeout(DEADLINE, Box::pin(what));
    what.await.expect("it has to happen soon")
}
