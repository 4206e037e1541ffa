//! The list of a database's sites.

use std::collections::BTreeSet;

use super::SitesError;

/// The most sites of a database.
pub const SITES_MAX: usize = 32;

/// The sites of a database. All sites must have the same list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteList {
    version: u64,
    names: BTreeSet<String>,
}

impl SiteList {
    /// A list of sites. Whoever changes it gives it a higher version.
    ///
    /// # Errors
    /// [`SitesError::List`] where there is no site, there are more than
    /// [`SITES_MAX`], or a name is empty or has a comma or colon in it.
    pub fn new<N: Into<String>>(
        version: u64,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, SitesError> {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        let is_name = |name: &String| !name.is_empty() && !name.contains([',', ':']);
        if names.is_empty() || names.len() > SITES_MAX || !names.iter().all(is_name) {
            return Err(SitesError::List(names.into_iter().collect()));
        }
        Ok(Self { version, names })
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn contains(&self, site: &str) -> bool {
        self.names.contains(site)
    }

    /// Whether the other list has taken this one's place.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.version < other.version
    }

    /// More than half of the sites.
    pub(crate) fn majority(&self) -> usize {
        self.names.len() / 2 + 1
    }

    pub(super) fn to_text(&self) -> String {
        let names: Vec<&str> = self.names().collect();
        format!("{}:{}", self.version, names.join(","))
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (version, names) = text.split_once(':')?;
        Self::new(version.parse().ok()?, names.split(',')).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = SiteList::new(3, ["ohio", "oregon"]).unwrap();
        assert_eq!(SiteList::from_text(&list.to_text()), Some(list));
        assert!(SiteList::new(1, ["a,b"]).is_err());
        assert!(SiteList::new(1, Vec::<String>::new()).is_err());
    }
}
