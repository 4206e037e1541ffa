//! PostgreSQL's protocol: PostgreSQL itself, and mdbc.

use std::collections::HashMap;

use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Statement as Prepared};

use super::{Row, Statement, Value};
use crate::arguments::Arguments;
use crate::failure::{Failure, Meaning};

pub(crate) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    prepared: HashMap<String, Prepared>,
}

type Parameters<'a> = Vec<&'a (dyn ToSql + Sync)>;

impl Session {
    pub(super) async fn connect(
        arguments: &Arguments,
        host: &str,
        port: u16,
    ) -> Result<Self, Failure> {
        let mut config = Config::new();
        config.host(host).port(port);
        config.user(&arguments.user).dbname(&arguments.database);
        let (client, connection) = config.connect(NoTls).await.map_err(failure)?;
        // What it ends with, the client's calls tell.
        let connection = tokio::spawn(async { drop(connection.await) });
        Ok(Self {
            client,
            connection,
            prepared: HashMap::new(),
        })
    }

    pub(super) async fn script(&self, sql: &str) -> Result<(), Failure> {
        self.client.batch_execute(sql).await.map_err(failure)
    }

    pub(super) async fn ask(&self, sql: &str) -> Result<Vec<Vec<String>>, Failure> {
        let messages = self.client.simple_query(sql).await.map_err(failure)?;
        let rows = messages.iter().filter_map(|message| {
            let SimpleQueryMessage::Row(row) = message else {
                return None;
            };
            let cells = 0..row.len();
            Some(
                cells
                    .map(|cell| row.get(cell).unwrap_or("NULL").to_owned())
                    .collect(),
            )
        });
        Ok(rows.collect())
    }

    pub(super) async fn change(&mut self, (sql, values): Statement<'_>) -> Result<u64, Failure> {
        let prepared = self.prepared(sql).await?;
        self.client
            .execute(&prepared, &parameters(values))
            .await
            .map_err(failure)
    }

    pub(super) async fn rows(&mut self, (sql, values): Statement<'_>) -> Result<Vec<Row>, Failure> {
        let prepared = self.prepared(sql).await?;
        let rows = self
            .client
            .query(&prepared, &parameters(values))
            .await
            .map_err(failure)?;
        rows.iter().map(row).collect()
    }

    pub(super) async fn at_once(
        &mut self,
        first: Statement<'_>,
        second: Statement<'_>,
    ) -> Result<(u64, u64), Failure> {
        let statements = (
            self.prepared(first.0).await?,
            self.prepared(second.0).await?,
        );
        let (of_first, of_second) = (parameters(first.1), parameters(second.1));
        // Polled in this order, and so sent in it, none waiting for another.
        let (begun, one, two, committed) = tokio::join!(
            biased;
            self.client.batch_execute("BEGIN"),
            self.client.execute(&statements.0, &of_first),
            self.client.execute(&statements.1, &of_second),
            self.client.batch_execute("COMMIT"),
        );
        let of_commit = |error| failure(error).of_commit();
        // A commit of a transaction that has failed undoes it, without an error.
        begun.map_err(of_commit)?;
        let changed = (one.map_err(of_commit)?, two.map_err(of_commit)?);
        committed.map_err(of_commit)?;
        Ok(changed)
    }

    async fn prepared(&mut self, sql: &str) -> Result<Prepared, Failure> {
        if let Some(prepared) = self.prepared.get(sql) {
            return Ok(prepared.clone());
        }
        let prepared = self.client.prepare(sql).await.map_err(failure)?;
        self.prepared.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn parameters(values: &[Value]) -> Parameters<'_> {
    let parameter = |value| match value {
        &Value::Null => &None::<i64> as &(dyn ToSql + Sync),
        Value::Int(number) => number,
        Value::Text(text) => text,
    };
    values.iter().map(parameter).collect()
}

fn row(row: &tokio_postgres::Row) -> Result<Row, Failure> {
    let cell = |(number, column): (usize, &tokio_postgres::Column)| match *column.type_() {
        Type::INT8 => row
            .try_get(number)
            .map(|value: Option<i64>| value.map(Value::Int)),
        Type::INT4 => {
            let value = row.try_get(number);
            value.map(|value: Option<i32>| value.map(|value| Value::Int(value.into())))
        }
        _ => row
            .try_get(number)
            .map(|value: Option<String>| value.map(Value::Text)),
    };
    let cells = row.columns().iter().enumerate().map(cell);
    let cells = cells.map(|value| value.map(|value| value.unwrap_or(Value::Null)));
    cells.collect::<Result<_, _>>().map_err(failure)
}

fn failure(error: tokio_postgres::Error) -> Failure {
    if let Some(told) = error.as_db_error() {
        return Failure::of_sqlstate(told.code().code(), told.message());
    }
    // What is not of the connection is of our own making.
    let is_io =
        std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>());
    if error.is_closed() || is_io {
        return Failure::lost(error);
    }
    Failure::new(Meaning::Wrong, "client", error)
}
