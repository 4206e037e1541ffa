//! The nodes a client knows, its own site's first.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;

use crate::clock::Instant;
use crate::error::Invalid;

/// The nodes in the order of preference, and which failed lately.
#[derive(Debug)]
pub(crate) struct Endpoints {
    urls: Vec<String>,
    failed: Mutex<Vec<Option<Instant>>>,
}

impl Endpoints {
    /// Takes the addresses, the preferred first.
    pub(crate) fn new(urls: impl IntoIterator<Item = String>) -> Result<Self, Invalid> {
        let urls = urls
            .into_iter()
            .map(|url| base(&url))
            .collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(Invalid::NoEndpoint);
        }
        let failed = Mutex::new(vec![None; urls.len()]);
        Ok(Self { urls, failed })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.urls.len()
    }

    /// The address of one, without a slash at its end.
    pub(crate) fn url(&self, at: usize) -> &str {
        self.urls.get(at).map_or("", String::as_str)
    }

    /// All addresses.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// All of them: first those that did not fail within `avoid`, in the order
    /// of preference, then the others.
    pub(crate) fn order(&self, now: Instant, avoid: Duration) -> Vec<usize> {
        let failed = self.failed();
        let avoided = |at: &usize| {
            let at = failed.get(*at).copied().flatten();
            at.is_some_and(|at| now.saturating_duration_since(at) < avoid)
        };
        let mut order: Vec<usize> = (0..self.urls.len()).collect();
        order.sort_by_key(avoided);
        order
    }

    /// Notes how the last attempt at a node ended.
    pub(crate) fn note(&self, at: usize, failed: Option<Instant>) {
        if let Some(entry) = self.failed().get_mut(at) {
            *entry = failed;
        }
    }

    fn failed(&self) -> MutexGuard<'_, Vec<Option<Instant>>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn base(text: &str) -> Result<String, Invalid> {
    let invalid = || Invalid::Endpoint(text.to_owned());
    let url = Url::parse(text.trim()).ok().ok_or_else(invalid)?;
    let plain = url.scheme() == "http" && url.has_host();
    if !plain || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    fn three() -> Endpoints {
        Endpoints::new(["http://a:1", "http://b:2/", "http://c:3/x/"].map(str::to_owned)).unwrap()
    }

    #[test]
    fn an_address_has_no_slash_at_its_end() {
        assert_eq!(three().urls(), ["http://a:1", "http://b:2", "http://c:3/x"]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "localhost", "a:1", "https://a", "http://a?b", "ftp://a"] {
            assert!(Endpoints::new([text.to_owned()]).is_err(), "{text}");
        }
        assert!(matches!(Endpoints::new([]), Err(Invalid::NoEndpoint)));
    }

    #[test]
    fn a_node_that_failed_comes_last_for_a_while() {
        let (nodes, avoid) = (three(), Duration::from_secs(5));
        let then = now();
        nodes.note(0, Some(then));
        assert_eq!(nodes.order(then, avoid), [1, 2, 0]);
        assert_eq!(nodes.order(then + avoid, avoid), [0, 1, 2]);
        nodes.note(0, None);
        assert_eq!(nodes.order(then, avoid), [0, 1, 2]);
    }
}
