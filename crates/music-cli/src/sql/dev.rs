//! The databases of `music dev --sql`: one a site.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use mdbc::config::{Config, MusicConfig, RestoreConfig, log_slots};
use mdbc::server::{Error, Server};
use music_client::api::status::DevNode;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// How far the port of a site's database is above that of the controls.
const PORTS_ABOVE: u16 = 100;

/// Where a site's database is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SqlSite {
    pub(crate) site: String,
    pub(crate) address: String,
}

/// The databases that run.
#[derive(Debug, Default)]
pub(crate) struct SqlSites {
    pub(crate) sites: Vec<SqlSite>,
    running: JoinSet<Result<(), Error>>,
    shutdown: CancellationToken,
}

impl SqlSites {
    /// Starts a database at each site, on the ports above `port`; on free ones
    /// where that is 0.
    pub(crate) async fn start(nodes: &[DevNode], data: &Path, port: u16) -> Result<Self, Failure> {
        let folder = data.join("sql");
        std::fs::create_dir_all(&folder).map_err(|source| Failure::File {
            path: folder.clone(),
            source,
        })?;
        let mut names: Vec<String> = nodes.iter().map(|node| node.site.clone()).collect();
        names.dedup();
        let mut all = Self::default();
        for (site, number) in names.iter().zip(1..) {
            let listen = listen(port, number);
            let path = folder.join(format!("{site}.db"));
            let config = Config {
                music: Some(MusicConfig {
                    restore: restore(port, number, &names),
                    ..music(nodes, &names, site)
                }),
                ..Config::new(listen, path, number)
            };
            let server = Server::open(config).await?;
            all.sites.push(SqlSite {
                site: site.clone(),
                address: server.address().to_string(),
            });
            all.running.spawn(server.run(all.shutdown.clone()));
        }
        Ok(all)
    }

    /// Ends them all.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.shutdown.cancel();
        while let Some(ended) = self.running.join_next().await {
            // One that failed in the middle has said so in the log.
            if let Ok(ended) = ended {
                ended?;
            }
        }
        Ok(())
    }
}

/// Where the database of the site with this number listens.
fn listen(port: u16, number: u16) -> SocketAddr {
    let port = if port == 0 {
        0
    } else {
        port + PORTS_ABOVE + number
    };
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// From whom a site restores itself: all others, where it is known where they are.
fn restore(port: u16, number: u16, names: &[String]) -> Option<RestoreConfig> {
    let others = (1..).zip(names).filter(|(other, _)| *other != number);
    let from = others.map(|(other, _)| listen(port, other).to_string());
    (port != 0).then(|| RestoreConfig {
        from: from.collect(),
        user: "mdbc".to_owned(),
        password_file: None,
        authority: None,
    })
}

/// What a site's database is told of MUSIC: of nodes those alone that a site which is
/// cut off would reach.
fn music(nodes: &[DevNode], names: &[String], site: &str) -> MusicConfig {
    let own = nodes.iter().filter(|node| node.site == site);
    MusicConfig {
        nodes: own.map(|node| node.url.clone()).collect(),
        site: site.to_owned(),
        sites: names.to_vec(),
        sites_version: 1,
        restore: None,
        log_slots: log_slots(),
    }
}
