//! Messages to the local PostgreSQL, and its answers to the client.

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::connection::Connection;
use super::frame::Frame;
use super::own;
use super::session::Failure;
use crate::error::{SqlError, state};

/// The SQLSTATE that a bind with another number of values fails with.
const UNBOUND: &str = "08P01";

/// Messages that are sent together, and what becomes of the answers.
pub(super) struct Ask {
    messages: BytesMut,
    /// Statements of mdbc's own before those of the client.
    own: usize,
    /// Whether the client does not expect to be told of parsing and binding.
    is_quiet: bool,
    /// Whether a whole statement is parsed and not yet bound.
    is_parsed: bool,
    /// Whether it is a `COPY`, in which no `Sync` is seen.
    is_copy: bool,
}

impl Ask {
    pub(super) fn new(is_quiet: bool, is_copy: bool) -> Self {
        Self {
            messages: BytesMut::new(),
            own: 0,
            is_quiet,
            is_parsed: false,
            is_copy,
        }
    }

    /// Puts a statement of mdbc's own before those of the client.
    pub(super) fn own(&mut self, text: &str) -> Result<(), SqlError> {
        self.own += 1;
        own::put(text, &mut self.messages)
    }

    /// Puts a message of the client.
    pub(super) fn put(&mut self, frame: &Frame) {
        frame.put(&mut self.messages);
    }

    /// Puts a whole statement, in the formats of the simple protocol.
    pub(super) fn statement(&mut self, text: &str) {
        let mut parse = vec![0];
        parse.extend_from_slice(text.as_bytes());
        parse.extend([0, 0, 0]);
        for (tag, body) in [
            (b'P', parse),
            (b'B', vec![0; 8]),
            (b'D', vec![b'P', 0]),
            (b'E', vec![0; 5]),
        ] {
            Frame::new(tag, body).put(&mut self.messages);
        }
    }

    /// What the client is told of an error. A whole statement is bound to no values,
    /// which fails only where it has parameters: the simple protocol has none.
    fn told(&self, error: Frame) -> Frame {
        let is_of_values = error.field(b'C').as_deref() == Some(UNBOUND);
        if !self.is_parsed || !is_of_values {
            return error;
        }
        let error = SqlError::new(state::UNDEFINED_PARAMETER, "there is no parameter $1");
        Frame::error(b'E', "ERROR", &error)
    }
}

impl Connection {
    /// Sends messages, and passes on the answers, up to the end of what they do.
    /// What tells that a statement is complete is held back.
    pub(super) async fn relay(&mut self, mut ask: Ask) -> Result<(), Failure> {
        if ask.is_copy {
            frontend::flush(&mut ask.messages);
        } else {
            frontend::sync(&mut ask.messages);
        }
        let messages = ask.messages.split();
        let sent = self.session.backend.send(messages).await;
        sent.map_err(Failure::Backend)?;
        let mut failed = None;
        loop {
            let frame = match (self.answer().await, failed) {
                (Ok(frame), before) => {
                    failed = before;
                    frame
                }
                // It was the last that the server had to say.
                (Err(_), Some(failed)) => return Err(Failure::Told(failed)),
                (Err(error), None) => return Err(Failure::Backend(error)),
            };
            match frame.tag {
                b'Z' => break,
                b'E' => {
                    failed = Some(ask.told(frame));
                    self.end_copy(&mut ask).await?;
                }
                _ if ask.own > 0 => self.answer_to_own(&mut ask, frame).await?,
                b'C' => {
                    self.output.complete(frame);
                    self.end_copy(&mut ask).await?;
                }
                b'I' | b's' => {
                    self.output.tell(&frame).await?;
                    self.end_copy(&mut ask).await?;
                }
                b'1' | b'2' | b'3' | b'n' if ask.is_quiet => ask.is_parsed = frame.tag == b'1',
                b'G' => {
                    self.output.tell(&frame).await?;
                    self.output.flush().await?;
                    failed = self.copy_in().await?;
                    self.end_copy(&mut ask).await?;
                }
                _ => self.output.tell(&frame).await?,
            }
        }
        match failed {
            Some(failed) => Err(Failure::Told(failed)),
            None => Ok(()),
        }
    }

    /// The rest is mdbc's; asides are not.
    async fn answer_to_own(&mut self, ask: &mut Ask, frame: Frame) -> Result<(), Failure> {
        match frame.tag {
            b'C' => ask.own -= 1,
            b'S' => self.output.tell(&frame).await?,
            _ => {}
        }
        Ok(())
    }

    /// A `COPY` has come to its end: the server is asked to be ready.
    async fn end_copy(&mut self, ask: &mut Ask) -> Result<(), Failure> {
        if !std::mem::take(&mut ask.is_copy) {
            return Ok(());
        }
        let mut sync = BytesMut::new();
        frontend::sync(&mut sync);
        let sent = self.session.backend.send(sync).await;
        sent.map_err(Failure::Backend)
    }

    /// What the local PostgreSQL says next; it is told when the client cancels.
    async fn answer(&mut self) -> Result<Frame, SqlError> {
        let session = &mut self.session;
        let running = session.cancel.running();
        loop {
            tokio::select! {
                biased;
                frame = session.backend.next() => {
                    drop(running);
                    return frame;
                }
                () = session.cancel.asked() => {
                    let canceled = session.backend.canceler().cancel().await;
                    if let Err(error) = canceled {
                        tracing::warn!(%error, "a statement could not be canceled");
                    }
                }
            }
        }
    }
}
