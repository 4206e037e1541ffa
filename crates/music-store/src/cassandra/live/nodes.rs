//! Nodes of Cassandra that fail, by the repository's own tasks.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;

use tokio::sync::RwLockWriteGuard;

use super::*;

/// The nodes, for a test that has them alone; all serve again when it ends.
pub(super) struct Nodes {
    _alone: RwLockWriteGuard<'static, ()>,
    /// What stands still or is down.
    failing: Mutex<BTreeSet<usize>>,
}

impl Nodes {
    /// Waits until no other test needs them; `None` where they are not those
    /// that `cargo xtask engines` started.
    pub(super) async fn alone() -> Option<Self> {
        if std::env::var_os("MUSIC_CASSANDRA").is_some() {
            return None;
        }
        Some(Self {
            _alone: NODES.write().await,
            failing: Mutex::default(),
        })
    }

    /// Ends nodes at once.
    pub(super) fn kill(&self, sites: &[usize]) {
        self.failing.lock().unwrap().extend(sites);
        task("kill", sites);
    }

    /// Lets nodes stand still.
    pub(super) fn pause(&self, sites: &[usize]) {
        self.failing.lock().unwrap().extend(sites);
        task("pause", sites);
    }

    /// Lets them go on.
    pub(super) fn resume(&self, sites: &[usize]) {
        task("resume", sites);
        let mut failing = self.failing.lock().unwrap();
        failing.retain(|site| !sites.contains(site));
    }

    /// Brings all back, and waits until they serve.
    pub(super) fn start(&self) {
        engines(&["start", "cassandra"]);
        self.failing.lock().unwrap().clear();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if !self.failing.get_mut().unwrap().is_empty() {
            self.start();
        }
    }
}

fn task(task: &str, sites: &[usize]) {
    let numbers: Vec<String> = sites.iter().map(|site| (site + 1).to_string()).collect();
    let numbers = numbers.iter().map(String::as_str);
    let arguments: Vec<&str> = [task, "cassandra"].into_iter().chain(numbers).collect();
    engines(&arguments);
}

fn engines(arguments: &[&str]) {
    let mut task = Command::new("cargo");
    task.args(["xtask", "engines"]).args(arguments);
    let output = tokio::task::block_in_place(|| task.output()).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}
