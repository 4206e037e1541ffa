//! What runs at the sites: engine nodes, a MUSIC node, a process of clients.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::network::{self, Network, SITES};
use super::wound::Target;
use super::{Deployment, Programs};
use crate::clock::Stopwatch;
use crate::engines::process::{self, Signal};
use crate::engines::{Cluster, Name, Place, wire};

/// Where MUSIC nodes listen.
const PORT: u16 = 7410;
/// How long the nodes may take until they serve.
const START_TIME: Duration = Duration::from_mins(1);
/// How many records the clients work on, and how many clients a site has.
const KEYS: usize = 4;
const CLIENTS: usize = 3;
/// What etcd needs where sites are far from each other; others pass it over.
const ENVIRONMENT: [&str; 3] = [
    "env",
    "ETCD_HEARTBEAT_INTERVAL=150",
    "ETCD_ELECTION_TIMEOUT=1500",
];

/// All that runs.
pub(crate) struct Stage<'a> {
    pub(super) network: &'a Network,
    programs: &'a Programs,
    has_nodes: bool,
    folder: PathBuf,
    pub(super) engines: Vec<Cluster>,
    clients: Vec<Option<Clients>>,
    /// How many processes of clients there were.
    lives: usize,
    seed: u64,
    mutation: Option<String>,
}

/// A process of clients.
struct Clients {
    child: Child,
    name: String,
}

/// How the processes of clients ended.
pub(super) enum Ending {
    Fine,
    Bad(String),
}

impl<'a> Stage<'a> {
    /// An empty one. Engines are installed in `target`, all else is in `folder`.
    pub(super) fn new(
        deployment: Deployment,
        network: &'a Network,
        programs: &'a Programs,
        (target, folder): (&Path, &Path),
    ) -> Result<Self> {
        let places: Vec<Place> = (0..SITES.len()).map(place).collect();
        let installed = target.join("engines");
        let data = folder.join("engines");
        let servers = deployment.servers().into_iter();
        let engines = servers
            .map(|name| Cluster::new((&installed, &data), name.server(), places.clone()))
            .collect();
        let stage = Self {
            network,
            programs,
            has_nodes: deployment.has_nodes(),
            folder: folder.to_owned(),
            engines,
            clients: SITES.map(|_| None).into(),
            lives: 0,
            seed: 0,
            mutation: None,
        };
        for site in 0..SITES.len() {
            let folder = stage.node_folder(site);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            fs::write(
                folder.join("music.toml"),
                settings(site, deployment.locks(), programs.log),
            )
            .context("cannot write a node's settings")?;
        }
        Ok(stage)
    }

    /// The same with this seed for its clients, and nodes that break this rule.
    pub(super) fn with(mut self, seed: u64, mutation: Option<String>) -> Self {
        self.seed = seed;
        self.mutation = mutation;
        self
    }

    /// Starts everything, and waits until it serves.
    pub(super) fn start(&mut self) -> Result<()> {
        self.start_servers()?;
        (0..SITES.len()).try_for_each(|site| self.start_clients(site))
    }

    /// Starts engines and nodes, and waits until they serve.
    pub(super) fn start_servers(&mut self) -> Result<()> {
        for engine in &self.engines {
            engine.install()?;
            engine.start()?;
        }
        if self.has_nodes {
            self.start_nodes()?;
        }
        Ok(())
    }

    fn start_nodes(&mut self) -> Result<()> {
        let mut init = Command::new(&self.programs.music);
        init.args(["engine", "init", "--config"]);
        init.arg(self.node_folder(0).join("music.toml"));
        crate::shell::run(&mut place(0).command(init))?;
        let stopwatch = Stopwatch::start();
        for site in 0..SITES.len() {
            self.launch(site, Target::Node)?;
        }
        for site in 0..SITES.len() {
            while !serves(site) {
                ensure!(
                    stopwatch.elapsed() < START_TIME && self.runs(site, Target::Node),
                    "the node at {} does not serve: see {}",
                    network::name(site),
                    process::log(&self.node_folder(site)).display()
                );
                thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    fn node_folder(&self, site: usize) -> PathBuf {
        self.folder.join("nodes").join(network::name(site))
    }

    /// Where the pid of a server is noted.
    fn server_folder(&self, site: usize, target: Target) -> PathBuf {
        match target {
            Target::Engine(number) => {
                let engine = self.engines.get(number);
                let node = engine.and_then(|engine| engine.nodes.get(site));
                node.map(|node| node.folder.clone()).unwrap_or_default()
            }
            _ => self.node_folder(site),
        }
    }

    /// Starts a server, or all clients of a site.
    pub(super) fn launch(&mut self, site: usize, target: Target) -> Result<()> {
        match target {
            Target::Links => Ok(()),
            Target::Clients => self.start_clients(site),
            Target::Engine(number) => {
                let engine = self.engines.get(number).context("no such engine")?;
                engine.launch(engine.nodes.get(site).context("no such site")?)
            }
            Target::Node => {
                let mut music = Command::new(&self.programs.music);
                music.args(["serve", "--config", "music.toml"]);
                if let Some(mutation) = &self.mutation {
                    music.args(["--mutation", mutation]);
                }
                process::launch(&mut place(site).command(music), &self.node_folder(site))
            }
        }
    }

    fn start_clients(&mut self, site: usize) -> Result<()> {
        self.lives += 1;
        let name = format!("{}-{}", network::name(site), self.lives);
        let log = self.folder.join("logs").join(&name);
        let log = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let journal = self.folder.join("clients").join(format!("{name}.jsonl"));
        let endpoints: Vec<String> = (site..site + SITES.len())
            .map(|other| endpoint(other % SITES.len()))
            .collect();
        let mut client = Command::new(&self.programs.torture);
        client.args(["client", "--endpoints", &endpoints.join(",")]);
        client.args(["--site", &site.to_string()]);
        client.args(["--life", &self.lives.to_string()]);
        client.args(["--clients", &CLIENTS.to_string()]);
        client.args(["--keys", &KEYS.to_string()]);
        client.args(["--seed", &self.seed.to_string()]);
        client.arg("--journal").arg(journal);
        let mut client = place(site).command(client);
        client.stdin(Stdio::piped()).stdout(Stdio::null());
        let child = client.stderr(log).process_group(0).spawn();
        let child = child.context("cannot start clients")?;
        if let Some(clients) = self.clients.get_mut(site) {
            *clients = Some(Clients { child, name });
        }
        Ok(())
    }

    /// Whether something runs, be it paused.
    pub(super) fn runs(&mut self, site: usize, target: Target) -> bool {
        match target {
            Target::Links => true,
            Target::Clients => match self.clients.get_mut(site) {
                Some(Some(clients)) => matches!(clients.child.try_wait(), Ok(None)),
                _ => false,
            },
            _ => process::runs(&self.server_folder(site, target)),
        }
    }

    /// Ends a server at once.
    pub(super) fn kill(&self, site: usize, target: Target) -> Result<()> {
        process::end([&*self.server_folder(site, target)], Signal::Kill)
    }

    /// Ends the clients of a site at once, and names them.
    pub(super) fn kill_clients(&mut self, site: usize) -> Result<Option<String>> {
        let clients = self.clients.get_mut(site).and_then(Option::take);
        clients.map(Clients::kill).transpose()
    }

    /// Lets something stand still, or go on.
    pub(super) fn set_paused(&self, site: usize, target: Target, paused: bool) -> Result<()> {
        let signal = if paused { Signal::Stop } else { Signal::Cont };
        match target {
            Target::Links => Ok(()),
            Target::Clients => match self.clients.get(site) {
                Some(Some(clients)) => process::signal_all([clients.child.id()], signal),
                _ => Ok(()),
            },
            _ => process::send([&*self.server_folder(site, target)], signal),
        }
    }

    /// Whether what was hit serves again, as far as its own site can tell.
    pub(super) fn has_recovered(&self, site: usize, target: Target) -> bool {
        match target {
            Target::Links | Target::Clients => true,
            Target::Node => serves(site),
            Target::Engine(number) => {
                let engine = self.engines.get(number);
                let node = engine.and_then(|engine| Some((engine, engine.nodes.get(site)?)));
                node.is_some_and(|(engine, node)| {
                    wire::listens(&node.place.host, engine.server.port())
                }) && serves(site)
            }
        }
    }

    /// Whether every engine node serves, together with the others.
    pub(super) fn is_whole(&self) -> bool {
        let mut engines = self.engines.iter();
        engines.all(|engine| engine.nodes.iter().all(|node| engine.server.serves(node)))
            && (0..SITES.len()).all(serves)
    }

    /// The addresses of the sites.
    pub(crate) fn hosts() -> Vec<String> {
        (0..SITES.len()).map(network::address).collect()
    }

    /// The data centre of a site.
    pub(crate) fn datacentre(site: usize) -> String {
        network::name(site).to_owned()
    }

    /// A command as it is given at a site.
    pub(crate) fn at(site: usize, command: Command) -> Command {
        place(site).command(command)
    }

    /// The processes of all servers, by the names of what they run.
    pub(crate) fn pids(&self) -> Vec<(&'static str, u32)> {
        let sites = 0..SITES.len();
        let engines = self.engines.iter().enumerate();
        let mut targets: Vec<_> = engines
            .map(|(number, engine)| (engine.server.name(), Target::Engine(number)))
            .collect();
        targets.push(("music", Target::Node));
        let pid =
            |site, (name, target)| Some((name, process::noted(&self.server_folder(site, target))?));
        let all = targets
            .into_iter()
            .map(|target| sites.clone().filter_map(move |site| pid(site, target)));
        all.flatten().collect()
    }

    /// Ends the engine's node at a site at once, lets others take over what it
    /// led until `done`, and starts it again.
    pub(crate) fn without_engine(
        &mut self,
        name: Name,
        site: usize,
        done: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut engines = self.engines.iter();
        let number = engines.position(|engine| engine.server.name() == name.server().name());
        let target = Target::Engine(number.context("no such engine")?);
        self.kill(site, target)?;
        let result = done();
        self.launch(site, target)?;
        result
    }

    /// Tells all clients that faults are over, and waits until they have shown
    /// that everything can be had.
    pub(super) fn finish(&mut self, time: Duration) -> Result<Vec<Ending>> {
        let stopwatch = Stopwatch::start();
        for clients in self.clients.iter_mut().flatten() {
            drop(clients.child.stdin.take());
        }
        let mut endings = Vec::new();
        for clients in &mut self.clients {
            let Some(mut clients) = clients.take() else {
                continue;
            };
            let status = loop {
                let status = clients
                    .child
                    .try_wait()
                    .context("cannot wait for clients")?;
                if status.is_some() || stopwatch.elapsed() > time {
                    break status;
                }
                thread::sleep(Duration::from_millis(100));
            };
            let name = clients.name.clone();
            endings.push(match status {
                Some(status) if status.success() => Ending::Fine,
                Some(status) => Ending::Bad(format!("clients {name} ended with {status}")),
                None => {
                    clients.kill()?;
                    Ending::Bad(format!("clients {name} had not finished after {time:?}"))
                }
            });
        }
        Ok(endings)
    }

    /// Whether no ticket is left in any queue, else what is said of it.
    pub(super) fn rest(&self) -> Result<Ending> {
        let endpoints: Vec<String> = (0..SITES.len()).map(endpoint).collect();
        let mut rest = Command::new(&self.programs.torture);
        rest.args(["rest", "--endpoints", &endpoints.join(",")]);
        rest.args(["--keys", &KEYS.to_string()]);
        let output = rest.output().context("cannot start music-torture")?;
        if output.status.success() {
            return Ok(Ending::Fine);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Ok(Ending::Bad(text.trim().to_owned()))
    }

    /// The nodes in whose logs a broken invariant is told.
    pub(super) fn panics(&self) -> Vec<String> {
        let told = |site: &usize| {
            let log = fs::read_to_string(process::log(&self.node_folder(*site)));
            log.is_ok_and(|log| log.contains("panicked at"))
        };
        let sites = (0..SITES.len()).filter(told);
        sites
            .map(|site| format!("the node at {} panicked", network::name(site)))
            .collect()
    }

    /// Ends all that runs.
    pub(super) fn clear(&mut self) -> Result<()> {
        for clients in &mut self.clients {
            clients.take().map(Clients::kill).transpose()?;
        }
        let nodes: Vec<PathBuf> = (0..SITES.len())
            .map(|site| self.node_folder(site))
            .collect();
        process::end(nodes.iter().map(|folder| &**folder), Signal::Kill)?;
        self.engines
            .iter()
            .try_for_each(|engine| engine.end(Signal::Kill))
    }
}

impl Clients {
    fn kill(mut self) -> Result<String> {
        self.child.kill().context("cannot end clients")?;
        self.child.wait().context("cannot wait for clients")?;
        Ok(self.name)
    }
}

fn place(site: usize) -> Place {
    let mut prefix = network::prefix(site);
    prefix.extend(ENVIRONMENT.map(str::to_owned));
    Place {
        host: network::address(site),
        datacentre: network::name(site).to_owned(),
        prefix,
    }
}

fn endpoint(site: usize) -> String {
    format!("http://{}:{PORT}", network::address(site))
}

/// Whether a node reads what is at its own site.
fn serves(site: usize) -> bool {
    let host = network::address(site);
    let question = format!(
        "GET /v1/tables/notes/keys/note HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    let answer = wire::ask(&host, PORT, &question).unwrap_or_default();
    ["HTTP/1.1 200", "HTTP/1.1 404"]
        .iter()
        .any(|status| answer.starts_with(status))
}

/// The settings of a site's node.
fn settings(site: usize, locks: &str, log: &str) -> String {
    let name = network::name(site);
    let addresses = |scheme: &str, port: u16| {
        let ordered = (site..site + SITES.len()).map(|other| other % SITES.len());
        let address = |other| format!("\"{scheme}{}:{port}\"", network::address(other));
        ordered.map(address).collect::<Vec<_>>().join(", ")
    };
    let replication = SITES.map(|site| format!("{site} = 1")).join(", ");
    let own = match locks {
        "etcd" => format!("[etcd]\nendpoints = [{}]\n", addresses("http://", 2379)),
        "zookeeper" => format!("[zookeeper]\nendpoints = [{}]\n", addresses("", 2181)),
        _ => String::new(),
    };
    format!(
        "node = \"{name}-1\"\nsite = \"{name}\"\nlisten = \"{}:{PORT}\"\n\
         tables = [{{ name = \"state\", mode = \"critical\" }}, \
         {{ name = \"notes\", mode = \"eventual\" }}]\n\
         [engine]\nstate = \"cassandra\"\nlocks = \"{locks}\"\n\
         [cassandra]\ncontact_points = [{}]\nkeyspace = \"music\"\n\
         replication = {{ {replication} }}\n{own}\
         [log]\nlevel = \"{log}\"\n",
        network::address(site),
        addresses("", 9042)
    )
}
