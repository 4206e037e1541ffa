//! The tables of recipes.

use music_api::code::Code;
use music_api::table::TableMode;

use crate::client::Client;
use crate::error::Error;
use crate::key::RecordKey;
use crate::recipes::refusal::{self, Refusal};
use crate::section::CriticalSection;
use crate::section::request::LockRequest;
use crate::watch::Watch;

/// The critical table of locks.
pub const LOCKS: &str = "locks";
/// The critical table of recipes' state.
pub const TABLE: &str = "recipes";
/// The eventual table of groups.
pub const GROUPS: &str = "groups";

/// The longest name of a recipe, in bytes: a key has 1,024.
const NAME_BYTES_MAX: usize = 900;

/// The mode of a recipe's table.
fn mode(table: &str) -> TableMode {
    if table == GROUPS {
        TableMode::Eventual
    } else {
        TableMode::Critical
    }
}

/// The record of a recipe of that kind and name.
pub(crate) fn record(kind: &str, name: &str) -> Result<RecordKey, Refusal> {
    check_name(name)?;
    Ok(RecordKey::new(TABLE, format!("{kind}/{name}")))
}

/// Checks a recipe's name.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    refusal::name("a recipe", name, NAME_BYTES_MAX)
}

/// Does something that needs a table, which is created where it is missing.
pub(crate) async fn with<T, F>(
    client: &Client,
    table: &str,
    attempt: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    match attempt().await {
        Err(error) if error.code() == Some(Code::NoSuchTable) => {
            create(client, table).await?;
            attempt().await
        }
        ended => ended,
    }
}

/// Creates a recipe's table, or finds it.
pub(crate) async fn create(client: &Client, table: &str) -> Result<(), Error> {
    client.create_table(table, mode(table)).await.map(drop)
}

/// Connects a watch of a recipe's table.
pub(crate) async fn listen(client: &Client, table: &str, watch: &mut Watch) -> Result<(), Error> {
    match watch.begin().await {
        Err(error) if error.code() == Some(Code::NoSuchTable) => {
            create(client, table).await?;
            watch.begin().await
        }
        ended => ended,
    }
}

/// Acquires a lock of keys in a recipe's table.
pub(crate) async fn acquire(
    client: &Client,
    table: &str,
    request: impl Fn() -> LockRequest,
) -> Result<CriticalSection, Error> {
    // On the heap: recipes await several of these.
    with(client, table, || Box::pin(request().acquire())).await
}
