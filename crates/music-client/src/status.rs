//! What nodes tell of themselves and of queues, and what administrators do.

use music_api::code::Code;
use music_api::lock::{Forced, Lock};
use music_api::queue::Queue;
use music_api::run::{Run, RunResult};
use music_api::status::Status;
use reqwest::Method;

use crate::call::{Call, Repeat};
use crate::client::Client;
use crate::error::{Error, Outcome};
use crate::key::{RecordKey, percent_encode};

impl Client {
    /// What the first node that serves tells of itself and its engine.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn status(&self) -> Result<Status, Error> {
        self.inner
            .request(&Call::read("/v1/status".to_owned()))
            .await?
            .json()
    }

    /// Who holds the lock of a key, and who waits: the first page of its queue.
    ///
    /// # Errors
    /// [`Error::Problem`] where there is no such table; [`Error::Unavailable`]
    /// where no majority answers.
    ///
    /// # Cost
    /// One linearizable read of the lock store.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn queue(&self, record: impl Into<RecordKey>) -> Result<Queue, Error> {
        let path = queue_path(&record.into())?;
        self.inner.request(&Call::read(path).wide()).await?.json()
    }

    /// Removes a ticket from a queue by force: the section it belongs to is
    /// taken for dead. Whether it was there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no majority answers.
    ///
    /// # Cost
    /// One consensus.
    ///
    /// # Cancel safety
    /// The ticket may or may not be removed.
    pub async fn force_ticket(
        &self,
        record: impl Into<RecordKey>,
        number: u64,
    ) -> Result<bool, Error> {
        let path = format!("{}/{number}", queue_path(&record.into())?);
        let call = Call::change(Method::DELETE, path, Repeat::AnyNode).wide();
        match self.inner.request(&call).await {
            Ok(_) => Ok(true),
            Err(error) if is_none(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends a section by force, whoever keeps it. Whether some ticket of it was
    /// still there.
    ///
    /// # Errors
    /// [`Error::Problem`] where the string is no lockRef; others where no
    /// majority answers.
    ///
    /// # Cost
    /// One consensus for each key.
    ///
    /// # Cancel safety
    /// The section may or may not be ended.
    pub async fn force(&self, lock_ref: &str) -> Result<bool, Error> {
        let path = format!("/v1/locks/{}/force", percent_encode(lock_ref.as_bytes()));
        let call = Call::change(Method::POST, path, Repeat::AnyNode).wide();
        Ok(self.inner.request(&call).await?.json::<Forced>()?.removed)
    }

    /// Where a section stands, asked of the first node that serves. Does not
    /// prove that its client lives.
    ///
    /// # Errors
    /// [`Error::Problem`] where that node does not keep it.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn lock_state(&self, lock_ref: &str) -> Result<Lock, Error> {
        let path = format!("/v1/locks/{}", percent_encode(lock_ref.as_bytes()));
        self.inner.request(&Call::read(path)).await?.json()
    }

    /// Does a whole small section in one request: lock, compare, do the steps,
    /// release.
    ///
    /// # Errors
    /// Where [`Error::outcome`] is unknown, the steps may have taken effect.
    ///
    /// # Cost
    /// One enqueue and the steps' rounds.
    ///
    /// # Cancel safety
    /// The steps may or may not take effect.
    pub async fn run(&self, run: &Run) -> Result<RunResult, Error> {
        let call = Call::change(Method::POST, "/v1/run".to_owned(), Repeat::SameNode).wide();
        self.inner.request(&call.json(run)?).await?.json()
    }
}

/// Whether there is no such ticket, and no earlier attempt can have removed it.
fn is_none(error: &Error) -> bool {
    error.code() == Some(Code::NoSuchTicket) && error.outcome() == Outcome::NotApplied
}

fn queue_path(record: &RecordKey) -> Result<String, Error> {
    let path = record.path()?;
    let path = path.strip_prefix("/tables/").unwrap_or(&path);
    // The same two segments, without the word between them.
    Ok(format!("/v1/queues/{}", path.replacen("/keys/", "/", 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_table_and_key() {
        let path = queue_path(&("t", "keys/a").into()).unwrap();
        assert_eq!(path, "/v1/queues/t/keys%2Fa");
        assert_eq!(
            queue_path(&("keys", "a").into()).unwrap(),
            "/v1/queues/keys/a"
        );
    }
}
