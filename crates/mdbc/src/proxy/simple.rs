//! The simple protocol: a text, of one or more statements.

use std::io;

use pgwire::messages::PgWireBackendMessage as Message;
use pgwire::messages::response::EmptyQueryResponse;

use super::connection::{Connection, Failure};
use super::copy_in::CopyIn;
use super::message;
use crate::session::Answer;

impl Connection {
    pub(super) async fn simple_query(&mut self, text: &str) -> io::Result<()> {
        // An unnamed statement and portal end with it.
        self.portals.remove("");
        match self.session.split(text).await {
            Ok(statements) if statements.is_empty() => {
                self.tell(Message::EmptyQueryResponse(EmptyQueryResponse::new()))
                    .await?;
                self.ready().await
            }
            Ok(statements) => {
                self.rest = statements.into();
                self.go_on().await
            }
            Err(error) => {
                self.fail(&error).await?;
                self.ready().await
            }
        }
    }

    /// Runs what is left of a query.
    pub(super) async fn go_on(&mut self) -> io::Result<()> {
        match self.run_rest().await {
            Ok(()) => {}
            Err(Failure::Sql(error)) => {
                self.rest.clear();
                self.fail(&error).await?;
            }
            Err(Failure::Io(error)) => return Err(error),
        }
        if self.copy.is_some() {
            use futures_util::SinkExt;
            return self.socket.flush().await;
        }
        self.ready().await
    }

    async fn run_rest(&mut self) -> Result<(), Failure> {
        while let Some(statement) = self.rest.pop_front() {
            self.tell_tag().await?;
            let answer = self.session.run_text(&statement).await?;
            self.tell_answer(answer, &statement).await?;
            if self.copy.is_some() {
                return Ok(());
            }
        }
        self.session.end_implicit().await?;
        self.tell_tag().await?;
        Ok(())
    }

    /// Tells rows; the tag is held back until it is true.
    async fn tell_answer(&mut self, answer: Answer, text: &str) -> Result<(), Failure> {
        self.tell_asides().await?;
        if let Some(copy) = answer.copy {
            if copy.is_out {
                return self.copy_out(*copy, text).await;
            }
            let copy = CopyIn::new(*copy, text, false);
            self.tell(copy.response()).await?;
            self.copy = Some(copy);
            return Ok(());
        }
        if let Some(columns) = &answer.columns {
            self.tell(message::row_description(columns, &[])).await?;
            for row in &answer.rows {
                let row = message::data_row(columns, &[], row, self.session.look())?;
                self.tell(row).await?;
            }
        }
        self.tag = Some(answer.tag);
        Ok(())
    }
}
