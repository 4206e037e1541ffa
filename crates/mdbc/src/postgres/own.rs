//! Statements of mdbc's own, beside those of the client: they leave alone what is
//! the client's, its unnamed statement and portal too.

use bytes::{Bytes, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

use super::backend::gone;
use super::session::{Failure, Session};
use crate::error::{Result, SqlError};

/// What they are called; no client can have a name like it by SQL.
const NAME: &str = "mdbc\u{1}";

/// Puts a statement behind other messages; its `CommandComplete` is the last that
/// is answered to it.
pub(super) fn put(text: &str, messages: &mut BytesMut) -> Result<()> {
    let put = |messages: &mut BytesMut| {
        frontend::close(b'P', NAME, messages)?;
        frontend::close(b'S', NAME, messages)?;
        frontend::parse(NAME, text, [], messages)
    };
    put(messages).map_err(SqlError::internal)?;
    let none: [i16; 0] = [];
    let no_values: [&str; 0] = [];
    let serialize = |_: &str, _: &mut BytesMut| Ok(IsNull::Yes);
    frontend::bind(NAME, NAME, none, no_values, serialize, none, messages)
        .map_err(|_too_long| SqlError::internal("a statement of mdbc's own"))?;
    frontend::execute(NAME, 0, messages).map_err(SqlError::internal)
}

/// A value of a row.
pub(super) type Value = Option<Bytes>;

impl Session {
    /// Runs a statement; the rows that it returns.
    pub(super) async fn ask(&mut self, text: &str) -> Result<Vec<Vec<Value>>, Failure> {
        let mut messages = BytesMut::new();
        put(text, &mut messages)?;
        frontend::sync(&mut messages);
        self.backend
            .send(messages)
            .await
            .map_err(Failure::Backend)?;
        let mut rows = Vec::new();
        let mut failed = None;
        loop {
            let frame = match (self.backend.next().await, &failed) {
                (Ok(frame), _) => frame,
                (Err(_), Some(_)) => break,
                (Err(error), None) => return Err(Failure::Backend(error)),
            };
            match frame.tag {
                b'D' => rows.push(
                    frame
                        .values()
                        .ok_or_else(|| Failure::Backend(gone("it has sent a row that is none")))?,
                ),
                b'E' => failed = Some(frame),
                b'S' => self.asides.push(frame),
                b'Z' => break,
                _ => {}
            }
        }
        match failed {
            Some(failed) => Err(Failure::Told(failed)),
            None => Ok(rows),
        }
    }
}
