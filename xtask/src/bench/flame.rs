//! Where the server's processor time goes, as a flame graph.
//!
//! `perf` looks at the server's stacks while `music bench local` runs; inferno draws
//! them. Both are tools, and no part of what is built here: inferno is installed
//! below the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clock::Stopwatch;
use crate::shell;

/// What draws.
const INFERNO: &str = "0.12.8";
/// How often stacks are looked at, a second of each processor.
const LOOKS: &str = "199";
/// How a stack is told, and how much of it is kept, in bytes.
const STACKS: &str = "dwarf,16384";
/// Of which share of all on a function is shown, in percent.
const SHARE_MIN: &str = "0.2";
/// How long the server may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What it takes to draw.
pub(super) struct Flame {
    tools: PathBuf,
    record: PathBuf,
}

impl Flame {
    /// Finds `perf`, and installs what draws below `folder`.
    ///
    /// # Errors
    ///
    /// When `perf` is missing, or inferno does not install.
    pub(super) fn prepare(root: &Path, folder: &Path) -> Result<Self> {
        ensure!(
            shell::is_on_path("perf"),
            "perf is missing, which looks at stacks: apt-get install linux-perf"
        );
        let tools = folder.join("inferno");
        let arguments = ["install", "--locked", "--version", INFERNO, "inferno"];
        let mut install = shell::program(root, "cargo", &arguments);
        shell::run(install.arg("--root").arg(&tools))?;
        Ok(Self {
            tools,
            record: folder.join("perf.data"),
        })
    }

    /// Runs a benchmark that starts a server, and draws the server into a file.
    ///
    /// # Errors
    ///
    /// When it starts none, or a tool fails.
    pub(super) fn draw(&self, mut benchmark: Command, svg: &Path) -> Result<()> {
        let mut benchmark = benchmark
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the benchmark")?;
        let recorded = self.record(benchmark.id());
        ended(benchmark.wait(), "the benchmark")?;
        recorded?;
        let script = ["script", "--no-inline", "--input"];
        let mut stacks = Command::new("perf");
        stacks.args(script).arg(&self.record);
        let mut stacks = piped(stacks.stderr(Stdio::null()))?;
        let mut folded = Command::new(self.tools.join("bin/inferno-collapse-perf"));
        let mut folded = piped(folded.stdin(output(&mut stacks)?))?;
        let file = File::create(svg).with_context(|| format!("cannot write {}", svg.display()))?;
        let title = "MUSIC, local gets and eventual puts";
        let drawn = Command::new(self.tools.join("bin/inferno-flamegraph"))
            .args(["--title", title, "--minwidth", SHARE_MIN])
            .stdin(output(&mut folded)?)
            .stdout(file)
            .status();
        ended(drawn, "inferno-flamegraph")?;
        ended(folded.wait(), "inferno-collapse-perf")?;
        ended(stacks.wait(), "perf script")?;
        fs::remove_file(&self.record).context("cannot remove what perf recorded")?;
        println!("{}", svg.display());
        Ok(())
    }

    /// Records the server of a benchmark, until it ends.
    fn record(&self, benchmark: u32) -> Result<()> {
        let server = server_of(benchmark)?;
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "--freq", LOOKS, "--event", "cpu-clock"]);
        perf.args(["--call-graph", STACKS, "--pid", &server, "--output"]);
        shell::run(perf.arg(&self.record))
    }
}

/// The process that a process has started.
fn server_of(process: u32) -> Result<String> {
    let children = format!("/proc/{process}/task/{process}/children");
    let waited = Stopwatch::start();
    while waited.elapsed() < PATIENCE {
        let children = fs::read_to_string(&children).context("the benchmark has ended")?;
        if let Some(server) = children.split_whitespace().next() {
            return Ok(server.to_owned());
        }
        thread::sleep(LOOK_EVERY);
    }
    bail!("the benchmark has started no server within {PATIENCE:?}")
}

fn piped(command: &mut Command) -> Result<Child> {
    let child = command.stdout(Stdio::piped()).spawn();
    child.with_context(|| format!("cannot start {}", command.get_program().display()))
}

fn output(child: &mut Child) -> Result<Stdio> {
    let output = child.stdout.take().context("a tool has no output")?;
    Ok(output.into())
}

fn ended(status: std::io::Result<std::process::ExitStatus>, what: &str) -> Result<()> {
    let status = status.with_context(|| format!("cannot run {what}"))?;
    ensure!(status.success(), "{what} failed: {status}");
    Ok(())
}
