//! Watching a state at the nearest replica.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use music_api::code::Code;
use serde::de::DeserializeOwned;

use super::answers::Held;
use super::reading::understand_value;
use super::{ANNOUNCED, Document};
use crate::client::Client;
use crate::error::Error;
use crate::recipes::table::{self, TABLE};
use crate::watch::{Watch, WatchEvent, WatchTarget};

impl<S> Document<S> {
    /// Watches the state at the nearest replica.
    pub(crate) fn observe(&self) -> Seen<S> {
        Seen {
            watch: self.client.watch(&WatchTarget::Record(self.record.clone())),
            client: self.client.clone(),
            state: PhantomData,
        }
    }
}

/// A state that is watched at the nearest replica; ends when it is dropped.
pub(crate) struct Seen<S> {
    client: Client,
    watch: Watch,
    state: PhantomData<fn() -> S>,
}

impl<S> fmt::Debug for Seen<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seen").field(&self.watch).finish()
    }
}

impl<S: DeserializeOwned> Seen<S> {
    /// The state as it is, then as it changes.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<S>, Error> {
        self.field("").await.map(Held::state)
    }

    /// What is announced, then each change.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn announced(&mut self) -> Result<Option<S>, Error> {
        self.field(ANNOUNCED).await
    }

    async fn field<T: DeserializeOwned>(&mut self, field: &str) -> Result<Option<T>, Error> {
        loop {
            match self.watch.next().await {
                Ok(WatchEvent::Record(change)) => {
                    let value = change.record.fields.get(field);
                    return value.map(understand_value).transpose();
                }
                Ok(WatchEvent::Reset | WatchEvent::Queue(_)) => {}
                Err(error) if error.code() == Some(Code::NoSuchTable) => {
                    table::create(&self.client, TABLE).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits for so long at most; `None` afterwards.
pub(crate) async fn within<T>(
    wait: Duration,
    what: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, Error> {
    match tokio::time::timeout(wait, what).await {
        Ok(ended) => ended.map(Some),
        Err(_) => Ok(None),
    }
}
