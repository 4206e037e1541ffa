//! Profiles: which sites there are, and how far apart.
//!
//! One directive a line; `#` starts a comment:
//!
//! ```text
//! sites A B C ...
//! rtt A B MS [jitter MS] [loss PERCENT]   # `*` stands for every site
//! mtu BYTES
//! queue MIB
//! sysctl net.KEY VALUE...
//! ```
//!
//! A later `rtt` line overrides an earlier one. The format is that of our WAN
//! emulator; jitter, loss and the last three directives are checked for their
//! form and otherwise ignored, for the embedded engine emulates delay and cuts
//! only.

use std::time::Duration;

use music_core::quorum::REPLICAS_MAX;

/// The longest round trip that a profile may give.
pub const RTT_MAX: Duration = Duration::from_mins(1);

/// The longest name of a site, in bytes.
pub const SITE_NAME_BYTES_MAX: usize = 32;

const BUILT_IN: [(&str, &str); 5] = [
    ("lUs", include_str!("profiles/lUs")),
    ("lUsEu", include_str!("profiles/lUsEu")),
    ("global5", include_str!("profiles/global5")),
    ("local3", include_str!("profiles/local3")),
    ("metro3", include_str!("profiles/metro3")),
];

/// Sites, and the round trip between each two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    sites: Vec<String>,
    /// `rtts[a][b]`, symmetric; zero within a site.
    rtts: Vec<Vec<Duration>>,
}

/// A profile that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A line is not a directive.
    #[error("line {line} of the profile: cannot read '{text}'")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A word is not the name of a site.
    #[error("line {line} of the profile: there is no site '{name}'")]
    NoSuchSite {
        /// The line's number, from 1.
        line: usize,
        /// The word.
        name: String,
    },
    /// A name that no site can have, or one does already.
    #[error(
        "line {line} of the profile: '{name}' cannot name a site, or does already; a name has 1 \
         to 32 characters of a-z, 0-9 and -, the first a letter, and is not 'host' or 'all'"
    )]
    Name {
        /// The line's number, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// Too few or too many sites.
    #[error("a profile needs a 'sites' line with 1 to {REPLICAS_MAX} sites, this one has {0}")]
    SiteCount(usize),
    /// Two sites without a distance.
    #[error("the profile has no rtt between {0} and {1}")]
    NoRtt(String, String),
    /// There is no built-in profile of that name.
    #[error("there is no profile '{0}'; those built in are lUs, lUsEu, global5, local3 and metro3")]
    NotBuiltIn(String),
}

impl Profile {
    /// The names of the profiles that are built in.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A built-in profile.
    ///
    /// # Errors
    /// [`ProfileError::NotBuiltIn`] where there is none of that name.
    pub fn built_in(name: &str) -> Result<Self, ProfileError> {
        match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            Some((_, text)) => Self::parse(text),
            None => Err(ProfileError::NotBuiltIn(name.to_owned())),
        }
    }

    /// Reads a profile's text.
    ///
    /// # Errors
    /// The first thing in it that cannot be read.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let mut draft = Draft::default();
        for (index, text) in text.lines().enumerate() {
            let text = text.split('#').next().unwrap_or_default().trim();
            let words: Vec<&str> = text.split_whitespace().collect();
            draft.directive(
                Line {
                    number: index.saturating_add(1),
                    text,
                },
                &words,
            )?;
        }
        draft.finish()
    }

    /// `sites` sites named `a`, `b` and so on, all `rtt` apart.
    ///
    /// # Errors
    /// [`ProfileError::SiteCount`] for none, or more than 26.
    pub fn uniform(sites: u8, rtt: Duration) -> Result<Self, ProfileError> {
        let count = usize::from(sites);
        if !(1..=26).contains(&count) {
            return Err(ProfileError::SiteCount(count));
        }
        let names: Vec<String> = (b'a'..=b'z')
            .take(count)
            .map(|letter| char::from(letter).to_string())
            .collect();
        let rtt = rtt.min(RTT_MAX);
        let rtts = (0..count)
            .map(|a| {
                (0..count)
                    .map(|b| if a == b { Duration::ZERO } else { rtt })
                    .collect()
            })
            .collect();
        Ok(Self { sites: names, rtts })
    }

    /// The names of the sites; a site's index is its replica's number.
    pub fn sites(&self) -> &[String] {
        &self.sites
    }

    /// The round trip between two sites, by their indexes; zero within one.
    pub fn rtt(&self, a: usize, b: usize) -> Duration {
        self.rtts
            .get(a)
            .and_then(|row| row.get(b))
            .copied()
            .unwrap_or_default()
    }

    /// The same profile with its sites in this order; `None` where these are
    /// not the same sites.
    pub fn in_order(&self, sites: &[String]) -> Option<Self> {
        if sites.len() != self.sites.len() {
            return None;
        }
        let places: Option<Vec<usize>> = sites
            .iter()
            .map(|name| self.sites.iter().position(|site| site == name))
            .collect();
        let places = places?;
        let rtts = places
            .iter()
            .map(|a| places.iter().map(|b| self.rtt(*a, *b)).collect())
            .collect();
        Some(Self {
            sites: sites.to_vec(),
            rtts,
        })
    }
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    fn error(self) -> ProfileError {
        ProfileError::Line {
            line: self.number,
            text: self.text.to_owned(),
        }
    }
}

/// A profile half read.
#[derive(Default)]
struct Draft {
    sites: Vec<String>,
    /// `None` where no line has given the distance yet.
    rtts: Vec<Vec<Option<Duration>>>,
}

impl Draft {
    fn directive(&mut self, line: Line<'_>, words: &[&str]) -> Result<(), ProfileError> {
        match words {
            [] => Ok(()),
            ["sites", names @ ..] if self.sites.is_empty() => self.name_sites(line, names),
            ["rtt", a, b, ms, rest @ ..] => {
                let rtt = millis(ms).ok_or_else(|| line.error())?;
                if !rest.chunks(2).all(is_link_figure) {
                    return Err(line.error());
                }
                self.set_rtt(line, [a, b], rtt)
            }
            ["mtu" | "queue", number] if number.parse::<u32>().is_ok() => Ok(()),
            ["sysctl", key, _, ..] if key.starts_with("net.") && !key.contains('/') => Ok(()),
            _ => Err(line.error()),
        }
    }

    fn name_sites(&mut self, line: Line<'_>, names: &[&str]) -> Result<(), ProfileError> {
        for name in names {
            if !is_site_name(name) || self.sites.iter().any(|site| site == name) {
                return Err(ProfileError::Name {
                    line: line.number,
                    name: (*name).to_owned(),
                });
            }
            self.sites.push((*name).to_owned());
        }
        self.rtts = vec![vec![None; self.sites.len()]; self.sites.len()];
        Ok(())
    }

    fn set_rtt(
        &mut self,
        line: Line<'_>,
        ends: [&str; 2],
        rtt: Duration,
    ) -> Result<(), ProfileError> {
        let [left, right] = ends.map(|word| self.select(line, word));
        let (left, right) = (left?, right?);
        for (a, row) in self.rtts.iter_mut().enumerate() {
            for (b, place) in row.iter_mut().enumerate() {
                let joined = left.contains(&a) && right.contains(&b)
                    || left.contains(&b) && right.contains(&a);
                if joined && a != b {
                    *place = Some(rtt);
                }
            }
        }
        Ok(())
    }

    /// The sites that a word names: one, or all for `*` and `all`.
    fn select(&self, line: Line<'_>, word: &str) -> Result<Vec<usize>, ProfileError> {
        if matches!(word, "*" | "all") {
            return Ok((0..self.sites.len()).collect());
        }
        match self.sites.iter().position(|site| site == word) {
            Some(index) => Ok(vec![index]),
            None => Err(ProfileError::NoSuchSite {
                line: line.number,
                name: word.to_owned(),
            }),
        }
    }

    fn finish(self) -> Result<Profile, ProfileError> {
        if self.sites.is_empty() || self.sites.len() > REPLICAS_MAX {
            return Err(ProfileError::SiteCount(self.sites.len()));
        }
        let mut rtts = Vec::new();
        for (a, row) in self.rtts.iter().enumerate() {
            let mut known = Vec::new();
            for (b, rtt) in row.iter().enumerate() {
                match rtt {
                    Some(rtt) => known.push(*rtt),
                    None if a == b => known.push(Duration::ZERO),
                    None => {
                        let name =
                            |index: usize| self.sites.get(index).cloned().unwrap_or_default();
                        return Err(ProfileError::NoRtt(name(a), name(b)));
                    }
                }
            }
            rtts.push(known);
        }
        Ok(Profile {
            sites: self.sites,
            rtts,
        })
    }
}

fn is_site_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= SITE_NAME_BYTES_MAX
        && name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(allowed)
        && !matches!(name, "host" | "all")
}

/// `jitter MS` or `loss PERCENT`.
fn is_link_figure(pair: &[&str]) -> bool {
    match pair {
        ["jitter", ms] => millis(ms).is_some(),
        ["loss", percent] => percent
            .parse::<f64>()
            .is_ok_and(|percent| (0.0..=100.0).contains(&percent)),
        _ => false,
    }
}

/// A number of milliseconds, from 0 to [`RTT_MAX`].
fn millis(word: &str) -> Option<Duration> {
    let ms = word.parse::<f64>().ok()?;
    let length = Duration::try_from_secs_f64(ms / 1_000.0).ok()?;
    (length <= RTT_MAX).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1_000.0)
    }

    #[test]
    fn built_in_profiles_can_be_read() {
        for name in Profile::built_in_names() {
            let profile = Profile::built_in(name).unwrap();
            assert!(profile.sites().len() >= 3, "{name}");
        }
        let l_us = Profile::built_in("lUs").unwrap();
        assert_eq!(l_us.sites(), ["ohio", "ncalifornia", "oregon"]);
        assert_eq!(l_us.rtt(0, 1), ms(53.79));
        assert_eq!(l_us.rtt(2, 1), ms(24.2));
        assert_eq!(l_us.rtt(1, 1), Duration::ZERO);
    }

    #[test]
    fn later_lines_override_earlier_ones_and_the_rest_is_ignored() {
        let text = "sites a b c\nrtt * * 10\nrtt b c 3 jitter 0.5 loss 1 # note\nmtu 9000\n\
                    queue 32\nsysctl net.ipv4.tcp_wmem 4096 65536";
        let profile = Profile::parse(text).unwrap();
        assert_eq!(profile.rtt(0, 1), ms(10.0));
        assert_eq!(profile.rtt(2, 1), ms(3.0));
    }

    #[test]
    fn mistakes_are_refused() {
        for text in [
            "",
            "sites a a\nrtt * * 1",
            "sites a host\nrtt * * 1",
            "sites A b\nrtt * * 1",
            "sites a b c\nrtt a b 1",
            "sites a b\nrtt a b -1",
            "sites a b\nrtt a b nan",
            "sites a b\nrtt a b 60001",
            "sites a b\nrtt a c 1",
            "sites a b\nrtt a b 1 loss 101",
            "sites a b\nrtt a b 1 loss",
            "sites a b\nrtt a b 1\nmtu many",
            "sites a b\nrtt a b 1\nsysctl kernel.x 1",
            "sites a b\nrtt a b 1\nsites c d",
            "rtt a b 1\nsites a b",
        ] {
            assert!(Profile::parse(text).is_err(), "{text:?}");
        }
        assert!(Profile::built_in("mars").is_err());
        assert!(Profile::uniform(0, Duration::ZERO).is_err());
    }

    #[test]
    fn a_profile_can_be_put_in_another_order() {
        let profile = Profile::built_in("lUs").unwrap();
        let order = ["oregon", "ohio", "ncalifornia"].map(str::to_owned);
        let other = profile.in_order(&order).unwrap();
        assert_eq!(other.rtt(1, 2), profile.rtt(0, 1));
        assert_eq!(other.rtt(0, 1), profile.rtt(2, 0));
        assert_eq!(profile.in_order(&order[..2]), None);
    }

    #[test]
    fn a_uniform_profile_has_one_distance() {
        let profile = Profile::uniform(3, ms(7.0)).unwrap();
        assert_eq!(profile.sites(), ["a", "b", "c"]);
        assert_eq!(profile.rtt(0, 2), ms(7.0));
        assert_eq!(profile.rtt(2, 2), Duration::ZERO);
    }
}
