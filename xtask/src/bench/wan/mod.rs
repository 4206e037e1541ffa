//! `cargo xtask bench wan`: critical sections at three sites, MUSIC beside its
//! peers.
//!
//! ```text
//!  cases ──▶ drive ──a line a section──▶ clients at each site ──▶ servers at each site
//!              │                                                        │
//!              ▼          meter: processor time, network ◀──────────────┘
//!            report ──▶ wan.json, *.svg      probe: is the network what it should be?
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`system`] | what is measured, and its clients |
//! | [`leader`] | where a leader is |
//! | [`scenario`] | what is done |
//! | [`drive`] | who does which section when |
//! | [`agent`] | the clients of a site |
//! | [`ground`] | all that runs for a system |
//! | [`probe`] | whether the network ran late |
//! | [`meter`] | processor time, bytes and messages |
//! | [`latency`], [`report`] | what is kept |
//! | [`plot`] | and shown |

mod agent;
mod drive;
pub(super) mod ground;
mod latency;
mod leader;
mod meter;
mod plot;
pub(super) mod probe;
mod report;
mod scenario;
mod system;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum as _};

use self::agent::How;
use self::drive::{Amount, Drive, Record};
use self::ground::Ground;
use self::report::{Measured, Report, Site};
use self::scenario::{Case, Choice, Scenario};
use self::system::{Programs, System};
use super::summary;
use crate::shell;
use crate::torture::{self, Deployment, Link};

/// The sites.
pub(super) const SITES: [&str; 3] = ["Ohio", "N. California", "Oregon"];
/// How long a system works before it is measured: Java compiles what it runs.
const WARM_UP: Duration = Duration::from_secs(5);

/// What to measure. All of it takes three quarters of an hour.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench wan
  cargo xtask bench wan --system music-cassandra,etcd --puts 1,10 --value-bytes 256 --seconds 3
  cargo xtask bench wan --system etcd --scenario home,turn --puts 1,10 --value-bytes 256")]
pub(crate) struct Wan {
    /// Which systems; all if left out
    #[arg(long, value_delimiter = ',', value_enum)]
    system: Vec<System>,
    /// Which scenarios; all if left out
    #[arg(long, value_delimiter = ',', value_enum)]
    scenario: Vec<Scenario>,
    /// How many puts a section makes, one after the other or all together
    #[arg(long, value_delimiter = ',', default_value = "1,10,100")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    puts: Vec<u32>,
    /// The sizes of values
    #[arg(long, value_delimiter = ',', default_value = "256,4096,262144")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    value_bytes: Vec<u32>,
    /// How several puts are made; all ways if left out
    #[arg(long, value_delimiter = ',', value_enum)]
    how: Vec<How>,
    /// How many clients of each site want the one key that is contended
    #[arg(long, value_delimiter = ',', default_value = "1,4,16")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: Vec<u32>,
    /// How long each measurement goes on
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How many sections there are at least at each site, where they take long
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count_min: u32,
    /// How many hand-overs there are between each two sites
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    hand_overs: u32,
    /// The delays between the sites, by the name of a profile
    #[arg(long, default_value = "lUs")]
    profile: String,
    /// Where results and plots are written
    #[arg(long, default_value = "docs/performance", value_name = "FOLDER")]
    out: PathBuf,
}

/// Measures, and writes what came out. What the network spoiled is kept, but
/// not shown.
///
/// # Errors
///
/// When something is missing or does not start, and when a result is refused.
pub(crate) fn run(root: &Path, wan: &Wan, build: impl FnOnce() -> Result<PathBuf>) -> Result<()> {
    let folder = shell::target(root)?.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let links = torture::links(&wan.profile)?;
    let sites = (0..SITES.len()).map(|site| Site::of(site, &links));
    let mut systems = all_or(System::value_variants(), &wan.system);
    // Those on the same servers come one after the other.
    systems.sort_by_key(|system| system.deployment().map(Deployment::name));
    let mut run = Run {
        root,
        wan,
        programs: Programs::build(root, &folder, build, &systems)?,
        sites: sites.collect(),
        links,
        stop: torture::stop()?,
        measured: Vec::new(),
    };
    let mut problems = Vec::new();
    for systems in systems.chunk_by(|one, other| one.deployment() == other.deployment()) {
        match run.on_deployment(systems) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // What the others show is not lost by it.
            Err(error) => problems.push(format!("{error:#}")),
        }
        if run.is_stopped() {
            break;
        }
    }
    let report = Report {
        command: command(),
        machine: summary::machine(),
        profile: wan.profile.clone(),
        measured: run.measured,
    };
    problems.extend(report.refused());
    wan.keep(root, &report)?;
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(())
}

/// A run on its way.
struct Run<'a> {
    root: &'a Path,
    wan: &'a Wan,
    programs: Programs,
    sites: Vec<Site>,
    links: Vec<Link>,
    /// Set by Ctrl-C.
    stop: Arc<AtomicBool>,
    measured: Vec<Measured>,
}

impl Run<'_> {
    /// Lets a deployment serve, and measures systems on it; false where that
    /// cannot be done here.
    fn on_deployment(&mut self, systems: &[System]) -> Result<bool> {
        let profile = &self.wan.profile;
        let deployment = systems.iter().find_map(|system| system.deployment());
        let Some(deployment) = deployment else {
            let data = shell::target(self.root)?.join("bench/data-wan");
            let ground = Ground::embedded(&self.programs, &data, profile)?;
            let mut systems = systems.iter();
            systems.try_for_each(|system| self.measure(*system, &ground))?;
            return Ok(true);
        };
        let (root, music) = (self.root, self.programs.music.clone());
        torture::serve(root, (deployment, profile), music, |stage| {
            systems.iter().try_for_each(|system| {
                leader::place(*system, &self.programs, stage)?;
                let ground = Ground::at_sites(*system, &self.programs, stage, &self.links)?;
                self.measure(*system, &ground)
            })
        })
    }

    /// Whether somebody has pressed Ctrl-C.
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// All cases of a system.
    fn measure(&mut self, system: System, ground: &Ground) -> Result<()> {
        self.wan.warm_up(ground);
        let cases = self.wan.cases(system).into_iter().enumerate();
        for (number, case) in cases {
            ensure!(
                !self.stop.load(Ordering::Relaxed),
                "the run was interrupted"
            );
            let on = (system, ground, &*self.sites);
            let measured = self.wan.case(on, case, &number.to_string())?;
            println!("{}", measured.text());
            self.measured.push(measured);
        }
        Ok(())
    }
}

impl Wan {
    /// What is to be done with a system.
    fn cases(&self, system: System) -> Vec<Case> {
        let choice = Choice {
            scenarios: &all_or(Scenario::value_variants(), &self.scenario),
            puts: &self.puts,
            value_bytes: &self.value_bytes,
            hows: &all_or(How::value_variants(), &self.how),
            contenders: &self.clients,
        };
        scenario::cases(&choice, system)
    }

    fn amount(&self) -> Amount {
        Amount {
            time: Duration::from_secs(self.seconds.into()),
            count_min: self.count_min,
            hand_overs: self.hand_overs,
        }
    }

    /// Sections that nobody looks at.
    fn warm_up(&self, ground: &Ground) {
        let case = Case {
            scenario: Scenario::Throughput,
            puts: 10,
            value_bytes: 256,
            how: How::OneByOne,
            clients: 4,
        };
        let amount = Amount {
            time: WARM_UP,
            ..self.amount()
        };
        driven(ground, &case, "warm", amount).run(&Record::default());
    }

    fn case(
        &self,
        (system, ground, sites): (System, &Ground, &[Site]),
        case: Case,
        name: &str,
    ) -> Result<Measured> {
        let drive = driven(ground, &case, name, self.amount());
        let record = Record::default();
        let prepared = drive.prepare();
        let before = ground.meter.read()?;
        let mut window = 0..0;
        let mut rows = Vec::new();
        if let Err(error) = prepared {
            record.fail(&error);
        } else {
            window = drive.run(&record);
            rows = report::rows(sites, &record.so_far(), &window, case.scenario.is_of_rate());
        }
        if case.scenario == Scenario::Throughput {
            let per_second = SITES.map(|name| {
                let mut rows = rows.iter().filter(|row| row.site == name);
                rows.next().map_or(0.0, |row| row.sections_per_second)
            });
            let fixed = Record::default();
            let open = drive.open_loop(&per_second, &fixed);
            rows.extend(report::rows(sites, &fixed.so_far(), &open, false));
            window.end = open.end;
            record.append(&fixed);
        }
        let after = ground.meter.read()?;
        let all = record.so_far();
        let probed = (window.start, window.end);
        let emulation = ground.prober.judge(probed);
        let moved = (!leader::is_in_place(system)).then(|| "the leader moved".to_owned());
        let failures = record.failures();
        Ok(Measured {
            system,
            rows,
            cost: ground.meter.cost(
                (&before, &after),
                all.len() as u64 * case.scenario.sections_each(),
                ground.prober.count(probed),
            ),
            longest_gap_ms: report::longest_gap_ms(&all, &window),
            failed: failures.len(),
            failure: failures.into_iter().next(),
            refused: emulation.late.clone().or(moved),
            emulation,
            case,
        })
    }

    /// Writes results and plots.
    fn keep(&self, root: &Path, report: &Report) -> Result<()> {
        let folder = root.join(&self.out);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut json = serde_json::to_vec_pretty(report)?;
        json.push(b'\n');
        fs::write(folder.join("wan.json"), json).context("cannot keep the results")?;
        plot::all(&folder, report)?;
        println!("kept in {}", self.out.display());
        Ok(())
    }
}

/// This command, as it was typed.
pub(super) fn command() -> String {
    let arguments = std::env::args().skip(1);
    let words = std::iter::once("cargo xtask".to_owned()).chain(arguments);
    words.collect::<Vec<_>>().join(" ")
}

fn driven<'a>(ground: &'a Ground, case: &'a Case, name: &'a str, amount: Amount) -> Drive<'a> {
    Drive {
        agents: &ground.agents,
        case,
        name,
        amount,
        sites: SITES,
    }
}

/// What was chosen, all if nothing was.
fn all_or<T: Copy>(all: &[T], chosen: &[T]) -> Vec<T> {
    if chosen.is_empty() { all } else { chosen }.to_vec()
}
