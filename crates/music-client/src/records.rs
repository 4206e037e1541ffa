//! Reading and writing records: outside of sections, and the requests that
//! those inside have in common.

use std::collections::BTreeMap;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use music_api::code::Code;
use music_api::name::{FieldChanges, Value};
use music_api::table::{PatchFields, Record, RecordPage, Written};
use reqwest::Method;

use crate::call::{Call, Repeat};
use crate::client::Client;
use crate::content::{Content, Stored};
use crate::error::{Error, Invalid};
use crate::key::{Cell, RecordKey, segment};
use crate::transport::Answer;

/// The base of paths outside of sections.
const BASE: &str = "/v1";

/// Which records a scan reads.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// Only keys that begin so; empty for all.
    pub prefix: Vec<u8>,
    /// How many records a page has at most; the node's default if `None`.
    pub page_size: Option<u32>,
    /// Where to go on: a page's cursor; from the beginning if `None`.
    pub cursor: Option<String>,
}

impl Client {
    /// Reads a value at the nearest replica; `None` where there is none. It may
    /// be older than what a critical section would read.
    ///
    /// # Errors
    /// [`Error::Problem`] where there is no such table; [`Error::Unavailable`]
    /// where no node serves.
    ///
    /// # Cost
    /// A request to the own site; no wide-area round.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn get(&self, cell: impl Into<Cell>) -> Result<Option<Stored>, Error> {
        let call = get(BASE, &cell.into())?;
        value_or_none(self.inner.request(&call).await)
    }

    /// Reads all fields of a record at the nearest replica; `None` where it has
    /// none.
    ///
    /// # Errors
    /// As [`Client::get`].
    ///
    /// # Cost
    /// As [`Client::get`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn fields(&self, record: impl Into<RecordKey>) -> Result<Option<Record>, Error> {
        let call = get_fields(BASE, &record.into())?;
        record_or_none(self.inner.request(&call).await)
    }

    /// Writes a value of an eventual table at the nearest replica, and returns
    /// the stamp of the write.
    ///
    /// Where a node did not answer, the put is made again at that node only,
    /// which makes one of two, unless it was started again in between.
    ///
    /// # Errors
    /// [`Error::Problem`] where there is no such table, or it is critical;
    /// others, of which [`Error::outcome`] says whether the put may have taken
    /// effect.
    ///
    /// # Cost
    /// A request to the own site; no wide-area round.
    ///
    /// # Cancel safety
    /// The put may or may not take effect.
    pub async fn put(
        &self,
        cell: impl Into<Cell>,
        value: impl Into<Content>,
    ) -> Result<u64, Error> {
        let call = put(BASE, &cell.into(), value.into())?;
        written(&self.inner.request(&call).await?)
    }

    /// Deletes one field's value in an eventual table.
    ///
    /// # Errors
    /// As [`Client::put`].
    ///
    /// # Cost
    /// As [`Client::put`].
    ///
    /// # Cancel safety
    /// The value may or may not be deleted.
    pub async fn delete_field(&self, cell: impl Into<Cell>) -> Result<u64, Error> {
        let call = delete_field(BASE, &cell.into())?;
        written(&self.inner.request(&call).await?)
    }

    /// Deletes a record of an eventual table with all its fields.
    ///
    /// # Errors
    /// As [`Client::put`].
    ///
    /// # Cost
    /// As [`Client::put`].
    ///
    /// # Cancel safety
    /// The record may or may not be deleted.
    pub async fn delete(&self, record: impl Into<RecordKey>) -> Result<u64, Error> {
        let call = delete(BASE, &record.into())?;
        written(&self.inner.request(&call).await?)
    }

    /// Writes fields of a record of an eventual table together; `None` deletes
    /// a field.
    ///
    /// # Errors
    /// As [`Client::put`].
    ///
    /// # Cost
    /// As [`Client::put`].
    ///
    /// # Cancel safety
    /// The fields may or may not be written.
    pub async fn put_fields(
        &self,
        record: impl Into<RecordKey>,
        fields: BTreeMap<String, Option<Value>>,
    ) -> Result<u64, Error> {
        let call = patch(BASE, &record.into(), fields)?;
        written(&self.inner.request(&call).await?)
    }

    /// Reads one page of a table at the nearest replica, in the order of keys.
    ///
    /// # Errors
    /// As [`Client::get`].
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn scan_page(&self, table: &str, options: &ScanOptions) -> Result<RecordPage, Error> {
        let mut call = Call::read(format!("/v1/tables/{}/keys", segment(table.as_bytes())?));
        if !options.prefix.is_empty() {
            call = call.query("prefix", &options.prefix);
        }
        if let Some(size) = options.page_size {
            call = call.query("limit", size.to_string().as_bytes());
        }
        if let Some(cursor) = &options.cursor {
            call = call.query("cursor", cursor.as_bytes());
        }
        self.inner.request(&call).await?.json()
    }

    /// Reads a table page by page, as they are asked for. What is written
    /// meanwhile may be in it or not.
    pub fn scan(
        &self,
        table: &str,
        options: ScanOptions,
    ) -> impl Stream<Item = Result<Vec<Record>, Error>> + use<> {
        let (client, table) = (self.clone(), table.to_owned());
        try_unfold(Some(options), move |next| {
            let (client, table) = (client.clone(), table.clone());
            async move {
                let Some(mut options) = next else {
                    return Ok(None);
                };
                let page = client.scan_page(&table, &options).await?;
                options.cursor = page.cursor;
                let next = options.cursor.is_some().then_some(options);
                Ok(Some((page.records, next)))
            }
        })
    }
}

/// Reads a value.
pub(crate) fn get(base: &str, cell: &Cell) -> Result<Call, Invalid> {
    Ok(with_field(
        Call::read(value_path(base, &cell.record)?),
        cell,
    ))
}

/// Writes a value.
pub(crate) fn put(base: &str, cell: &Cell, value: Content) -> Result<Call, Invalid> {
    let path = value_path(base, &cell.record)?;
    Ok(with_field(Call::change(Method::PUT, path, Repeat::SameNode), cell).body(value))
}

/// Deletes a field.
pub(crate) fn delete_field(base: &str, cell: &Cell) -> Result<Call, Invalid> {
    patch(
        base,
        &cell.record,
        BTreeMap::from([(cell.field.clone(), None)]),
    )
}

/// Deletes a record.
pub(crate) fn delete(base: &str, record: &RecordKey) -> Result<Call, Invalid> {
    Ok(Call::change(
        Method::DELETE,
        value_path(base, record)?,
        Repeat::SameNode,
    ))
}

/// Reads a record.
pub(crate) fn get_fields(base: &str, record: &RecordKey) -> Result<Call, Invalid> {
    Ok(Call::read(format!("{}/fields", value_path(base, record)?)))
}

/// Writes fields together.
pub(crate) fn patch(base: &str, record: &RecordKey, fields: FieldChanges) -> Result<Call, Invalid> {
    let path = format!("{}/fields", value_path(base, record)?);
    Call::change(Method::PATCH, path, Repeat::SameNode).json(&PatchFields { fields })
}

/// The value of an answer; none where the node says that there is none.
pub(crate) fn value_or_none(answer: Result<Answer, Error>) -> Result<Option<Stored>, Error> {
    match answer {
        Ok(answer) => {
            let content = Content::new(answer.body.clone(), answer.content_type());
            Ok(Some(Stored {
                content,
                stamp: answer.stamp(),
            }))
        }
        Err(error) if error.code() == Some(Code::NoValue) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The record of an answer; none where the node says that there is none.
pub(crate) fn record_or_none(answer: Result<Answer, Error>) -> Result<Option<Record>, Error> {
    match answer {
        Ok(answer) => answer.json().map(Some),
        Err(error) if error.code() == Some(Code::NoValue) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The stamp of a write.
pub(crate) fn written(answer: &Answer) -> Result<u64, Error> {
    Ok(answer.json::<Written>()?.stamp)
}

fn value_path(base: &str, record: &RecordKey) -> Result<String, Invalid> {
    Ok(format!("{base}{}", record.path()?))
}

fn with_field(call: Call, cell: &Cell) -> Call {
    if cell.field.is_empty() {
        call
    } else {
        call.query("field", cell.field.as_bytes())
    }
}
