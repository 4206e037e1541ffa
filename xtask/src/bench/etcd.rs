//! etcd, started by the scripts beside the repository, and the load of its
//! own client.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::summary::{self, Run, runs};
use crate::shell;

/// Addresses that nothing else is likely to use; members listen nowhere else.
const HOSTS: [&str; 3] = ["127.0.0.21", "127.0.0.22", "127.0.0.23"];
/// The port of the members.
const PORT: u16 = 2379;

/// What it takes to measure etcd.
pub(super) struct Etcd {
    scripts: PathBuf,
    sources: PathBuf,
    folder: PathBuf,
    members: u32,
}

impl Etcd {
    /// Finds what is needed; builds and data go below `folder`.
    ///
    /// # Errors
    ///
    /// When something is missing, which it names.
    pub(super) fn find(root: &Path, folder: &Path, members: u32) -> Result<Self> {
        let scripts = root.join("../shared/servers");
        ensure!(
            scripts.join("etcd").is_file(),
            "{} is missing, which starts etcd. MUSIC alone is measured by `music bench local`",
            scripts.display()
        );
        ensure!(
            shell::is_on_path("go"),
            "Go is missing, which builds etcd and its client: see https://go.dev/dl. \
             MUSIC alone is measured by `music bench local`"
        );
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let scripts = scripts.canonicalize().context("the scripts are gone")?;
        let (sources, folder) = (root.join("bench/etcd"), folder.to_owned());
        Ok(Self {
            scripts,
            sources,
            folder,
            members,
        })
    }

    /// Installs etcd and builds the load.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub(super) fn prepare(&self) -> Result<()> {
        shell::run(self.script("install").arg("etcd"))?;
        let mut build = shell::program(&self.sources, "go", &["build", "-buildvcs=false", "-o"]);
        shell::run(build.arg(self.load()).arg("."))
    }

    /// Starts etcd with nothing in it, measures, and removes it.
    ///
    /// # Errors
    ///
    /// When it does not start, or the load fails.
    pub(super) fn measure(&self, load: &[String]) -> Result<Vec<Run>> {
        shell::run(self.script("etcd").arg("wipe"))?;
        let guard = Guard::start(&self.script("etcd"))?;
        shell::run(
            self.script("etcd")
                .args(["start", &self.members.to_string()]),
        )?;
        let mut command = Command::new(self.load());
        command.args(["-endpoint", &format!("{}:{PORT}", HOSTS[0])]);
        command.args(["-pids", &self.pids()?.join(",")]).args(load);
        let measured = shell::output(&mut command);
        guard.end()?;
        let measured = runs(&measured?)?;
        summary::show(&measured);
        Ok(measured)
    }

    fn load(&self) -> PathBuf {
        self.folder.join("etcd-load")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// One of the scripts, with our members and our data.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(self.scripts.join(name));
        command.env("SERVERS_DATA", self.data());
        command.env("HOSTS", HOSTS.join(" "));
        command
    }

    /// The members' processes, as the scripts note them.
    fn pids(&self) -> Result<Vec<String>> {
        let pid = |member: u32| {
            let path = self.data().join(format!("etcd/{member}/pid"));
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            let pid = text.split_whitespace().next().map(str::to_owned);
            pid.with_context(|| format!("{} is empty", path.display()))
        };
        (1..=self.members).map(pid).collect()
    }
}

/// Removes etcd when this program ends, however it ends: it waits for the end
/// of its input, which the system closes with this program.
struct Guard(Child);

impl Guard {
    fn start(script: &Command) -> Result<Self> {
        let mut guard = Command::new("bash");
        guard
            .args(["-c", r#"read -r _; exec "$1" wipe"#, "guard"])
            .arg(script.get_program());
        guard.envs(
            script
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        // Not in our group, so that Ctrl-C does not end it too.
        let child = guard.process_group(0).stdin(Stdio::piped()).spawn();
        Ok(Self(child.context("cannot start bash")?))
    }

    /// Lets it do its work, and waits until that is done.
    fn end(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait().context("cannot wait for `etcd wipe`")?;
        ensure!(status.success(), "`etcd wipe` failed: {status}");
        Ok(())
    }
}
