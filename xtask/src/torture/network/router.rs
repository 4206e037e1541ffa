//! Sites whose packets a router delays: `../shared/wan`, where that is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::shell;

/// The router's program, and what it is to do.
pub(in crate::torture) struct Router {
    program: PathBuf,
    profile: String,
}

impl Router {
    /// Builds it, if it is there and can work.
    ///
    /// # Errors
    ///
    /// When it does not build.
    pub(super) fn find(root: &Path, target: &Path, profile: &str) -> Result<Option<Self>> {
        let sources = root.join("../shared/wan");
        if !sources.join("Cargo.toml").is_file() || !Path::new("/dev/net/tun").exists() {
            return Ok(None);
        }
        let built = target.join("wan");
        let mut cargo = shell::program(&sources, "cargo", &["build", "--quiet", "--release"]);
        shell::run(cargo.env("CARGO_TARGET_DIR", &built))?;
        Ok(Some(Self {
            program: built.join("release/wan"),
            profile: profile.to_owned(),
        }))
    }

    fn wan(&self, words: &[&str]) -> Result<()> {
        let mut wan = Command::new(&self.program);
        shell::output(wan.args(words)).map(drop)
    }

    /// Makes the sites; those that a run left behind go first.
    pub(super) fn up(&self) -> Result<()> {
        self.wan(&["up", "--host", &self.profile])
    }

    pub(super) fn down(&self) -> Result<()> {
        self.wan(&["down"])
    }

    /// Cuts the link between two sites, or heals it.
    pub(super) fn set_link(&self, site: &str, other: &str, cut: bool) -> Result<()> {
        let word = if cut { "cut" } else { "heal" };
        self.wan(&[word, site, other])
    }
}
