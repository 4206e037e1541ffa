//! Changes of the schema.

use super::{ATTEMPTS_MAX, Answer, Session, read_only};
use crate::engine::Access;
use crate::engine::sqlite::lane::Held;
use crate::error::{Result, SqlError, state};

impl Session {
    pub(super) async fn run_ddl(&mut self, text: String, tag: String) -> Result<Answer> {
        if self.is_read_only {
            return Err(read_only(&tag));
        }
        self.enter_for_ddl(&text).await?;
        let Some(writing) = &self.writing else {
            return Err(SqlError::internal(
                "a change of the schema outside a transaction",
            ));
        };
        let (setting, user) = (self.setting(), self.user.clone());
        let call = writing.call(move |held| held.run_ddl(&text, &user, &setting));
        let (schema, notices) = call.await?;
        self.schema = schema;
        for notice in notices {
            self.notices
                .push(SqlError::new(state::SUCCESSFUL_COMPLETION, notice));
        }
        Ok(Answer::tagged(tag))
    }

    /// Owns the schema, and the tables that a change of it concerns: what these
    /// are may be another thing once the schema is the latest.
    async fn enter_for_ddl(&mut self, text: &str) -> Result<()> {
        let mut known = self.access_of_ddl(text).await;
        for _ in 0..ATTEMPTS_MAX {
            self.enter(&known).await?;
            let access = self.access_of_ddl(text).await;
            if access.writes.is_subset(&known.writes)
                && access.partitions.is_subset(&known.partitions)
            {
                return Ok(());
            }
            known = access;
        }
        Err(SqlError::new(
            state::SERIALIZATION_FAILURE,
            "the schema changes faster than the statement is understood",
        ))
    }

    /// What a change of the schema touches; the schema alone where it is wrong,
    /// as it may not be with the latest schema.
    async fn access_of_ddl(&self, text: &str) -> Access {
        let (text, user, setting) = (text.to_owned(), self.user.clone(), self.setting());
        let access = move |held: &mut Held| held.access_of_ddl(&text, &user, &setting);
        let access = self.reader.call(self.id, access).await;
        access.unwrap_or_else(|_| Access {
            is_schema: true,
            ..Access::default()
        })
    }
}
