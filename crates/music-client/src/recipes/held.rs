//! Sections that a recipe gave out by their lockRefs.

use music_api::lock::LockMode;
use music_api::lock_ref::LockRef;

use crate::client::Client;
use crate::error::{Error, Invalid};
use crate::key::RecordKey;
use crate::recipes::refusal::Refusal;
use crate::section::CriticalSection;

/// Takes up a section of that record again. One of another record is left as it
/// is.
///
/// # Errors
/// [`Refusal::ForeignLock`]; as [`Client::resume`].
///
/// # Cost
/// As [`Client::resume`].
///
/// # Cancel safety
/// As [`Client::resume`]; once it is taken up, dropping it releases it.
pub(crate) async fn resume(
    client: &Client,
    record: &RecordKey,
    lock_ref: &str,
) -> Result<CriticalSection, Error> {
    let named = LockRef::decode(lock_ref).map_err(Invalid::from)?;
    let [(_, key)] = named.keys.as_slice() else {
        return Err(foreign(record, "it locks several keys").into());
    };
    if *key != record.key {
        return Err(foreign(record, "it is a token from another key").into());
    }
    if named.mode == LockMode::Shared {
        return Err(foreign(record, "it is a shared one").into());
    }
    let section = client.resume(lock_ref).await?;
    // A lockRef names its table by a number that only nodes know.
    let tokens = section.tokens();
    if tokens.iter().all(|token| token.key == record.to_api()) {
        return Ok(section);
    }
    Err(leave(section, record, "it is a token from another key").into())
}

/// Leaves a section that was taken up by mistake as it was.
pub(crate) fn leave(section: CriticalSection, record: &RecordKey, why: &'static str) -> Refusal {
    drop(section.detach());
    foreign(record, why)
}

fn foreign(record: &RecordKey, why: &'static str) -> Refusal {
    let recipe = String::from_utf8_lossy(&record.key).into_owned();
    Refusal::ForeignLock { recipe, why }
}
