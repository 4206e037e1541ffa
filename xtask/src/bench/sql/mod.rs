//! `cargo xtask bench sql`: transactions on SQL databases at three sites, mdbc
//! beside MariaDB with Galera and PostgreSQL with synchronous replication.
//!
//! ```text
//!  cases ──▶ measure ──orders──▶ clients at each site (bench/sql) ──▶ servers at each site
//!               │
//!               ├── judge: do all sites agree, was nothing lost?   probe: did the network hold?
//!               ▼
//!            report ──▶ sql.json, sql-*.svg, a table
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`system`] | what is measured |
//! | [`mdbc`], [`galera`], [`postgres`] | its servers, and how clients reach them |
//! | [`servers`] | processes at the sites, ended with the run |
//! | [`clients`] | the clients of a site, orders and answers |
//! | [`workload`] | what is done |
//! | [`measure`] | a case, from its tables to its result |
//! | [`judge`] | what makes a result none |
//! | [`report`], [`plot`] | what is kept, and shown |

mod clients;
mod galera;
mod judge;
mod mdbc;
mod measure;
mod plot;
mod postgres;
mod report;
mod servers;
mod system;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum as _};

use self::clients::Program;
use self::measure::{Amount, Measurer};
use self::report::{Measured, Report};
use self::servers::Folder;
use self::system::{Deployment, System};
use self::workload::{Case, Workload};
use super::{summary, wan};
use crate::{packages, shell, torture};

/// What to measure. All of it takes a quarter of an hour.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench sql
  cargo xtask bench sql --quick --out target/bench/sql
  cargo xtask bench sql --only mdbc,galera --workload own,hot")]
pub(crate) struct Sql {
    /// Which systems; those that stand for their kind if left out
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<System>,
    /// Which workloads; all if left out
    #[arg(long, value_delimiter = ',', value_enum)]
    workload: Vec<Workload>,
    /// How many clients each site has
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: Vec<u32>,
    /// How long each measurement goes on
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How long clients work before
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    warm_up: u32,
    /// Two seconds each, after one: whether all works, not how fast
    #[arg(long, conflicts_with_all = ["seconds", "warm_up"])]
    quick: bool,
    /// A `music` that is built already
    #[arg(long, value_name = "PROGRAM")]
    music: Option<PathBuf>,
    /// The delays between the sites, by the name of a profile
    #[arg(long, default_value = "lUs")]
    profile: String,
    /// Where results and plots are written
    #[arg(long, default_value = "docs/performance", value_name = "FOLDER")]
    out: PathBuf,
}

/// Measures, and writes what came out. What is refused is kept, but not shown.
///
/// # Errors
///
/// When something is missing or does not start, and when a result is refused.
pub(crate) fn run(root: &Path, sql: &Sql, build: impl FnOnce() -> Result<PathBuf>) -> Result<()> {
    packages::ensure_debian_packages(root, packages::NEEDED_BY_BENCH_SQL)?;
    let target = shell::target(root)?;
    let systems = sql.systems();
    let is_music = |system: &System| system.deployment().of_music().is_some();
    let music = match &sql.music {
        Some(music) => fs::canonicalize(music).context("there is no such --music")?,
        None if systems.iter().any(is_music) => build()?,
        None => PathBuf::new(),
    };
    let program = Program::build(root, &target.join("bench/sql-load"), sql.quick)?;
    let mut run = Run {
        root,
        sql,
        music,
        program,
        folder: target.join("bench/sql-run"),
        measurer: Measurer::new(
            sql.amount(),
            torture::links(&sql.profile)?,
            torture::stop()?,
        ),
    };
    let mut problems = Vec::new();
    for systems in systems.chunk_by(|one, other| one.deployment() == other.deployment()) {
        match run.on_deployment(systems) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // What the others show is not lost by it.
            Err(error) => {
                println!("FAILED: {error:#}");
                problems.push(format!("{error:#}"));
            }
        }
        if run.measurer.is_stopped() {
            break;
        }
    }
    let report = Report {
        command: wan::command(),
        machine: summary::machine(),
        profile: sql.profile.clone(),
        evidence: run.measurer.evidence,
        measured: run.measurer.measured,
    };
    problems.extend(report.refused());
    sql.keep(root, &report)?;
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(())
}

/// A run on its way.
struct Run<'a> {
    root: &'a Path,
    sql: &'a Sql,
    music: PathBuf,
    program: Program,
    folder: PathBuf,
    measurer: Measurer,
}

impl Run<'_> {
    /// Lets servers serve, and measures systems on them; false where that
    /// cannot be done here.
    fn on_deployment(&mut self, systems: &[System]) -> Result<bool> {
        let Some(deployment) = systems.first().map(|system| system.deployment()) else {
            return Ok(true);
        };
        println!("\n== {}", deployment.name());
        let folder = Folder::new(&self.folder.join(deployment.name()))?;
        let (root, profile) = (self.root, &self.sql.profile);
        let served = match deployment.of_music() {
            Some(on) => {
                let music = self.music.clone();
                let on_postgres = deployment == Deployment::MdbcPostgres;
                if on_postgres && !mdbc::knows_postgres(&folder, &music)? {
                    println!("skipped: this mdbc has no PostgreSQL as its engine");
                    return Ok(true);
                }
                torture::serve(root, (on, profile), music.clone(), |_| {
                    self.measure(systems, mdbc::start(&folder, &music, on_postgres)?)
                })?
            }
            None => torture::at_sites(root, profile, || {
                let servers = match deployment {
                    Deployment::Galera => galera::start(&folder),
                    _ => postgres::start(&folder),
                };
                self.measure(systems, servers?)
            })?,
        };
        folder.remove()?;
        Ok(served)
    }

    fn measure(&mut self, systems: &[System], servers: system::Ready) -> Result<()> {
        for system in systems {
            let cases = self.sql.cases(*system);
            self.measurer
                .all(*system, &servers, &self.program, &cases)?;
        }
        servers.end()
    }
}

impl Sql {
    /// Those on the same servers come one after the other.
    fn systems(&self) -> Vec<System> {
        let mut systems = self.only.clone();
        if systems.is_empty() {
            let all = System::value_variants().iter().copied();
            systems = all.filter(|system| system.is_usual()).collect();
        }
        systems.sort();
        systems.dedup();
        systems
    }

    fn amount(&self) -> Amount {
        let (warm_up, time) = if self.quick {
            (1, 2)
        } else {
            (self.warm_up, self.seconds)
        };
        Amount {
            is_trial: self.quick,
            warm_up: Duration::from_secs(warm_up.into()),
            time: Duration::from_secs(time.into()),
        }
    }

    fn cases(&self, system: System) -> Vec<Case> {
        let chosen = Workload::value_variants().iter();
        let chosen =
            chosen.filter(|workload| self.workload.is_empty() || self.workload.contains(workload));
        let cases = chosen.flat_map(|workload| workload.cases(&self.clients));
        cases
            .filter(|case| system.differs_in(case.workload))
            .collect()
    }

    /// Writes results, plots and the table.
    fn keep(&self, root: &Path, report: &Report) -> Result<()> {
        let folder = root.join(&self.out);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut json = serde_json::to_vec_pretty(report)?;
        json.push(b'\n');
        fs::write(folder.join("sql.json"), json).context("cannot keep the results")?;
        plot::all(&folder, report)?;
        println!("\n{}\n\nkept in {}", report.table(), self.out.display());
        Ok(())
    }
}

/// What the sites are called.
fn site_name(site: usize) -> &'static str {
    wan::SITES.get(site).copied().unwrap_or_default()
}

/// All results of one case, by system.
fn of_case(all: &[Measured], case: Case) -> impl Iterator<Item = &Measured> {
    all.iter().filter(move |measured| measured.case == case)
}
