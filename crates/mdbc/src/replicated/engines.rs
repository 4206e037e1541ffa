//! Which engine each site has: all have the same. What is in the logs is
//! understood by the engine that wrote it alone; an entry of another is refused
//! wherever it comes from, and here it is told before there is one.

use std::collections::BTreeMap;

use music_client::Client;
use music_client::api::name::Value;

use super::unavailable;
use crate::error::{Result, SqlError, state};

/// The record in the table of the sites: its fields are sites. No site has such a
/// name.
const RECORD: &str = ":engines";

/// Says which engine this site has, and looks at what the others have said.
pub(super) async fn agree(
    client: &Client,
    database: &str,
    site: &str,
    engine: &'static str,
) -> Result<()> {
    let table = format!("mdbc_{database}_sites");
    let record = (table.as_str(), RECORD);
    let said = client.fields(record).await.map_err(unavailable)?;
    let said = said.map(|record| record.fields).unwrap_or_default();
    for (other, theirs) in &said {
        let Value::Text(theirs) = theirs else {
            continue;
        };
        if other != site && theirs != engine {
            return Err(SqlError::new(
                state::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("site {other} has the engine {theirs}, and this one {engine}"),
            )
            .with_hint(
                "All sites of a database have the same engine. Give this one a name of its own.",
            ));
        }
    }
    let own = Value::Text(engine.to_owned());
    if said.get(site) == Some(&own) {
        return Ok(());
    }
    let fields = BTreeMap::from([(site.to_owned(), Some(own))]);
    let put = client.put_fields(record, fields).await;
    put.map(drop).map_err(unavailable)
}
