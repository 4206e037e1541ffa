//! How a site tells the others that it does not get through at a register.
//!
//! Beside it is a row that is written plainly, at the own data centre, and reaches
//! the others a little later: the time of the last plea. It costs no round, and is
//! gone after a minute. Nothing rests on it but who goes first.

use super::failure::Failure;
use super::register::Place;
use super::session::{Access, Cql};
use crate::Level;

/// The pleas of a table have this number less the table's: below those of the
/// engine's own registers.
const PLEAS: i64 = -1_000_000;

fn table_id(place: &Place) -> i64 {
    PLEAS.saturating_sub(place.table_id)
}

/// Asks the others to give way; `now_us` is in microseconds since 1970.
pub(super) async fn plead(cql: &Cql, place: &Place, now_us: i64) -> Result<(), Failure> {
    let text = format!(
        "UPDATE {}.registers USING TTL 60 SET released = ? WHERE table_id = ? AND key = ?",
        cql.keyspace()
    );
    let bound = (now_us, table_id(place), &place.key);
    cql.execute(text, Access::Plain(Level::Local), bound)
        .await
        .map(drop)
}

/// When somebody has pleaded last, as far as the own data centre knows.
pub(super) async fn last(cql: &Cql, place: &Place) -> Result<Option<i64>, Failure> {
    let text = format!(
        "SELECT released FROM {}.registers WHERE table_id = ? AND key = ?",
        cql.keyspace()
    );
    let bound = (table_id(place), &place.key);
    let access = Access::Plain(Level::Local);
    let rows: Vec<(Option<i64>,)> = cql.rows(text, access, bound).await?;
    Ok(rows.into_iter().next().and_then(|(at_us,)| at_us))
}
