//! Sites whose packets the kernel delays.
//!
//! A link is a pair of devices, one at each site, with netem at both ends. So
//! is the way between a site and the machine itself, without a delay.

use std::process::Stdio;

use anyhow::{Context, Result};

use super::{SITES, address, ip, name};
use crate::shell;

/// The delays of the profiles that are known here: the round trip in
/// milliseconds from the first site to the second, to the third, and between
/// these two.
const PROFILES: [(&str, [f64; 3]); 2] =
    [("lUs", [53.79, 72.14, 24.2]), ("local3", [0.2, 0.2, 0.2])];

/// What the kernel is told.
pub(in crate::torture) struct Netem {
    rtts_ms: [f64; 3],
}

/// The two sites of each link.
pub(super) const LINKS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

impl Netem {
    /// Whether this kernel has it: it is tried in a namespace of its own.
    pub(super) fn is_there() -> bool {
        let quietly = |words: &str| {
            let mut command = ip(words);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let trial = "wan-trial";
        let made = quietly(&format!("netns add {trial}"));
        let tried = made
            && quietly(&format!(
                "netns exec {trial} tc qdisc add dev lo root netem delay 1ms"
            ));
        if made {
            quietly(&format!("netns delete {trial}"));
        }
        tried
    }

    /// The network of a profile.
    ///
    /// # Errors
    ///
    /// When there is no such profile.
    pub(super) fn new(profile: &str) -> Result<Self> {
        rtts_ms(profile).map(|rtts_ms| Self { rtts_ms })
    }

    pub(super) fn up(&self) -> Result<()> {
        for (site, namespace) in SITES.iter().enumerate() {
            run(&format!("netns add wan-{namespace}"))?;
            at(site, "link set lo up")?;
            at(site, &format!("address add {}/32 dev lo", address(site)))?;
            connect_machine(site)?;
        }
        for (link, (a, b)) in LINKS.into_iter().enumerate() {
            let (here, there) = (device(a, b), device(b, a));
            run(&format!(
                "link add {here} netns wan-{} type veth peer name {there} netns wan-{}",
                name(a),
                name(b)
            ))?;
            for (site, other) in [(a, b), (b, a)] {
                let device = device(site, other);
                at(site, &format!("link set {device} up"))?;
                let route = format!("route add {}/32 dev {device}", address(other));
                at(site, &format!("{route} src {}", address(site)))?;
                self.set_way((site, other), link, "add", false)?;
            }
        }
        Ok(())
    }

    /// Cuts the link between two sites, or heals it.
    pub(super) fn set_link(&self, site: usize, other: usize, cut: bool) -> Result<()> {
        let ends = (site.min(other), site.max(other));
        let Some(link) = LINKS.iter().position(|link| *link == ends) else {
            return Ok(());
        };
        self.set_way((site, other), link, "change", cut)?;
        self.set_way((other, site), link, "change", cut)
    }

    fn set_way(&self, ends: (usize, usize), link: usize, verb: &str, cut: bool) -> Result<()> {
        let rtt = self.rtts_ms.get(link).copied().unwrap_or_default();
        let loss = if cut { "loss 100%" } else { "" };
        let words = format!(
            "qdisc {verb} dev {} root netem limit 100000 delay {:.3}ms {loss}",
            device(ends.0, ends.1),
            rtt / 2.0
        );
        let namespace = format!("wan-{}", name(ends.0));
        let mut tc = ip(&format!("netns exec {namespace} tc {words}"));
        shell::output(&mut tc).map(drop)
    }
}

/// The round trips of a profile.
///
/// # Errors
///
/// When there is no such profile.
pub(super) fn rtts_ms(profile: &str) -> Result<[f64; 3]> {
    let known = PROFILES.iter().find(|(name, _)| *name == profile);
    let (_, rtts_ms) = known.with_context(|| format!("there is no profile {profile}"))?;
    Ok(*rtts_ms)
}

/// The machine itself reaches a site at once, and is reached at 10.77.0.1.
fn connect_machine(site: usize) -> Result<()> {
    let (device, namespace) = (format!("wan{site}"), name(site));
    run(&format!(
        "link add {device} type veth peer name host netns wan-{namespace}"
    ))?;
    run(&format!("address add 10.77.0.1/32 dev {device}"))?;
    run(&format!("link set {device} up"))?;
    run(&format!(
        "route add {}/32 dev {device} src 10.77.0.1",
        address(site)
    ))?;
    at(site, "link set host up")?;
    at(
        site,
        &format!("route add 10.77.0.1/32 dev host src {}", address(site)),
    )
}

fn device(here: usize, there: usize) -> String {
    format!("to{there}from{here}")
}

/// Removes the sites.
///
/// # Errors
///
/// When that fails.
pub(super) fn down() -> Result<()> {
    // Devices go with their namespaces, and their peers with them.
    SITES
        .iter()
        .try_for_each(|site| run(&format!("netns delete wan-{site}")))
}

fn run(words: &str) -> Result<()> {
    shell::output(&mut ip(words)).map(drop)
}

fn at(site: usize, words: &str) -> Result<()> {
    run(&format!("-n wan-{} {words}", name(site)))
}
