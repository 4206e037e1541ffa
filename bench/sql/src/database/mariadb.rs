//! MariaDB's protocol.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, OptsBuilder, Params};

use super::{Row, Statement, Value};
use crate::arguments::Arguments;
use crate::failure::{Failure, Meaning};

/// Statements that a session keeps prepared: more than there are.
const PREPARED_MAX: usize = 256;

pub(crate) struct Session(Conn);

impl Session {
    pub(super) async fn connect(
        arguments: &Arguments,
        host: &str,
        port: u16,
    ) -> Result<Self, Failure> {
        let options = OptsBuilder::default().ip_or_hostname(host).tcp_port(port);
        let options = options
            .user(Some(&arguments.user))
            .db_name(Some(&arguments.database))
            .stmt_cache_size(PREPARED_MAX)
            // It would be asked for through a socket, which is no part of a site.
            .prefer_socket(false);
        Ok(Self(Conn::new(options).await.map_err(failure)?))
    }

    pub(super) async fn script(&mut self, sql: &str) -> Result<(), Failure> {
        self.0.query_drop(sql).await.map_err(failure)
    }

    pub(super) async fn ask(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Failure> {
        let rows: Vec<mysql_async::Row> = self.0.query(sql).await.map_err(failure)?;
        let text = |value| match value {
            Value::Null => "NULL".to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Text(text) => text,
        };
        Ok(rows
            .into_iter()
            .map(|cells| row(cells).into_iter().map(text).collect())
            .collect())
    }

    pub(super) async fn change(&mut self, (sql, values): Statement<'_>) -> Result<u64, Failure> {
        let changed = self
            .0
            .exec_iter(own(sql), parameters(values))
            .await
            .map_err(failure)?;
        let count = changed.affected_rows();
        changed.drop_result().await.map_err(failure)?;
        Ok(count)
    }

    pub(super) async fn rows(&mut self, (sql, values): Statement<'_>) -> Result<Vec<Row>, Failure> {
        let rows: Vec<mysql_async::Row> = self
            .0
            .exec(own(sql), parameters(values))
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(row).collect())
    }
}

/// A statement with `?` for `$1`, `$2` and so on.
fn own(sql: &str) -> String {
    let mut parts = sql.split('$');
    let mut own = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        own.push('?');
        own.push_str(part.trim_start_matches(|character: char| character.is_ascii_digit()));
    }
    own
}

fn parameters(values: &[Value]) -> Params {
    let value = |value: &Value| match value {
        Value::Null => mysql_async::Value::NULL,
        Value::Int(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
    };
    if values.is_empty() {
        return Params::Empty;
    }
    Params::Positional(values.iter().map(value).collect())
}

fn row(row: mysql_async::Row) -> Row {
    let value = |value| match value {
        mysql_async::Value::NULL => Value::Null,
        mysql_async::Value::Int(number) => Value::Int(number),
        mysql_async::Value::UInt(number) => Value::Int(i64::try_from(number).unwrap_or(i64::MAX)),
        mysql_async::Value::Bytes(bytes) => {
            Value::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
        other => Value::Text(format!("{other:?}")),
    };
    row.unwrap().into_iter().map(value).collect()
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Server(told) => Failure::of_mariadb(told.code, told.message),
        Error::Io(_) => Failure::lost(error),
        Error::Driver(mysql_async::DriverError::ConnectionClosed) => Failure::lost(error),
        _ => Failure::new(Meaning::Wrong, "client", error),
    }
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn parameters_are_written_as_mariadb_has_them() {
        let sql = own("UPDATE t SET a = a + $1 WHERE b IN ($2, $10)");
        assert_eq!(sql, "UPDATE t SET a = a + ? WHERE b IN (?, ?)");
    }
}
