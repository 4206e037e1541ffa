//! Sessions with a database, by its own protocol.
//!
//! SQL is written once, with `$1`, `$2` … each used once and in order, and
//! whole numbers and text as the only types.

mod mariadb;
mod postgres;

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Whose SQL and protocol it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Mdbc,
    Postgres,
    Mariadb,
}

impl Product {
    /// The product of that name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "mdbc" => Self::Mdbc,
            "postgres" => Self::Postgres,
            "mariadb" => Self::Mariadb,
            _ => bail!("{name} is no product: mdbc, postgres or mariadb"),
        })
    }
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
}

impl Value {
    /// The number that it is, 0 where it is none.
    pub(crate) fn int(&self) -> i64 {
        if let Self::Int(number) = self {
            *number
        } else {
            0
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The values of parameters.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$(crate::database::Value::from($value)),*] };
}
pub(crate) use values;

/// A row.
pub(crate) type Row = Vec<Value>;
/// A statement and its values.
pub(crate) type Statement<'a> = (&'a str, &'a [Value]);

/// A session.
pub(crate) enum Session {
    Postgres(Box<postgres::Session>),
    Mariadb(mariadb::Session),
}

impl Session {
    /// Connects to a server, `host:port`.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) async fn connect(arguments: &Arguments, server: &str) -> Result<Self, Failure> {
        let Some((host, port)) = server.rsplit_once(':') else {
            return Err(Failure::lost(format!("{server} is no host:port")));
        };
        let port: u16 = port.parse().map_err(Failure::lost)?;
        Ok(match arguments.product {
            Product::Mdbc | Product::Postgres => {
                let session = postgres::Session::connect(arguments, host, port).await?;
                Self::Postgres(Box::new(session))
            }
            Product::Mariadb => {
                Self::Mariadb(mariadb::Session::connect(arguments, host, port).await?)
            }
        })
    }

    /// Does statements that have no parameters and no rows.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<(), Failure> {
        match self {
            Self::Postgres(session) => session.script(sql).await,
            Self::Mariadb(session) => session.script(sql).await,
        }
    }

    /// Asks something without parameters; the rows as text.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Failure> {
        match self {
            Self::Postgres(session) => session.ask(sql).await,
            Self::Mariadb(session) => session.ask(sql).await,
        }
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Failure> {
        self.script("BEGIN").await
    }

    /// Commits; what is lost from here on is unknown.
    pub(crate) async fn commit(&mut self) -> Result<(), Failure> {
        self.script("COMMIT").await.map_err(Failure::of_commit)
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Failure> {
        self.script("ROLLBACK").await
    }

    /// Changes rows; how many there were.
    pub(crate) async fn change(&mut self, statement: Statement<'_>) -> Result<u64, Failure> {
        match self {
            Self::Postgres(session) => session.change(statement).await,
            Self::Mariadb(session) => session.change(statement).await,
        }
    }

    /// Reads rows.
    pub(crate) async fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Postgres(session) => session.rows(statement).await,
            Self::Mariadb(session) => session.rows(statement).await,
        }
    }

    /// A transaction of two changes that go out at once with its begin and
    /// its end, where the protocol has that: how many rows each changed.
    pub(crate) async fn at_once(
        &mut self,
        first: Statement<'_>,
        second: Statement<'_>,
    ) -> Result<(u64, u64), Failure> {
        if let Self::Postgres(session) = self {
            return session.at_once(first, second).await;
        }
        self.begin().await?;
        let changed = (self.change(first).await?, self.change(second).await?);
        self.commit().await?;
        Ok(changed)
    }
}
