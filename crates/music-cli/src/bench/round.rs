//! How long a round is at each site, and how many rounds things should take.

use std::time::Duration;

use music_client::api::status::LinkStatus;
use music_client::{Client, Options};

use super::error::Error;
use crate::failure::Failure;

/// Rounds of an enqueue with the embedded lock store: prepare and accept.
pub(super) const ENQUEUE: u32 = 2;

/// The nodes to measure, the first of each site.
#[derive(Debug)]
pub(super) struct Nodes {
    /// In the order in which they were given.
    pub(super) each: Vec<Node>,
    links: Vec<LinkStatus>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it listens.
    pub(super) url: String,
    /// Its site.
    pub(super) site: String,
}

impl Nodes {
    /// Asks the nodes where they are.
    pub(super) async fn ask(urls: &[String]) -> Result<Self, Failure> {
        let mut nodes = Self {
            each: Vec::new(),
            links: Vec::new(),
        };
        for url in urls {
            let status = Client::new([url.clone()], Options::default())?
                .status()
                .await?;
            if nodes.each.iter().all(|node| node.site != status.site) {
                nodes.each.push(Node {
                    url: url.clone(),
                    site: status.site,
                });
            }
            nodes.add(status.links);
        }
        if nodes.each.is_empty() {
            return Err(Error::NoNode.into());
        }
        Ok(nodes)
    }

    /// Adds what another node knows of: all links, or those of its site.
    fn add(&mut self, links: Vec<LinkStatus>) {
        for link in links {
            let same = |known: &LinkStatus| {
                (&known.a, &known.b) == (&link.a, &link.b)
                    || (&known.a, &known.b) == (&link.b, &link.a)
            };
            if !self.links.iter().any(same) {
                self.links.push(link);
            }
        }
    }

    /// The round trip from a site to the farthest of its nearest majority.
    pub(super) fn round(&self, site: &str) -> Duration {
        round(site, &self.links)
    }
}

fn round(site: &str, links: &[LinkStatus]) -> Duration {
    let mut others: Vec<f64> = links
        .iter()
        .filter(|link| link.a == site || link.b == site)
        .map(|link| link.rtt_ms)
        .collect();
    others.sort_by(f64::total_cmp);
    // With itself, a majority of n sites needs n / 2 others.
    let needed = others.len().div_ceil(2);
    let farthest = needed.checked_sub(1).and_then(|last| others.get(last));
    Duration::from_secs_f64(farthest.copied().unwrap_or_default().max(0.0) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(all: &[(&str, &str, f64)]) -> Vec<LinkStatus> {
        let link = |(a, b, rtt_ms): &(&str, &str, f64)| LinkStatus {
            a: (*a).to_owned(),
            b: (*b).to_owned(),
            rtt_ms: *rtt_ms,
            cut_a_to_b: false,
            cut_b_to_a: false,
        };
        all.iter().map(link).collect()
    }

    #[test]
    fn a_round_reaches_the_nearest_majority() {
        let links = links(&[("o", "n", 53.79), ("o", "w", 72.14), ("n", "w", 24.2)]);
        for (site, ms) in [("o", 53.79), ("n", 24.2), ("w", 24.2)] {
            assert_eq!(
                round(site, &links),
                Duration::from_secs_f64(ms / 1e3),
                "{site}"
            );
        }
    }

    /// As nodes whose engines are services of their own tell: each of its site.
    #[test]
    fn what_each_node_knows_is_put_together() {
        let mut nodes = Nodes {
            each: Vec::new(),
            links: Vec::new(),
        };
        nodes.add(links(&[("o", "n", 53.79), ("o", "w", 72.14)]));
        nodes.add(links(&[("n", "o", 53.8), ("n", "w", 24.2)]));
        assert_eq!(nodes.links.len(), 3);
        assert_eq!(nodes.round("n"), Duration::from_secs_f64(0.0242));
        assert_eq!(nodes.round("o"), Duration::from_secs_f64(0.05379));
    }

    #[test]
    fn of_five_sites_the_third_nearest_counts() {
        let links = links(&[
            ("a", "b", 1.0),
            ("a", "c", 4.0),
            ("a", "d", 3.0),
            ("a", "e", 2.0),
        ]);
        assert_eq!(round("a", &links), Duration::from_millis(2));
    }

    #[test]
    fn a_single_site_needs_no_round() {
        assert_eq!(round("a", &[]), Duration::ZERO);
    }
}
