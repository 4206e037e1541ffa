//! Tables.

use music_api::table::{CreateTable, Table, TableMode, TablePage};
use reqwest::Method;

use crate::call::{Call, Repeat};
use crate::client::Client;
use crate::error::Error;
use crate::key::segment;

impl Client {
    /// Creates a table, or finds it.
    ///
    /// # Errors
    /// [`Error::Problem`] where there is one in another mode, or the name is
    /// not allowed.
    ///
    /// # Cost
    /// One consensus where it is new.
    ///
    /// # Cancel safety
    /// The table may or may not be created.
    pub async fn create_table(&self, name: &str, mode: TableMode) -> Result<Table, Error> {
        let call = Call::change(Method::PUT, path(name)?, Repeat::AnyNode).wide();
        self.inner
            .request(&call.json(&CreateTable { mode })?)
            .await?
            .json()
    }

    /// The table of that name.
    ///
    /// # Errors
    /// [`Error::Problem`] where there is none.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn table(&self, name: &str) -> Result<Table, Error> {
        self.inner.request(&Call::read(path(name)?)).await?.json()
    }

    /// Drops a table with all its records.
    ///
    /// # Errors
    /// [`Error::Problem`] where there is none.
    ///
    /// # Cost
    /// One consensus.
    ///
    /// # Cancel safety
    /// The table may or may not be dropped.
    pub async fn drop_table(&self, name: &str) -> Result<(), Error> {
        let call = Call::change(Method::DELETE, path(name)?, Repeat::SameNode).wide();
        self.inner.request(&call).await.map(drop)
    }

    /// All tables, in the order of their names.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves.
    ///
    /// # Cost
    /// A request to the own site for each page.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn tables(&self) -> Result<Vec<Table>, Error> {
        let mut tables = Vec::new();
        let mut call = Call::read("/v1/tables".to_owned());
        loop {
            let page: TablePage = self.inner.request(&call).await?.json()?;
            tables.extend(page.tables);
            let Some(cursor) = page.cursor else {
                return Ok(tables);
            };
            call = Call::read("/v1/tables".to_owned()).query("cursor", cursor.as_bytes());
        }
    }
}

fn path(name: &str) -> Result<String, Error> {
    Ok(format!("/v1/tables/{}", segment(name.as_bytes())?))
}
