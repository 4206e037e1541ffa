//! `cargo xtask bench`: MUSIC beside its peers on this machine.
//!
//! | module | what it does |
//! |---|---|
//! | [`recipes`] | recipes on deployments at three sites |
//! | [`wan`] | critical sections on deployments at three sites |
//! | [`etcd`] | starts etcd and the load of its own client, and stops them |
//! | [`sql`] | transactions on SQL databases at three sites |
//! | [`flame`] | where the processor's time goes |
//! | [`bars`] | pictures |
//! | [`summary`] | medians of runs, ratios, the table |

mod bars;
mod etcd;
mod flame;
mod recipes;
mod sql;
mod summary;
mod wan;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::shell;
use etcd::Etcd;
use flame::Flame;
use summary::{Run, runs};

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Local gets and eventual puts beside etcd's serializable gets and puts
    Local(Local),
    /// Recipes beside those of etcd and ZooKeeper, at three sites; as root
    Recipes(recipes::Recipes),
    /// Critical sections beside those of etcd, ZooKeeper and Cassandra, at three sites; as root
    Wan(wan::Wan),
    /// Transactions of mdbc beside those of Galera and PostgreSQL, at three sites; as root
    Sql(sql::Sql),
    /// Measure round trips to hosts, for `wan` and `sql`
    #[command(hide = true)]
    Probe {
        /// Where to
        hosts: Vec<Ipv4Addr>,
    },
    /// Critical sections under delays, in rounds
    Sections {
        /// Arguments of `music bench sections`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// A comparison.
#[derive(Args)]
pub(crate) struct Local {
    /// How often each system is measured, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long to count, for gets and for puts each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How many connections there are, each with one request at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Connections of etcd's clients, shared by as many callers; as many if left out
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    etcd_connections: Option<u32>,
    /// Members of etcd; MUSIC has three replicas
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3))]
    etcd_members: u32,
    /// Draw where the processor time of MUSIC's server goes into this file, and
    /// compare nothing
    #[arg(long, value_name = "SVG")]
    flame: Option<PathBuf>,
}

/// Measures.
///
/// # Errors
///
/// When something is missing or does not build, and when a run fails.
pub(crate) fn run(root: &Path, bench: &Bench) -> Result<()> {
    match bench {
        Bench::Local(local) => match &local.flame {
            Some(svg) => draw(root, local, svg),
            None => compare(root, local),
        },
        Bench::Recipes(recipes) => {
            let music = build(root, &shell::target(root)?)?;
            recipes::run(root, recipes, Path::new(&music))
        }
        Bench::Wan(wan) => {
            let target = shell::target(root)?;
            wan::run(root, wan, || build(root, &target).map(PathBuf::from))
        }
        Bench::Sql(sql) => {
            let target = shell::target(root)?;
            sql::run(root, sql, || build(root, &target).map(PathBuf::from))
        }
        Bench::Probe { hosts } => wan::probe::run(hosts),
        Bench::Sections { arguments } => {
            let music = build(root, &shell::target(root)?)?;
            let mut command = shell::program(root, &music, &["bench", "sections"]);
            shell::run(command.args(arguments))
        }
    }
}

fn compare(root: &Path, local: &Local) -> Result<()> {
    let target = shell::target(root)?;
    let etcd = Etcd::find(root, &target.join("bench"), local.etcd_members)?;
    etcd.prepare()?;
    let music = build(root, &target)?;
    let mut all = Vec::new();
    for round in 1..=local.rounds {
        println!("\n== round {round} of {}", local.rounds);
        all.extend(measure_music(
            root,
            &music,
            &target.join("bench/data"),
            local,
        )?);
        all.extend(etcd.measure(&load(local, local.etcd_connections))?);
    }
    println!("\n{}", summary::machine());
    println!(
        "{} connections, closed loop, values of 256 bytes, 10,000 keys; etcd: {} of {}; \
         medians of {} runs of {} s\n",
        local.connections,
        if local.etcd_members == 1 {
            "1 member"
        } else {
            "3 members"
        },
        format_args!(
            "{} connections",
            local.etcd_connections.unwrap_or(local.connections)
        ),
        local.rounds,
        local.seconds
    );
    println!("{}", summary::table(&all));
    Ok(())
}

fn draw(root: &Path, local: &Local, svg: &Path) -> Result<()> {
    let target = shell::target(root)?;
    let flame = Flame::prepare(root, &target.join("bench"))?;
    let music = build(root, &target)?;
    let data = target.join("bench/data");
    let drawn = flame.draw(benchmark(root, &music, &data, local)?, svg);
    remove(&data)?;
    drawn
}

/// The options of both loads.
fn load(local: &Local, connections: Option<u32>) -> Vec<String> {
    let connections = connections.unwrap_or(local.connections);
    [("--connections", connections), ("--seconds", local.seconds)]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value.to_string()])
        .collect()
}

/// `music bench local`, on an empty data directory.
fn benchmark(root: &Path, music: &str, data: &Path, local: &Local) -> Result<Command> {
    remove(data)?;
    fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    let mut command = shell::program(root, music, &["bench", "local", "--json", "--data"]);
    command.arg(data).args(load(local, None));
    Ok(command)
}

/// One run of it, whose data directory goes with it.
fn measure_music(root: &Path, music: &str, data: &Path, local: &Local) -> Result<Vec<Run>> {
    let measured = shell::output(&mut benchmark(root, music, data, local)?);
    remove(data)?;
    let measured = runs(&measured?)?;
    summary::show(&measured);
    Ok(measured)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Builds `music` as users get it, and says where it is.
fn build(root: &Path, target: &Path) -> Result<String> {
    let arguments = ["build", "--release", "--locked", "--package", "music-cli"];
    shell::run(&mut shell::program(root, "cargo", &arguments))?;
    Ok(target.join("release/music").display().to_string())
}
