//! How transactions end.
//!
//! ```text
//!  nothing changed:  what was read is proved to be the latest ─▶ COMMIT
//!  something:        seal ─▶ PREPARE ─▶ the log ─▶ COMMIT PREPARED ─▶ answered
//!                                        └ refused ─▶ ROLLBACK PREPARED
//! ```

use std::collections::BTreeMap;

use super::own::Value;
use super::session::{Block, Failure, Session};
use crate::engine::Digest;
use crate::engine::postgres::{Captured, Id};
use crate::error::{Result, SqlError};

/// Whether the local PostgreSQL has given a transaction a number, which it gives to
/// those that write.
const HAS_WRITTEN: &str = "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL";

impl Session {
    /// Ends a transaction that no `BEGIN` began.
    pub(super) async fn end_implicit(&mut self) -> Result<(), Failure> {
        if self.transaction.block == Block::Implicit {
            self.commit().await?;
        }
        Ok(())
    }

    /// Commits. Where it fails, the transaction has ended, too.
    ///
    /// It must not be dropped: what is in the log is committed.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        let committed = self.commit_all().await;
        if committed.is_err() && self.backend.status != b'I' {
            // The connection may be lost, and the transaction with it.
            drop(self.ask("ROLLBACK").await);
        }
        self.finish(committed.is_ok());
        committed
    }

    async fn commit_all(&mut self) -> Result<(), Failure> {
        if !self.transaction.is_begun {
            return Ok(());
        }
        let has_changed_schema = self.transaction.has_changed_schema;
        let mut sealed = None;
        if self.transaction.has_changed || self.has_written().await? {
            self.seat_sequences().await?;
            let id = Id::draw();
            let digest = self.seal(id).await?;
            if !digest.is_empty() {
                self.commit_digest(id, &digest).await?;
                if has_changed_schema {
                    let read = self.shared.local.reload().await;
                    read.map_err(|error| error.in_log())?;
                }
                return Ok(());
            }
            sealed = Some(id);
        }
        self.check_owned().await?;
        if self.transaction.is_announced {
            let number = self.transaction.number;
            self.shared.replication.read(number).await?;
        }
        self.ask("COMMIT").await?;
        if let Some(id) = sealed {
            // Its id is of no use where what it did cancelled out.
            self.shared.local.note_own(id, BTreeMap::new()).await;
        }
        if has_changed_schema {
            self.shared.local.reload().await?;
        }
        Ok(())
    }

    /// Whether the transaction has written something after all.
    async fn has_written(&mut self) -> Result<bool, Failure> {
        let rows = self.ask(HAS_WRITTEN).await?;
        let value = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        Ok(value.flatten().is_none_or(|value| &*value != b"f"))
    }

    /// What `setval` has set goes on to the next value of this site.
    async fn seat_sequences(&mut self) -> Result<(), Failure> {
        if self.has_set_sequences() {
            self.ask("SELECT mdbc_internal.seat_sequences()").await?;
        }
        Ok(())
    }

    /// What the transaction has changed of what other sites have, too.
    async fn seal(&mut self, id: Id) -> Result<Digest, Failure> {
        let text = self.shared.local.seal(id);
        let rows = self.ask(&text).await?;
        let captured: Option<Vec<Captured>> = rows.into_iter().map(captured).collect();
        let captured = captured.ok_or_else(|| SqlError::internal("what was sealed is none"))?;
        let digest = self.shared.local.digest(id, captured)?;
        self.shared
            .local
            .check_owned(&digest, &self.transaction.owned)?;
        Ok(digest)
    }

    async fn commit_digest(&mut self, id: Id, digest: &Digest) -> Result<(), Failure> {
        self.check_owned().await?;
        let gid = id.gid();
        let prepared = self.ask(&format!("PREPARE TRANSACTION '{gid}'")).await;
        if let Err(Failure::Backend(error)) = prepared {
            // It may be prepared all the same.
            self.end_elsewhere(id, false).await?;
            return Err(Failure::Backend(error));
        }
        prepared?;
        let number = self.transaction.number;
        let notes = match self.shared.replication.commit(number, digest).await {
            Ok(notes) => notes,
            Err(error) => {
                let undone = self.ask(&format!("ROLLBACK PREPARED '{gid}'")).await;
                if undone.is_err() {
                    self.end_elsewhere(id, false).await?;
                }
                return Err(error.into());
            }
        };
        let committed = self.ask(&format!("COMMIT PREPARED '{gid}'")).await;
        if committed.is_err() {
            let ended = self.shared.local.finish(id, self.process(), true).await;
            ended.map_err(|error| error.in_log())?;
        }
        self.shared.local.note_own(id, notes.positions).await;
        Ok(())
    }

    fn process(&self) -> i32 {
        self.backend.canceler().process
    }

    /// Ends a prepared transaction whose connection does not.
    async fn end_elsewhere(&self, id: Id, is_committed: bool) -> Result<()> {
        let process = self.process();
        self.shared.local.finish(id, process, is_committed).await
    }

    /// Undoes what the transaction has done.
    pub(super) async fn rollback(&mut self) -> Result<(), Failure> {
        let undone = if self.transaction.is_begun && self.backend.status != b'I' {
            let undone = self.ask("ROLLBACK").await.map(drop);
            match undone {
                Ok(()) => self.seat_sequences().await,
                failed => failed,
            }
        } else {
            Ok(())
        };
        self.finish(false);
        undone
    }
}

fn captured(row: Vec<Value>) -> Option<Captured> {
    let text = |value: Value| String::from_utf8(value.unwrap_or_default().to_vec()).ok();
    let [kind, schema, relation, body] = <[Value; 4]>::try_from(row).ok()?;
    Some(Captured {
        kind: text(kind)?,
        schema: text(schema)?,
        relation: text(relation)?,
        body: text(body)?,
    })
}
