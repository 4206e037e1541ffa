//! The systems of a site that MUSIC does not control.
//!
//! What runs at a site is known to that site's own cloud: it has no part in
//! MUSIC's stamps, so a worker that lost its lock and does not know it yet
//! could still create something there. The *fencing token* closes that hole:
//! each request carries the token of the template's lock, and an inventory
//! refuses a token lower than the highest it has seen for that template. That
//! is all this service asks of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use music_client::Outcome;

/// What runs at a site, by template.
pub trait Inventory: Clone + Send + Sync + 'static {
    /// Creates what a template describes, or finds it there.
    ///
    /// # Errors
    /// [`Error::Stale`] where a higher token was seen for this template.
    fn create(&self, template: &str, token: u64) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes what a template describes, if it is there. Whether it is or
    /// not, no request with a lower token succeeds from now on. Returns
    /// whether it was there.
    ///
    /// # Errors
    /// [`Error::Stale`] where a higher token was seen for this template.
    fn remove(
        &self,
        template: &str,
        token: u64,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// The templates that run at the site, each with the token of the request
    /// that created it or found it there last.
    ///
    /// # Errors
    /// [`Error::Failed`] where the site's system does not answer.
    fn list(&self) -> impl Future<Output = Result<BTreeMap<String, u64>, Error>> + Send;
}

/// Why an inventory did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A later section has been here: the one that asks has lost its lock.
    #[error("token {token} for {template:?} is out of date: {highest} has been seen")]
    Stale {
        /// The template.
        template: String,
        /// The token of the request.
        token: u64,
        /// The highest token seen for the template.
        highest: u64,
    },
    /// The site's own system failed; the effect may have happened.
    #[error("the inventory of the site failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether the effect may have happened.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Stale { .. } => Outcome::NotApplied,
            Self::Failed(_) => Outcome::Unknown,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// An inventory in memory; clones are the same inventory.
#[derive(Debug, Clone, Default)]
pub struct MemoryInventory {
    stacks: Arc<Mutex<BTreeMap<String, Stack>>>,
}

/// What an inventory knows of a template.
#[derive(Debug, Clone, Copy, Default)]
struct Stack {
    /// Highest token seen.
    highest: u64,
    /// Whether it runs.
    runs: bool,
}

impl MemoryInventory {
    /// An inventory of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a request pass that no later section has overtaken.
    fn admit<T>(
        &self,
        template: &str,
        token: u64,
        change: impl FnOnce(&mut Stack) -> T,
    ) -> Result<T, Error> {
        let mut stacks = self.stacks();
        let stack = stacks.entry(template.to_owned()).or_default();
        if token < stack.highest {
            let (template, highest) = (template.to_owned(), stack.highest);
            return Err(Error::Stale {
                template,
                token,
                highest,
            });
        }
        stack.highest = token;
        Ok(change(stack))
    }

    fn stacks(&self) -> MutexGuard<'_, BTreeMap<String, Stack>> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inventory for MemoryInventory {
    async fn create(&self, template: &str, token: u64) -> Result<(), Error> {
        self.admit(template, token, |stack| stack.runs = true)
    }

    async fn remove(&self, template: &str, token: u64) -> Result<bool, Error> {
        self.admit(template, token, |stack| {
            std::mem::replace(&mut stack.runs, false)
        })
    }

    async fn list(&self) -> Result<BTreeMap<String, u64>, Error> {
        let stacks = self.stacks();
        let running = stacks.iter().filter(|(_, stack)| stack.runs);
        Ok(running
            .map(|(name, stack)| (name.clone(), stack.highest))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_created_twice_is_there_once() {
        let inventory = MemoryInventory::new();
        inventory.create("web", 3).await.unwrap();
        inventory.create("web", 5).await.unwrap();
        let expected = BTreeMap::from([("web".to_owned(), 5)]);
        assert_eq!(inventory.list().await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_token_that_was_overtaken_neither_creates_nor_removes() {
        let inventory = MemoryInventory::new();
        inventory.create("web", 5).await.unwrap();
        for stale in [
            inventory.create("web", 4).await.err(),
            inventory.remove("web", 4).await.err(),
        ] {
            assert!(matches!(stale, Some(Error::Stale { highest: 5, .. })));
        }
        assert!(inventory.remove("web", 5).await.unwrap());
    }

    #[tokio::test]
    async fn removing_what_is_not_there_shuts_out_earlier_tokens() {
        let inventory = MemoryInventory::new();
        assert!(!inventory.remove("web", 7).await.unwrap());
        assert!(inventory.create("web", 6).await.is_err());
        assert!(inventory.list().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn tokens_of_one_template_say_nothing_of_another() {
        let inventory = MemoryInventory::new();
        inventory.create("web", 5).await.unwrap();
        inventory.create("database", 1).await.unwrap();
        assert_eq!(inventory.list().await.unwrap().len(), 2);
    }
}
