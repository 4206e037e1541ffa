//! Numbered locks, of which any will do.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use music_api::lock_ref::LockRef;

use crate::client::Client;
use crate::error::{Error, Invalid};
use crate::key::RecordKey;
use crate::recipes::held;
use crate::recipes::refusal::Refusal;
use crate::recipes::table;
use crate::section::CriticalSection;

/// A slot that is held.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Its number, from 0.
    pub(crate) number: u64,
    pub(crate) section: CriticalSection,
}

/// The slots of one recipe.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    client: Client,
    kind: &'static str,
    name: String,
}

impl Slots {
    pub(crate) fn new(client: &Client, kind: &'static str, name: &str) -> Result<Self, Refusal> {
        table::check_name(name)?;
        Ok(Self {
            client: client.clone(),
            kind,
            name: name.to_owned(),
        })
    }

    /// The record of a slot.
    pub(crate) fn record(&self, number: u64) -> RecordKey {
        let (kind, name) = (self.kind, &self.name);
        RecordKey::new(table::TABLE, format!("{kind}/{name}/{number}"))
    }

    /// Waits for any of these slots and gives the others up; `None` where none
    /// is granted within the wait.
    ///
    /// # Cost
    /// An enqueue's time, and an enqueue's messages for each.
    ///
    /// # Cancel safety
    /// Dropping the future gives all places up.
    pub(crate) async fn any(
        &self,
        numbers: impl IntoIterator<Item = u64>,
        wait: Option<Duration>,
    ) -> Result<Option<Slot>, Error> {
        let mut requests: FuturesUnordered<_> = numbers
            .into_iter()
            .map(|number| self.acquire(number, wait))
            .collect();
        let mut failed = None;
        while let Some(ended) = requests.next().await {
            match ended {
                Ok(slot) => return Ok(Some(slot)),
                Err(Error::TimedOut { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// A slot that was given out by its lockRef, taken up again.
    ///
    /// # Errors
    /// [`Refusal::ForeignLock`]; as [`Client::resume`].
    ///
    /// # Cost
    /// As [`Client::resume`].
    ///
    /// # Cancel safety
    /// As [`Client::resume`].
    pub(crate) async fn resume(&self, lock_ref: &str) -> Result<Slot, Error> {
        let named = LockRef::decode(lock_ref).map_err(Invalid::from)?;
        let key = named.keys.into_iter().next();
        let key = key.and_then(|(_, key)| String::from_utf8(key).ok());
        let prefix = format!("{}/{}/", self.kind, self.name);
        let number = key.and_then(|key| key.strip_prefix(&prefix)?.parse().ok());
        // Of another recipe: that is said where its record is compared.
        let number = number.unwrap_or_default();
        let section = held::resume(&self.client, &self.record(number), lock_ref).await?;
        Ok(Slot { number, section })
    }

    async fn acquire(&self, number: u64, wait: Option<Duration>) -> Result<Slot, Error> {
        let record = self.record(number);
        let request = || {
            let request = self.client.lock([&record]);
            match wait {
                Some(wait) => request.wait(wait),
                None => request,
            }
        };
        let section = table::acquire(&self.client, table::TABLE, request).await?;
        Ok(Slot { number, section })
    }
}
