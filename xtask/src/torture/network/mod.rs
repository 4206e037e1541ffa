//! The network of the sites: each in a namespace `wan-SITE` with an address
//! that the others reach with a delay.

mod netem;
mod router;

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use self::netem::Netem;
use self::router::Router;
use crate::shell;

/// The sites.
pub(super) const SITES: [&str; 3] = ["ohio", "ncalifornia", "oregon"];

/// What delays and cuts.
pub(super) enum Network {
    /// The kernel.
    Netem(Netem),
    /// A router beside the repository.
    Router(Router),
}

impl Network {
    /// The network that can be had here, or what is missing for any.
    ///
    /// # Errors
    ///
    /// When it is not known what there is.
    pub(super) fn find(
        root: &Path,
        target: &Path,
        profile: &str,
    ) -> Result<std::result::Result<Self, &'static str>> {
        let user = shell::output(&mut shell::program(root, "id", &["-u"]))?;
        if user.trim() != "0" || !shell::is_on_path("ip") {
            return Ok(Err("network namespaces need root, and `ip` of iproute2"));
        }
        if Netem::is_there() {
            return Netem::new(profile).map(|netem| Ok(Self::Netem(netem)));
        }
        let router = Router::find(root, target, profile)?;
        let missing = "the kernel has no netem (`tc qdisc add … netem`), and there is no \
                       ../shared/wan with /dev/net/tun in its place";
        Ok(router.map(Self::Router).ok_or(missing))
    }

    /// Makes the sites.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub(super) fn up(&self) -> Result<()> {
        match self {
            Self::Netem(netem) => netem.up(),
            Self::Router(router) => router.up(),
        }
    }

    /// Removes them.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub(super) fn down(&self) -> Result<()> {
        match self {
            Self::Netem(_) => netem::down(),
            Self::Router(router) => router.down(),
        }
    }

    /// Drops all that is sent between a site and the others, until it is healed.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub(super) fn cut(&self, site: usize) -> Result<()> {
        (0..SITES.len()).try_for_each(|other| self.set_link(site, other, true))
    }

    /// Lets all pass again between a site and those others that are not cut off
    /// themselves.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub(super) fn heal(&self, site: usize, cut_off: &[usize]) -> Result<()> {
        let mut others = (0..SITES.len()).filter(|other| !cut_off.contains(other));
        others.try_for_each(|other| self.set_link(site, other, false))
    }

    fn set_link(&self, site: usize, other: usize, cut: bool) -> Result<()> {
        match self {
            _ if site == other => Ok(()),
            Self::Netem(netem) => netem.set_link(site, other, cut),
            Self::Router(router) => router.set_link(name(site), name(other), cut),
        }
    }
}

/// A way between two sites.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) ends: (usize, usize),
    pub(crate) rtt_ms: f64,
}

/// The links of a profile.
///
/// # Errors
///
/// When there is no such profile.
pub(crate) fn links(profile: &str) -> Result<Vec<Link>> {
    let links = netem::LINKS.into_iter().zip(netem::rtts_ms(profile)?);
    Ok(links.map(|(ends, rtt_ms)| Link { ends, rtt_ms }).collect())
}

/// The name of a site.
pub(super) fn name(site: usize) -> &'static str {
    SITES.get(site).copied().unwrap_or_default()
}

/// The address of a site.
pub(super) fn address(site: usize) -> String {
    format!("10.77.{}.1", site + 1)
}

/// What is put before a command that is to run at a site.
pub(super) fn prefix(site: usize) -> Vec<String> {
    let namespace = format!("wan-{}", name(site));
    let words = ["ip", "netns", "exec", &namespace];
    words.map(str::to_owned).into()
}

/// `ip` with words.
fn ip(words: &str) -> Command {
    let mut ip = Command::new("ip");
    ip.args(words.split_whitespace());
    ip
}
