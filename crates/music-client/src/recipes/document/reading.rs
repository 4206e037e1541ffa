//! What records and values hold, as states.

use music_api::name::Value;
use music_api::table::Record;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::Value as Json;

use super::answers::Held;
use crate::content::{Content, Stored};
use crate::error::{Error, Invalid};
use crate::recipes::refusal::Refusal;

pub(super) fn understand<T: DeserializeOwned>(stored: &Stored) -> Result<T, Error> {
    serde_json::from_slice(&stored.content.bytes).map_err(|fault| foreign(&fault).into())
}

pub(super) fn understand_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    match value {
        Value::Json(json) => T::deserialize(json).map_err(|fault| foreign(&fault).into()),
        Value::Text(_) | Value::Base64 { .. } => {
            Err(Refusal::Foreign("it is no JSON".into()).into())
        }
    }
}

/// The state that a record holds, if it is one of that kind.
pub(crate) fn state<S: DeserializeOwned>(record: &Record) -> Option<S> {
    let value = record.fields.get("")?;
    understand_value::<Held<S>>(value)
        .ok()
        .map(|held| held.state)
}

/// The content of a value that a state holds.
pub(crate) fn content(value: Value) -> Result<Content, Refusal> {
    Content::from_value(value).map_err(|fault| Refusal::Foreign(fault.to_string()))
}

pub(super) fn foreign(fault: &serde_json::Error) -> Refusal {
    Refusal::Foreign(fault.to_string())
}

pub(super) fn json(value: &impl Serialize) -> Result<Json, Invalid> {
    serde_json::to_value(value).map_err(Invalid::Json)
}
