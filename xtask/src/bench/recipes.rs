//! `cargo xtask bench recipes`: recipes beside those of etcd's and ZooKeeper's
//! own clients, on the very servers that keep MUSIC's queues.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::shell;
use crate::torture::{self, Deployment, Stage};

/// The client of ZooKeeper.
const KAZOO: &str = "kazoo==2.11.0";
/// The sites, in the order of their addresses.
const SITES: [&str; 3] = ["Ohio", "N. California", "Oregon"];

/// How recipes are measured.
#[derive(Args)]
pub(crate) struct Recipes {
    /// How often each is done at each site
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// The delays between the sites, by the name of a profile
    #[arg(long, default_value = "lUs")]
    profile: String,
}

/// What was measured of one system.
struct Measured {
    system: String,
    rows: Vec<Value>,
}

/// Measures both deployments, and prints and keeps what came out.
///
/// # Errors
///
/// When something is missing or does not start.
pub(crate) fn run(root: &Path, recipes: &Recipes, music: &Path) -> Result<()> {
    let folder = shell::target(root)?.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut all = Vec::new();
    for deployment in [Deployment::CassandraEtcd, Deployment::CassandraZooKeeper] {
        let at = (deployment, recipes.profile.as_str());
        let music = music.to_owned();
        let measure = |_: &mut Stage<'_>| {
            let hosts = &Stage::hosts();
            all.push(Measured {
                system: format!("MUSIC, {}", deployment.name()),
                rows: of_music(&music, hosts, recipes.count)?,
            });
            all.push(match deployment {
                Deployment::CassandraZooKeeper => Measured {
                    system: "ZooKeeper, kazoo".to_owned(),
                    rows: of_zookeeper(root, &folder, hosts, recipes.count)?,
                },
                _ => Measured {
                    system: "etcd, clientv3".to_owned(),
                    rows: of_etcd(root, &folder, hosts, recipes.count)?,
                },
            });
            Ok(())
        };
        if !torture::serve(root, at, music.clone(), measure)? {
            return Ok(());
        }
    }
    let kept = folder.join("recipes.json");
    let reports: Vec<Value> = all.iter().map(report).collect();
    fs::write(&kept, serde_json::to_vec_pretty(&reports)?).context("cannot keep the results")?;
    println!("{}\nkept in {}", table(&all), kept.display());
    Ok(())
}

fn report(measured: &Measured) -> Value {
    json!({ "system": measured.system, "rows": measured.rows })
}

fn rows(command: &mut Command) -> Result<Vec<Value>> {
    serde_json::from_str(&shell::output(command)?).context("what was measured is no list")
}

fn joined(hosts: &[String], address: impl Fn(&String) -> String) -> String {
    hosts.iter().map(address).collect::<Vec<_>>().join(",")
}

/// Builds a program of etcd's clients.
///
/// # Errors
///
/// When Go is missing, or it does not build.
pub(super) fn build_go(root: &Path, program: &Path, package: &str) -> Result<()> {
    let sources = root.join("bench/etcd");
    let mut build = shell::program(&sources, "go", &["build", "-buildvcs=false", "-o"]);
    shell::run(build.arg(program).arg(package))
}

/// Installs ZooKeeper's client for Python; the Python that has it.
///
/// # Errors
///
/// When that fails.
pub(super) fn kazoo(root: &Path, folder: &Path) -> Result<PathBuf> {
    let environment = folder.join("kazoo");
    let python = environment.join("bin/python");
    if !python.is_file() {
        let made = environment.display().to_string();
        shell::run(&mut shell::program(root, "python3", &["-m", "venv", &made]))?;
    }
    let mut install = Command::new(&python);
    shell::run(install.args(["-m", "pip", "install", "--quiet", KAZOO]))?;
    Ok(python)
}

fn of_music(music: &Path, hosts: &[String], count: u32) -> Result<Vec<Value>> {
    let endpoints = joined(hosts, |host| format!("http://{host}:7410"));
    let mut bench = Command::new(music);
    bench.args(["--json", "bench", "recipes", "--endpoint", &endpoints]);
    rows(bench.args(["--count", &count.to_string()]))
}

fn of_etcd(root: &Path, folder: &Path, hosts: &[String], count: u32) -> Result<Vec<Value>> {
    let program = folder.join("etcd-recipes");
    build_go(root, &program, "./recipes")?;
    let endpoints = joined(hosts, |host| format!("{host}:2379"));
    let mut bench = Command::new(program);
    bench.args(["-endpoints", &endpoints, "-count", &count.to_string()]);
    rows(&mut bench)
}

fn of_zookeeper(root: &Path, folder: &Path, hosts: &[String], count: u32) -> Result<Vec<Value>> {
    let python = kazoo(root, folder)?;
    let hosts = joined(hosts, |host| format!("{host}:2181"));
    let mut bench = Command::new(&python);
    bench.arg(root.join("bench/zookeeper/recipes.py"));
    rows(bench.args(["--hosts", &hosts, "--count", &count.to_string()]))
}

/// A line for each recipe and system: median and p99 at each site.
fn table(all: &[Measured]) -> String {
    let mut lines: BTreeMap<(String, usize), Vec<String>> = BTreeMap::new();
    for (number, measured) in all.iter().enumerate() {
        for row in &measured.rows {
            let recipe = row.get("recipe").and_then(Value::as_str);
            let ms = |name: &str| row.get(name).and_then(Value::as_f64).unwrap_or_default();
            let cell = format!("{:.0} / {:.0}", ms("median_ms"), ms("p99_ms"));
            let line = (recipe.unwrap_or_default().to_owned(), number);
            lines.entry(line).or_default().push(cell);
        }
    }
    let head = format!(
        "| recipe | system | {} |\n|---|---|---|---|---|",
        SITES.join(" | ")
    );
    let lines = lines.into_iter().map(|((recipe, number), cells)| {
        let system = all.get(number).map_or("", |measured| &measured.system);
        format!("| {recipe} | {system} | {} |", cells.join(" | "))
    });
    let lines: Vec<_> = std::iter::once(head).chain(lines).collect();
    lines.join("\n")
}
