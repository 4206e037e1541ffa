//! The embedded engine: every site and link of the deployment is here.

use std::fmt::Write as _;
use std::time::Duration;

use music_api::status::{LinkStatus, SiteStatus};
use music_store::embedded::{Direction, Engine, NoSuchSite, OpenError, Options, Place, Profile};
use music_store::engine::{LockEngine, StateEngine};

use super::EngineError;
use crate::config::EmbeddedConfig;

/// The engine; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    engine: Engine,
}

impl Embedded {
    /// Opens the engine of a configuration. Must be called within a runtime.
    pub(crate) async fn open(config: &EmbeddedConfig) -> Result<Self, EngineError> {
        let profile = profile(config)?;
        let place = match &config.dir {
            Some(dir) => Place::Directory(dir.clone()),
            None => Place::Memory,
        };
        // Reads files, for seconds where there are many.
        let open = move || Engine::open(&place, &profile, Options::default());
        let opened = tokio::task::spawn_blocking(open).await;
        let engine = opened.map_err(|error| OpenError::Start(error.into()))??;
        Ok(Self { engine })
    }

    /// The two ports of a site.
    pub(crate) fn site(&self, name: &str) -> Result<(StateEngine, LockEngine), NoSuchSite> {
        let site = self
            .engine
            .site(name)
            .ok_or_else(|| NoSuchSite(name.to_owned()))?;
        Ok((StateEngine::from(site.clone()), LockEngine::from(site)))
    }

    /// The names of the sites.
    pub(crate) fn names(&self) -> &[String] {
        self.engine.sites()
    }

    /// The sites.
    pub(crate) fn sites(&self) -> Vec<SiteStatus> {
        let names = self.names().iter();
        names
            .map(|name| SiteStatus {
                name: name.clone(),
                running: self.is_running(name),
            })
            .collect()
    }

    /// The links between sites, each pair once.
    pub(crate) fn links(&self) -> Vec<LinkStatus> {
        let directions = self.engine.links();
        let pairs = directions.iter().filter(|link| link.from < link.to);
        pairs
            .map(|link| {
                let back = directions
                    .iter()
                    .find(|other| other.from == link.to && other.to == link.from);
                LinkStatus {
                    a: link.from.clone(),
                    b: link.to.clone(),
                    rtt_ms: link.rtt.as_secs_f64() * 1000.0,
                    cut_a_to_b: link.cut,
                    cut_b_to_a: back.is_some_and(|back| back.cut),
                }
            })
            .collect()
    }

    /// Whether the replica of a site runs.
    pub(crate) fn is_running(&self, site: &str) -> bool {
        self.engine.is_running(site).unwrap_or(false)
    }

    /// Cuts or heals a link.
    pub(crate) fn set_cut(
        &self,
        (a, b): (&str, &str),
        direction: Direction,
        cut: bool,
    ) -> Result<(), NoSuchSite> {
        if cut {
            self.engine.cut(a, b, direction)
        } else {
            self.engine.heal(a, b, direction)
        }
    }

    /// Cuts or heals every link of a site.
    pub(crate) fn set_site_cut(&self, site: &str, cut: bool) -> Result<(), NoSuchSite> {
        self.engine.is_running(site)?;
        let mut others = self.names().iter().filter(|other| *other != site);
        others.try_for_each(|other| self.set_cut((site, other), Direction::Both, cut))
    }

    /// Sets the round trip between two sites.
    pub(crate) fn set_rtt(&self, a: &str, b: &str, rtt: Duration) -> Result<(), NoSuchSite> {
        self.engine.set_rtt(a, b, rtt)
    }

    /// Stops or starts the replica of a site.
    pub(crate) fn set_running(&self, site: &str, running: bool) -> Result<(), NoSuchSite> {
        if running {
            self.engine.start(site)
        } else {
            self.engine.stop(site)
        }
    }

    /// Closes the engine: what was begun is written, its directory is free.
    pub(crate) async fn close(self) {
        self.engine.close().await;
    }
}

/// The names of the first sites of a profile.
pub(crate) fn first_sites(profile: &str, count: usize) -> Result<Vec<String>, EngineError> {
    let built_in = Profile::built_in(profile)?;
    let has = built_in.sites().len();
    if count > has {
        return Err(EngineError::TooManySites {
            profile: profile.to_owned(),
            has,
            wanted: count,
        });
    }
    Ok(built_in.sites().iter().take(count).cloned().collect())
}

/// The profile that a configuration names, its sites named as it wants.
pub(crate) fn profile(config: &EmbeddedConfig) -> Result<Profile, EngineError> {
    let built_in = Profile::built_in(&config.profile)?;
    let (has, wanted) = (built_in.sites().len(), config.sites.len());
    if wanted == 0 {
        return Ok(built_in);
    }
    if wanted > has {
        return Err(EngineError::TooManySites {
            profile: config.profile.clone(),
            has,
            wanted,
        });
    }
    let mut text = format!("sites {}\n", config.sites.join(" "));
    for (a, from) in config.sites.iter().enumerate() {
        for (b, to) in config.sites.iter().enumerate().skip(a.saturating_add(1)) {
            let rtt_ms = built_in.rtt(a, b).as_secs_f64() * 1000.0;
            // Writing to a string does not fail.
            writeln!(text, "rtt {from} {to} {rtt_ms}").unwrap_or_default();
        }
    }
    Ok(Profile::parse(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_cut_down_and_its_sites_are_named_anew() {
        let config = |sites: &[&str]| EmbeddedConfig {
            dir: None,
            profile: "lUs".to_owned(),
            sites: sites.iter().map(ToString::to_string).collect(),
        };
        let two = profile(&config(&["east", "west"])).unwrap();
        assert_eq!(two.sites(), ["east", "west"]);
        assert_eq!(two.rtt(0, 1), Profile::built_in("lUs").unwrap().rtt(0, 1));
        assert_eq!(profile(&config(&[])).unwrap().sites().len(), 3);
        assert!(profile(&config(&["a", "b", "c", "d"])).is_err());
    }
}
