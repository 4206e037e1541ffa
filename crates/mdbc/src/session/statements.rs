//! Prepared statements.

use super::{Answer, STATEMENTS_MAX, Session};
use crate::dialect::{Output, Plan, explained};
use crate::error::{Result, SqlError, state};
use crate::types::{SqlType, Value};

/// A statement that was understood before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) text: String,
    /// None for a text that holds no statement.
    pub(crate) plan: Option<Plan>,
    pub(crate) parameters: Vec<SqlType>,
    pub(crate) columns: Option<Vec<Output>>,
}

impl Session {
    /// Understands a statement, and keeps it under a name.
    pub(crate) async fn prepare(
        &mut self,
        name: String,
        text: String,
        types: &[Option<SqlType>],
    ) -> Result<()> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err(SqlError::new(
                state::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if self.statements.len() >= STATEMENTS_MAX && !name.is_empty() {
            return Err(SqlError::new(
                state::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session has at most {STATEMENTS_MAX} prepared statements"),
            ));
        }
        let prepared = self.understand(text, types).await?;
        self.statements.insert(name, prepared);
        Ok(())
    }

    async fn understand(&mut self, text: String, types: &[Option<SqlType>]) -> Result<Prepared> {
        let statements = self.split(&text).await?;
        let one = match statements.as_slice() {
            [] => {
                return Ok(Prepared {
                    text,
                    plan: None,
                    parameters: Vec::new(),
                    columns: None,
                });
            }
            [one] => one.clone(),
            _ => {
                return Err(SqlError::new(
                    state::SYNTAX_ERROR,
                    "cannot insert multiple commands into a prepared statement",
                ));
            }
        };
        let plan = self.plan(&one, types).await;
        let plan = self.unless_failed(plan)?;
        let (parameters, columns) = match &plan {
            Plan::Run(run) => (run.parameters.clone(), run.columns.clone()),
            Plan::Declare { run, .. } => (run.parameters.clone(), None),
            Plan::Fetch {
                name,
                is_move: false,
                ..
            } => (Vec::new(), Some(self.cursor_columns(name)?)),
            Plan::Show(name) => (Vec::new(), self.show(name)?.columns),
            Plan::Execute { name, .. } => (Vec::new(), self.statement(name)?.columns.clone()),
            Plan::ExplainPrepared { name, is_json } => match &self.statement(name)?.plan {
                Some(Plan::Run(run)) => (Vec::new(), explained((**run).clone(), *is_json)?.columns),
                _ => (Vec::new(), None),
            },
            _ => (Vec::new(), None),
        };
        Ok(Prepared {
            text: one,
            plan: Some(plan),
            parameters,
            columns,
        })
    }

    pub(crate) fn statement(&self, name: &str) -> Result<&Prepared> {
        self.statements.get(name).ok_or_else(|| {
            SqlError::new(
                state::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            )
        })
    }

    /// Forgets a statement; one that is not there is forgotten already.
    pub(crate) fn forget(&mut self, name: &str) {
        self.statements.remove(name);
    }

    pub(super) async fn prepare_named(
        &mut self,
        name: String,
        types: &[Option<SqlType>],
        text: String,
    ) -> Result<Answer> {
        Box::pin(self.prepare(name, text, types)).await?;
        Ok(Answer::tagged("PREPARE"))
    }

    /// `EXECUTE name (arguments)`: the arguments are expressions.
    pub(super) async fn execute_named(
        &mut self,
        name: &str,
        arguments: &[String],
    ) -> Result<Answer> {
        let prepared = self.statement(name)?.clone();
        if prepared.parameters.len() != arguments.len() {
            return Err(SqlError::new(
                state::SYNTAX_ERROR,
                format!("wrong number of parameters for prepared statement \"{name}\""),
            )
            .with_detail(format!(
                "Expected {} parameters but got {}.",
                prepared.parameters.len(),
                arguments.len()
            )));
        }
        let Some(plan) = prepared.plan else {
            return Ok(Answer::default());
        };
        let mut values = Vec::new();
        for (argument, ty) in arguments.iter().zip(&prepared.parameters) {
            values.push(self.argument(argument, *ty).await?);
        }
        Box::pin(self.execute(plan, &prepared.text, values)).await
    }

    pub(super) async fn explain_prepared(&mut self, name: &str, is_json: bool) -> Result<Answer> {
        let prepared = self.statement(name)?.clone();
        let Some(Plan::Run(run)) = prepared.plan else {
            return Err(SqlError::refused("EXPLAIN of this statement"));
        };
        let nulls = vec![Value::Null; prepared.parameters.len()];
        let run = explained(*run, is_json)?;
        let (run, outcome) = self.run(run, &prepared.text, nulls).await?;
        Ok(super::answer(&run, outcome))
    }

    async fn argument(&mut self, expression: &str, ty: SqlType) -> Result<Value> {
        let text = format!("SELECT CAST(({expression}) AS {ty})");
        let answer = Box::pin(self.run_text(&text)).await?;
        let value = answer
            .rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        Ok(value.unwrap_or(Value::Null))
    }

    pub(super) fn deallocate(&mut self, name: Option<&str>) -> Result<Answer> {
        match name {
            None => {
                self.statements.clear();
                Ok(Answer::tagged("DEALLOCATE ALL"))
            }
            Some(name) => {
                self.statement(name)?;
                self.forget(name);
                Ok(Answer::tagged("DEALLOCATE"))
            }
        }
    }

    pub(super) fn discard_all(&mut self) -> Result<Answer> {
        if self.status() != super::Status::Idle {
            return Err(SqlError::new(
                state::ACTIVE_SQL_TRANSACTION,
                "DISCARD ALL cannot run inside a transaction block",
            ));
        }
        self.statements.clear();
        self.cursors.clear();
        self.state.drawn.clear();
        self.state.last_drawn = None;
        self.set_statement("all", None, false)?;
        Ok(Answer::tagged("DISCARD ALL"))
    }
}
