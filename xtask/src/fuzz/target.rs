//! One target: runs it, and reads what it reported.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::build::{self, FOLDER};
use crate::shell;

/// The longest input that is tried, in bytes.
const INPUT_BYTES_MAX: usize = 8 * 1024;

/// The longest input that is committed: a small one shows the same.
const COMMITTED_BYTES_MAX: usize = 512;

/// How many inputs are added at a time, so that a corpus stays small.
const GROWN_MAX: usize = 24;

/// How long one input may take, in seconds; most take a thousandth of one.
const INPUT_SECONDS_MAX: u64 = 10;

/// How much memory a run may take, in MiB.
const MEMORY_MIB_MAX: usize = 2048;

/// A target.
#[derive(Debug)]
pub(super) struct Target {
    name: String,
}

/// The targets of the repository, in the order of their names.
pub(super) fn all(root: &Path) -> Result<Vec<Target>> {
    let files = files(&root.join("fuzz/fuzz_targets"))?;
    let names = files.iter().filter_map(|path| path.file_stem());
    Ok(names
        .map(|name| Target::new(&name.display().to_string()))
        .collect())
}

/// The files of a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot read {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        files.push(entry.with_context(context)?.path());
    }
    files.sort();
    Ok(files)
}

impl Target {
    /// The target of that name.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Tries inputs for that long.
    pub(super) fn run(&self, root: &Path, time: Duration) -> Result<Report> {
        let [found, crashes] = ["corpus", "artifacts"].map(|kind| self.folder(root, kind));
        for folder in [&found, &crashes] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut command = self.command(root)?;
        let dictionary = format!("fuzz/dictionaries/{}.dict", self.name);
        if root.join(&dictionary).is_file() {
            command.arg(format!("-dict={dictionary}"));
        }
        command.args([
            format!("-artifact_prefix={}/", crashes.display()),
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-max_total_time={}", time.as_secs()),
            "-print_final_stats=1".to_owned(),
        ]);
        // What is new goes to the first of these.
        command.arg(&found).arg(self.committed(root));
        let path = root.join(FOLDER).join(format!("{}.log", self.name));
        let log =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let status = command.stdout(log.try_clone()?).stderr(log).status();
        let is_success = status.context("cannot start the target")?.success();
        let log = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let kept = files(&found)?.len();
        Ok(Report::read(
            self,
            &String::from_utf8_lossy(&log),
            kept,
            is_success,
        ))
    }

    /// Tries one input.
    pub(super) fn try_input(&self, root: &Path, input: &str) -> Result<()> {
        shell::run(self.command(root)?.arg(input))
    }

    /// Adds to the committed corpus the inputs that cover most beside it.
    pub(super) fn grow(&self, root: &Path) -> Result<()> {
        let [found, grown] = ["corpus", "grown"].map(|kind| self.folder(root, kind));
        if grown.exists() {
            fs::remove_dir_all(&grown)?;
        }
        fs::create_dir_all(&grown)?;
        let committed = self.committed(root);
        for path in files(&committed)? {
            fs::copy(&path, grown.join(path.file_name().unwrap_or_default()))?;
        }
        // Whether a piece of code is reached, not how often: few inputs do.
        let mut merge = self.command(root)?;
        merge.args(["-set_cover_merge=1", "-use_counters=0"]);
        merge.arg(format!("-max_len={COMMITTED_BYTES_MAX}"));
        let output = merge.arg(&grown).arg(found).output();
        let status = output.context("cannot start the target")?.status;
        ensure!(status.success(), "{}: cannot be merged", self.name);
        let mut new = Vec::new();
        for path in files(&grown)? {
            let target = committed.join(path.file_name().unwrap_or_default());
            if !target.exists() {
                new.push((fs::metadata(&path)?.modified()?, path, target));
            }
        }
        // Written in turn, the one that covers most first.
        new.sort();
        for (_, path, target) in new.into_iter().take(GROWN_MAX) {
            fs::copy(path, target)?;
        }
        Ok(())
    }

    fn committed(&self, root: &Path) -> PathBuf {
        root.join("fuzz/corpus").join(&self.name)
    }

    /// Where this machine keeps what it found, of that kind.
    fn folder(&self, root: &Path, kind: &str) -> PathBuf {
        root.join(FOLDER).join(kind).join(&self.name)
    }

    fn command(&self, root: &Path) -> Result<Command> {
        let program = build::program(root, &self.name)?;
        let mut command = shell::program(root, &program.display().to_string(), &[]);
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        Ok(command)
    }
}

/// What a run of a target came to.
#[derive(Debug)]
pub(super) struct Report {
    name: String,
    executions: u64,
    /// Executions a second.
    rate: u64,
    /// How many edges between pieces of code were taken.
    edges: u64,
    /// How many inputs there are by now that reach something of their own.
    kept: usize,
    /// Where the inputs are that broke a promise.
    failures: Vec<String>,
    /// What the target said when it failed.
    reason: Option<String>,
    is_success: bool,
}

impl Report {
    /// Reads what libFuzzer wrote.
    fn read(target: &Target, log: &str, kept: usize, is_success: bool) -> Self {
        let number = |name: &str| {
            let after = log
                .rsplit(name)
                .next()
                .filter(|after| after.len() < log.len());
            let word = after.and_then(|after| after.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).unwrap_or_default()
        };
        let failures = log
            .lines()
            .filter_map(|line| line.split("Test unit written to ").nth(1));
        let reason = log
            .lines()
            .skip_while(|line| !line.contains("panicked at"))
            .take(2)
            .collect::<Vec<_>>();
        Self {
            name: target.name.clone(),
            executions: number("stat::number_of_executed_units:"),
            rate: number("stat::average_exec_per_sec:"),
            edges: number(" cov: "),
            kept,
            failures: failures.map(str::to_owned).collect(),
            reason: (!reason.is_empty()).then(|| reason.join("\n")),
            is_success,
        }
    }

    /// The target's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a promise was broken.
    pub(super) fn failed(&self) -> bool {
        !self.is_success || !self.failures.is_empty()
    }

    /// A row of a table.
    pub(super) fn row(&self) -> String {
        let Self {
            name,
            executions,
            rate,
            edges,
            kept,
            failures,
            ..
        } = self;
        let failures = failures.len().max(usize::from(self.failed()));
        format!("| `{name}` | {executions} | {rate} | {edges} | {kept} | {failures} |")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, executions, ..
        } = self;
        if !self.failed() {
            return write!(f, "{executions} executions, nothing found");
        }
        writeln!(
            f,
            "FAILED after {executions} executions: see {FOLDER}/{name}.log"
        )?;
        if let Some(reason) = &self.reason {
            writeln!(f, "{reason}")?;
        }
        for path in &self.failures {
            writeln!(f, "the input: {path}")?;
            writeln!(
                f,
                "to try it: cargo xtask fuzz --target {name} --input {path}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
#2\tINITED cov: 80 ft: 81 corp: 1/1b exec/s: 0 rss: 40Mb
#9\tDONE   cov: 95 ft: 99 corp: 2/9b lim: 4 exec/s: 3 rss: 41Mb
stat::number_of_executed_units: 1234
stat::average_exec_per_sec:     56
";
    const BAD: &str = "\
thread 'x' panicked at crates/a/src/b.rs:1:2:
left is not right
artifact_prefix='c/'; Test unit written to c/crash-0a
";

    fn read(log: &str, is_success: bool) -> Report {
        Report::read(&Target::new("config"), log, 2, is_success)
    }

    #[test]
    fn a_run_that_found_nothing_is_reported_with_its_numbers() {
        let report = read(GOOD, true);
        assert!(!report.failed());
        assert_eq!(report.row(), "| `config` | 1234 | 56 | 95 | 2 | 0 |");
        assert_eq!(report.to_string(), "1234 executions, nothing found");
    }

    #[test]
    fn a_run_that_failed_says_with_which_input_and_how_to_repeat_it() {
        let report = read(&format!("{GOOD}{BAD}"), false);
        assert!(report.failed());
        let text = report.to_string();
        for part in [
            "left is not right",
            "the input: c/crash-0a",
            "cargo xtask fuzz --target config --input c/crash-0a",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_run_that_ended_without_a_word_has_failed() {
        let report = read("", false);
        assert!(report.failed());
        assert_eq!(report.row(), "| `config` | 0 | 0 | 0 | 2 | 1 |");
    }
}
