//! Statements that change rows of a table, whatever its columns are.

use tokio_postgres::GenericClient;

use super::digest::{Name, quote};
use super::link::told;
use crate::error::Result;

/// What rows are called, so that no column of the user's is.
const ROW: &str = "\"mdbc:row\"";

/// The columns of a table, in quotes.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Those whose values can be given.
    stored: Vec<String>,
    /// Those of the primary key.
    key: Vec<String>,
}

/// The columns of a table as it is now.
pub(super) async fn columns(client: &impl GenericClient, table: &Name) -> Result<Columns> {
    let query = "SELECT a.attname::text, a.attgenerated = '', \
            coalesce(a.attnum = ANY (i.indkey), false) \
        FROM pg_attribute AS a \
        LEFT JOIN pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary \
        WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped \
        ORDER BY a.attnum";
    let rows = client.query(query, &[&table.quoted()]).await;
    let mut columns = Columns::default();
    for row in rows.map_err(told)? {
        let name = quote(row.try_get(0).map_err(told)?);
        if row.try_get(2).map_err(told)? {
            columns.key.push(name.clone());
        }
        if row.try_get(1).map_err(told)? {
            columns.stored.push(name);
        }
    }
    Ok(columns)
}

impl Columns {
    /// Those whose values can be given, in quotes.
    pub(super) fn stored(self) -> Vec<String> {
        self.stored
    }

    /// Takes out rows, which must be exactly as the texts say.
    pub(super) fn delete(&self, table: &Name) -> String {
        let name = table.quoted();
        let key = self.key.iter();
        let tests: Vec<String> = key
            .map(|column| format!("{ROW}.{column} = (\"mdbc:gone\".r).{column}"))
            .chain([format!("row({ROW}.*)::text = \"mdbc:gone\".t")])
            .collect();
        format!(
            "DELETE FROM ONLY {name} AS {ROW} USING \
             (SELECT t, t::{name} AS r FROM unnest($1::text[]) AS t OFFSET 0) AS \"mdbc:gone\" \
             WHERE {}",
            tests.join(" AND ")
        )
    }

    /// Puts in rows.
    pub(super) fn insert(&self, table: &Name) -> String {
        let name = table.quoted();
        let stored = self.stored.iter();
        let values: Vec<String> = stored
            .map(|column| format!("(\"mdbc:new\".r).{column}"))
            .collect();
        format!(
            "INSERT INTO {name} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM \
             (SELECT t::{name} AS r FROM unnest($1::text[]) AS t OFFSET 0) AS \"mdbc:new\"",
            self.stored.join(", "),
            values.join(", ")
        )
    }
}
