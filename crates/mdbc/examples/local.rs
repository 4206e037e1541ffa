//! One site without others: `cargo run -p mdbc --example local -- mdbc.toml`.

use std::error::Error;
use std::path::PathBuf;

use mdbc::config::Config;
use mdbc::engine::{Database, LocalOnly};
use mdbc::proxy::{Site, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let config = Config::read(&path.ok_or("the configuration's path is missing")?)?;
    let database = Database::open(&config.options())?;
    let listener = TcpListener::bind(config.listen).await?;
    let site = Site { config, database, replication: LocalOnly };
    serve(listener, site, CancellationToken::new()).await?;
    Ok(())
}
