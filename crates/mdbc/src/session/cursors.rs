//! Cursors: `DECLARE`, `FETCH`, `MOVE`, `CLOSE`.

use std::collections::VecDeque;

use super::{Answer, CURSORS_MAX, Session};
use crate::dialect::{Count, Output, Run};
use crate::error::{Result, SqlError, state};
use crate::types::Value;

/// The rows of a query that are not fetched yet.
#[derive(Debug)]
pub(super) struct Cursor {
    columns: Vec<Output>,
    rows: VecDeque<Vec<Value>>,
    /// Whether it outlives its transaction.
    is_held: bool,
    /// Whether its transaction has ended.
    is_settled: bool,
}

impl Session {
    pub(super) async fn declare(
        &mut self,
        (name, is_held): (String, bool),
        run: Run,
        text: &str,
        parameters: Vec<Value>,
    ) -> Result<Answer> {
        if self.status() == super::Status::Idle && !is_held {
            return Err(SqlError::new(
                state::NO_ACTIVE_SQL_TRANSACTION,
                "DECLARE CURSOR can only be used in transaction blocks",
            ));
        }
        if self.cursors.contains_key(&name) {
            return Err(SqlError::new(
                state::DUPLICATE_CURSOR,
                format!("cursor \"{name}\" already exists"),
            ));
        }
        if self.cursors.len() >= CURSORS_MAX {
            return Err(SqlError::new(
                state::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session has at most {CURSORS_MAX} cursors"),
            ));
        }
        let (run, outcome) = self.run(run, text, parameters).await?;
        let cursor = Cursor {
            columns: run.columns.unwrap_or_default(),
            rows: outcome.rows.into(),
            is_held,
            is_settled: false,
        };
        self.cursors.insert(name, cursor);
        Ok(Answer::tagged("DECLARE CURSOR"))
    }

    pub(super) fn fetch(&mut self, name: &str, count: Count, is_move: bool) -> Result<Answer> {
        let cursor = self.cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
        let taken = match count {
            Count::All => cursor.rows.len(),
            Count::Rows(count) => count.min(cursor.rows.len()),
        };
        let rows: Vec<Vec<Value>> = cursor.rows.drain(..taken).collect();
        if is_move {
            return Ok(Answer::tagged(format!("MOVE {taken}")));
        }
        let columns = Some(cursor.columns.clone());
        Ok(Answer {
            tag: format!("FETCH {taken}"),
            columns,
            rows,
            copy: None,
        })
    }

    /// The columns of a cursor.
    pub(crate) fn cursor_columns(&self, name: &str) -> Result<Vec<Output>> {
        let cursor = self.cursors.get(name);
        cursor
            .map(|cursor| cursor.columns.clone())
            .ok_or_else(|| no_cursor(name))
    }

    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<Answer> {
        match name {
            None => self.cursors.clear(),
            Some(name) => {
                self.cursors.remove(name).ok_or_else(|| no_cursor(name))?;
            }
        }
        Ok(Answer::tagged("CLOSE CURSOR"))
    }

    /// Cursors end with their transaction, but for those that are held.
    pub(super) fn end_cursors(&mut self, is_committed: bool) {
        self.cursors
            .retain(|_, cursor| cursor.is_settled || cursor.is_held && is_committed);
        for cursor in self.cursors.values_mut() {
            cursor.is_settled = true;
        }
    }
}

fn no_cursor(name: &str) -> SqlError {
    SqlError::new(
        state::INVALID_CURSOR_NAME,
        format!("cursor \"{name}\" does not exist"),
    )
}
