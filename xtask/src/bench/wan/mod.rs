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
mod ground;
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
use crate::torture::{self, Deployment, Stage};

/// The sites.
const SITES: [&str; 3] = ["Ohio", "N. California", "Oregon"];
/// How long a system works before it is measured: Java compiles what it runs.
const WARM_UP: Duration = Duration::from_secs(5);

/// What to measure. All of it takes half an hour.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench wan
  cargo xtask bench wan --system music-cassandra,etcd --scenario home,turn --puts 1,10 --value-bytes 256 --seconds 3")]
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
    let sites: Vec<Site> = (0..SITES.len())
        .map(|site| Site::of(site, &links))
        .collect();
    let systems = all_or(System::value_variants(), &wan.system);
    let programs = Programs::build(root, &folder, build, &systems)?;
    let mut measured = Vec::new();
    let mut rest = systems.as_slice();
    while let Some((first, others)) = rest.split_first() {
        let deployment = first.deployment();
        // Those on the same servers come one after the other.
        let same = others
            .iter()
            .take_while(|other| other.deployment() == deployment);
        let (now, later) = rest
            .split_at_checked(same.count() + 1)
            .unwrap_or((rest, &[]));
        rest = later;
        let measure = |system: System, ground: &Ground| {
            measured.extend(wan.measure(system, ground, &sites)?);
            Ok(())
        };
        if !on_deployment(root, (deployment, &wan.profile), &programs, now, measure)? {
            return Ok(());
        }
    }
    let report = Report {
        command: command(),
        machine: summary::machine(),
        profile: wan.profile.clone(),
        measured,
    };
    wan.keep(root, &report)
}

/// Lets a deployment serve, and measures systems on it; false where that
/// cannot be done here.
fn on_deployment(
    root: &Path,
    (deployment, profile): (Option<Deployment>, &str),
    programs: &Programs,
    systems: &[System],
    mut measure: impl FnMut(System, &Ground) -> Result<()>,
) -> Result<bool> {
    let Some(deployment) = deployment else {
        let data = shell::target(root)?.join("bench/data-wan");
        let ground = Ground::embedded(programs, &data, profile)?;
        systems
            .iter()
            .try_for_each(|system| measure(*system, &ground))?;
        return Ok(true);
    };
    let music = programs.music.clone();
    let links = torture::links(profile)?;
    torture::serve(
        root,
        (deployment, profile),
        music,
        |stage: &mut Stage<'_>| {
            systems.iter().try_for_each(|system| {
                leader::place(*system, programs, stage)?;
                measure(
                    *system,
                    &Ground::at_sites(*system, programs, stage, &links)?,
                )
            })
        },
    )
}

impl Wan {
    /// All cases of a system.
    fn measure(&self, system: System, ground: &Ground, sites: &[Site]) -> Result<Vec<Measured>> {
        let scenarios = all_or(Scenario::value_variants(), &self.scenario);
        let hows = all_or(How::value_variants(), &self.how);
        let choice = Choice {
            scenarios: &scenarios,
            puts: &self.puts,
            value_bytes: &self.value_bytes,
            hows: &hows,
            contenders: &self.clients,
        };
        self.warm_up(ground);
        let cases = scenario::cases(&choice, system).into_iter().enumerate();
        let measured = cases.map(|(number, case)| {
            let measured = self.case((system, ground, sites), case, &number.to_string())?;
            println!("{}", measured.text());
            Ok(measured)
        });
        measured.collect()
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
        drive(ground, &case, "warm", amount).run(&Record::default());
    }

    fn case(
        &self,
        (system, ground, sites): (System, &Ground, &[Site]),
        case: Case,
        name: &str,
    ) -> Result<Measured> {
        let drive = drive(ground, &case, name, self.amount());
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
        let refused = report
            .measured
            .iter()
            .filter(|measured| measured.refused.is_some());
        let refused = refused.count();
        ensure!(
            refused == 0,
            "{refused} of {} results are refused: the network was not what it should be",
            report.measured.len()
        );
        Ok(())
    }
}

/// This command, as it was typed.
fn command() -> String {
    let arguments = std::env::args().skip(1);
    let words = std::iter::once("cargo xtask".to_owned()).chain(arguments);
    words.collect::<Vec<_>>().join(" ")
}

fn drive<'a>(ground: &'a Ground, case: &'a Case, name: &'a str, amount: Amount) -> Drive<'a> {
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
