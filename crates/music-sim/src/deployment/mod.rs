//! Whole deployments under one seed: the real client, the real node with its
//! HTTP side, the real core, on virtual time and one thread.
//!
//! ```text
//!  clients ── wire ──▶ nodes ──▶ engine: replicas, network      all on one thread,
//!     │                  ▲          ▲                           whose time is paused
//!     ▼                  └── nemesis ┘
//!  recorder ──▶ history ──▶ judges
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `cluster` | the nodes, which start, stand still and die |
//! | `wire`, `peers` | the way between a client and a node, and between nodes |
//! | `client` | what a client does |
//! | `nemesis` | the faults |
//! | `world` | time and chance |
//! | `panics` | broken invariants that a runtime would swallow |
//! | `recorder` | the history |
//! | [`sightings`] | which rare things happened |
//! | [`settings`] | what a seed decides, and what narrows it down |
//! | `rest` | what must be true once faults have stopped |
//! | [`batch`] | many seeds |
//! | [`shrink`] | the shortest history that still fails |

pub mod batch;
mod client;
mod cluster;
mod nemesis;
mod panics;
mod peers;
mod recorder;
mod rest;
pub mod settings;
pub mod shrink;
pub mod sightings;
mod wire;
mod world;

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_store::simulated::Deployment;
use music_store::simulated::network::Network;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use self::client::Crew;
use self::cluster::Cluster;
pub use self::cluster::StartError;
use self::nemesis::Nemesis;
use self::recorder::Recorder;
use self::settings::Settings;
use self::sightings::Sightings;
pub(crate) use self::wire::Host;
use crate::history::{self, Event, Limits, What};
use crate::recipes::log::{Line, Log};
use crate::recipes::work::Board;
use crate::recipes::{judges, sometimes};

/// How long an operation may take, with all its retries at all nodes.
const DEADLINE: Duration = Duration::from_mins(1);

/// How often replicas compare themselves once faults have stopped.
const HEALING_AT_REST: Duration = Duration::from_millis(500);

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    /// What clients did and saw, and the faults.
    pub history: Vec<Event>,
    /// What they asked of recipes, and were answered.
    pub recipes: Vec<Line>,
    /// What was not true after faults had stopped, or must never happen.
    pub failures: Vec<String>,
    /// Which rare things happened, and how often.
    pub sightings: Sightings,
    /// The same for two runs of the same settings.
    pub trace: u64,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime does not start.
    #[error("the simulation's runtime does not start: {0}")]
    Runtime(#[source] std::io::Error),
    /// A node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs a deployment from its start until everything has come to rest.
///
/// # Errors
/// Where the simulation itself cannot run.
pub fn run(settings: &Settings) -> Result<Run, Error> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(Error::Runtime)?;
    music_client::simulation::seed(settings.seed);
    let before = panics::count();
    let mut run = runtime.block_on(play(settings))?;
    let panicked = panics::count() - before;
    if panicked > 0 {
        run.failures.push(format!("{panicked} tasks panicked"));
    }
    Ok(run)
}

async fn play(settings: &Settings) -> Result<Run, Error> {
    music_client::simulation::start_wall_clock();
    let scene = Scene::set(settings).await?;
    let crew = Crew::gather(&scene);
    let nemesis = Nemesis::new(&scene, crew.clone());
    nemesis.rage().await?;
    scene.recorder.note(What::Calm);
    scene.calm.cancel();
    nemesis.relent().await?;
    if scene.board.is_some() {
        // What the nearest replica knows must be the state in the end.
        scene.cluster.deployment.set_healing(HEALING_AT_REST);
    }
    if scene.board.is_some() || settings.is_crowded() {
        // All clients want the same few keys.
        scene.cluster.deployment.take_turns();
    }
    let mut failures = crew.rest().await;
    failures.extend(rest::failures(&scene).await);
    scene.recorder.note(What::End);
    let history = scene.recorder.history();
    let recipes = scene.board.as_ref().map(|board| board.log.lines());
    let recipes = recipes.unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    for event in &history {
        hasher.write(format!("{event:?}").as_bytes());
    }
    for line in &recipes {
        hasher.write(format!("{line:?}").as_bytes());
    }
    let mut sightings = scene.sightings().clone();
    if scene.cluster.relayed.count() > 0 {
        sightings.add("a ticket by way of another node");
    }
    sightings.read(&history);
    sometimes::read(&recipes).for_each(|what| sightings.add(what));
    Ok(Run {
        history,
        recipes,
        failures,
        sightings,
        trace: hasher.finish(),
    })
}

/// What is wrong with a run; nothing where all guarantees were kept.
pub fn verdict(run: &Run) -> Vec<String> {
    let limits = Limits {
        deadline: DEADLINE,
        settling: client::SETTLING,
    };
    let mut verdict = run.failures.clone();
    match history::judge(&run.history, limits) {
        Ok(report) => verdict.extend(report.violations().map(ToString::to_string)),
        Err(malformed) => verdict.push(malformed.to_string()),
    }
    verdict.extend(judges::verdict(&run.recipes));
    verdict
}

/// What all parts of a run share.
#[derive(Clone, Debug)]
struct Scene {
    settings: Settings,
    cluster: Arc<Cluster>,
    recorder: Recorder,
    /// What clients that use recipes share.
    board: Option<Arc<Board>>,
    sightings: Arc<Mutex<Sightings>>,
    /// Cancelled when faults stop: from then on clients finish.
    calm: CancellationToken,
}

impl Scene {
    async fn set(settings: &Settings) -> Result<Self, Error> {
        let delays = settings.delays();
        let network = Network::new(settings.sites, settings.seed, |from, to| {
            settings::between(&delays, from, to)
        });
        let deployment = Deployment::start(settings.sites, network);
        deployment.set_healing(settings.healing);
        if settings.is_deaf {
            deployment.deafen();
        }
        let cluster = Cluster::new(
            deployment,
            settings.sites,
            settings.nodes_per_site,
            (settings.seed, settings.node_lease_ms),
        );
        for node in 0..cluster.len() {
            cluster.start(node).await?;
        }
        let board = (!settings.trades.is_empty()).then(|| {
            let log = Log::since(world::now());
            Board::new(log, &settings.trades, settings.clients)
        });
        Ok(Self {
            settings: settings.clone(),
            cluster,
            recorder: Recorder::start(),
            board: board.map(Arc::new),
            sightings: Arc::default(),
            calm: CancellationToken::new(),
        })
    }

    fn sightings(&self) -> MutexGuard<'_, Sightings> {
        self.sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, what: &'static str) {
        self.sightings().add(what);
    }
}
