//! `cargo xtask torture`: a deployment on real engines, under real faults.
//!
//! ```text
//!  nemesis ──kill, pause, cut──▶ stage: three sites, each in a network namespace,
//!     │                            │    with engine nodes, a MUSIC node and clients
//!     ▼                            ▼
//!  faults.jsonl          clients/*.jsonl ──▶ music-torture judge ──▶ history.jsonl, report
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `network` | the sites' network: delayed, cut and healed |
//! | `stage` | what runs at the sites |
//! | `nemesis` | the faults |
//! | `wound` | one fault, from its beginning to its recovery |
//! | `log` | what was done, for the judgement |
//!
//! What the clients do and how they are judged is in `crates/music-torture`.

mod log;
mod nemesis;
mod network;
mod stage;
mod wound;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use self::log::Log;
use self::nemesis::Nemesis;
use self::network::Network;
pub(crate) use self::network::{Link, links};
pub(crate) use self::stage::Stage;
use crate::engines::Name;
use crate::{clock, shell};

/// What to torture, and for how long.
#[derive(Args)]
pub(crate) struct Torture {
    /// What the deployment stands on
    #[arg(long, value_enum)]
    engine: Deployment,
    /// How long faults are injected
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// What every draw depends on
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do no harm: what the deployment does by itself, to compare with
    #[arg(long)]
    without_faults: bool,
    /// Let the nodes break this rule of the protocol, which must be found then
    #[arg(long)]
    mutation: Option<String>,
    /// The delays between the sites, by the name of a profile
    #[arg(long, default_value = "lUs")]
    profile: String,
}

/// State and locks.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deployment {
    Cassandra,
    #[value(name = "cassandra+zookeeper")]
    CassandraZooKeeper,
    #[value(name = "cassandra+etcd")]
    CassandraEtcd,
    /// Servers of etcd alone, without MUSIC.
    #[value(skip)]
    Etcd,
    /// Servers of ZooKeeper alone.
    #[value(skip)]
    ZooKeeper,
}

impl Deployment {
    /// Its servers, that of the state first.
    fn servers(self) -> Vec<Name> {
        match self {
            Self::Cassandra => vec![Name::Cassandra],
            Self::CassandraZooKeeper => vec![Name::Cassandra, Name::ZooKeeper],
            Self::CassandraEtcd => vec![Name::Cassandra, Name::Etcd],
            Self::Etcd => vec![Name::Etcd],
            Self::ZooKeeper => vec![Name::ZooKeeper],
        }
    }

    /// Whether nodes of MUSIC belong to it.
    fn has_nodes(self) -> bool {
        self.servers().contains(&Name::Cassandra)
    }

    /// The name of the lock engine, as a node's settings have it.
    fn locks(self) -> &'static str {
        match self {
            Self::Cassandra => "cassandra",
            Self::CassandraZooKeeper | Self::ZooKeeper => "zookeeper",
            Self::CassandraEtcd | Self::Etcd => "etcd",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cassandra => "cassandra",
            Self::CassandraZooKeeper => "cassandra+zookeeper",
            Self::CassandraEtcd => "cassandra+etcd",
            Self::Etcd => "etcd",
            Self::ZooKeeper => "zookeeper",
        }
    }
}

/// The programs that are tortured, and that torture.
struct Programs {
    music: PathBuf,
    torture: PathBuf,
    /// What nodes log.
    log: &'static str,
}

/// What nodes log where they are tortured.
const DETAILED: &str = "info,music_store=debug,music_server=debug";

/// Tortures a deployment and judges it; says why where that cannot be done
/// here, which is no failure.
///
/// # Errors
///
/// When a guarantee is broken, or the deployment does not start.
pub(crate) fn run(root: &Path, torture: &Torture) -> Result<()> {
    let target = shell::target(root)?;
    let network = match Network::find(root, &target, &torture.profile)? {
        Ok(network) => network,
        Err(missing) => {
            println!("torture: skipped, not failed: {missing}");
            return Ok(());
        }
    };
    let folder = folder(&target, torture)?;
    let programs = build(root, &target, &folder, torture.mutation.is_some())?;
    println!("torture: everything is kept in {}", folder.display());
    network.up()?;
    let result = play(torture, &network, &programs, &target, &folder);
    // What was started is gone by now, whatever happened.
    network.down()?;
    result?;
    let judge = ["judge", &folder.display().to_string()];
    shell::run(&mut shell::program(
        root,
        &programs.torture.display().to_string(),
        &judge,
    ))
}

fn play(
    torture: &Torture,
    network: &Network,
    programs: &Programs,
    target: &Path,
    folder: &Path,
) -> Result<()> {
    let log = Log::create(&folder.join("faults.jsonl"))?;
    let stage = Stage::new(torture.engine, network, programs, (target, folder))?;
    let stage = stage.with(torture.seed, torture.mutation.clone());
    let mut nemesis = Nemesis::new(stage, log, torture.seed, stop()?);
    let length = Duration::from_secs(torture.minutes * 60);
    let result = if torture.without_faults {
        nemesis.idle(length)
    } else {
        nemesis.rage(length)
    };
    let result = result.and_then(|()| nemesis.relent());
    let cleared = nemesis.clear();
    result.and(cleared)
}

/// What Ctrl-C sets, so that what runs at the sites ends with the run; pressed
/// again, it ends at once.
///
/// # Errors
///
/// When signals cannot be listened to.
pub(crate) fn stop() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let again = flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop));
        again.context("cannot listen to signals")?;
        flag::register(signal, Arc::clone(&stop)).context("cannot listen to signals")?;
    }
    Ok(stop)
}

/// Builds what runs at the sites. In the profile `sim`: three sites share the
/// machine, and every assertion stays on. The programs of a run stay as they
/// are, whatever is built meanwhile.
fn build(root: &Path, target: &Path, folder: &Path, mutations: bool) -> Result<Programs> {
    let build = |package: &str, features: &[&str]| {
        let arguments = [
            "build",
            "--locked",
            "--profile",
            "sim",
            "--package",
            package,
        ];
        let arguments = [&arguments[..], features].concat();
        shell::run(&mut shell::program(root, "cargo", &arguments))
    };
    let features: &[&str] = if mutations {
        &["--features", "mutations"]
    } else {
        &[]
    };
    build("music-cli", features)?;
    build("music-torture", &[])?;
    let keep = |name: &str| {
        let (built, kept) = (target.join("sim").join(name), folder.join(name));
        fs::hard_link(&built, &kept).with_context(|| format!("cannot link {}", built.display()))?;
        Ok::<_, anyhow::Error>(kept)
    };
    Ok(Programs {
        music: keep("music")?,
        torture: keep("music-torture")?,
        log: DETAILED,
    })
}

/// Lets a deployment serve at three sites for the length of `work`. Says why
/// where that cannot be done here, which is no failure.
///
/// # Errors
///
/// When it does not start, and as `work`.
pub(crate) fn serve(
    root: &Path,
    (deployment, profile): (Deployment, &str),
    music: PathBuf,
    work: impl FnOnce(&mut Stage<'_>) -> Result<()>,
) -> Result<bool> {
    let target = shell::target(root)?;
    let network = match Network::find(root, &target, profile)? {
        Ok(network) => network,
        Err(missing) => {
            println!("skipped, not failed: {missing}");
            return Ok(false);
        }
    };
    let folder = new_folder(&target, deployment, 0)?;
    let programs = Programs {
        music,
        torture: PathBuf::new(),
        log: "info",
    };
    network.up()?;
    let served =
        Stage::new(deployment, &network, &programs, (&target, &folder)).and_then(|mut stage| {
            let worked = stage.start_servers().and_then(|()| work(&mut stage));
            let cleared = stage.clear();
            worked.and(cleared)
        });
    network.down()?;
    served.map(|()| true)
}

/// Makes the sites, with nothing at them, for the length of `work`. Says why
/// where that cannot be done here, which is no failure.
///
/// # Errors
///
/// As `work`, and when the sites cannot be made.
pub(crate) fn at_sites(
    root: &Path,
    profile: &str,
    work: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let target = shell::target(root)?;
    let network = match Network::find(root, &target, profile)? {
        Ok(network) => network,
        Err(missing) => {
            println!("skipped, not failed: {missing}");
            return Ok(false);
        }
    };
    network.up()?;
    let worked = work();
    network.down()?;
    worked.map(|()| true)
}

/// A new folder for this run.
fn folder(target: &Path, torture: &Torture) -> Result<PathBuf> {
    new_folder(target, torture.engine, torture.seed)
}

fn new_folder(target: &Path, deployment: Deployment, seed: u64) -> Result<PathBuf> {
    let name = deployment.name();
    let name = format!("{name}-{seed}-{}", clock::monotonic_ns() / 1_000_000_000);
    let folder = target.join("torture").join(name);
    ensure!(!folder.exists(), "{} is there already", folder.display());
    for part in ["clients", "nodes", "logs", "engines"] {
        let path = folder.join(part);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(folder)
}
