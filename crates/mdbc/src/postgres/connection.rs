//! A client's connection: its messages, one after the other.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use pgwire::tokio::server::MaybeTls;
use tokio_util::codec::{Framed, FramedParts};
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, FrameCodec};
use super::output::Output;
use super::session::{Block, Failure, Session};
use super::statement::Statement;
use crate::clock::{self, Instant};
use crate::error::{SqlError, state};

/// How often a transaction is tried that is mdbc's to try again.
const ATTEMPTS_MAX: usize = 8;
/// How long after the first one a try begins, at most.
const TRIES_TIME: Duration = Duration::from_secs(5);
/// Bytes of messages that are kept to be done again.
const PIPELINE_BYTES_MAX: usize = 1 << 20;

/// A portal: what it runs, and whether mdbc does so itself.
pub(super) type Portals = HashMap<String, Arc<Statement>>;

/// The connection of a client that is known.
pub(super) struct Connection {
    pub(super) output: Output,
    pub(super) session: Session,
    pub(super) portals: Portals,
    /// Whether messages are skipped until the next `Sync`.
    pub(super) is_skipping: bool,
    /// What the client has sent of the transaction, to be done again.
    pub(super) pipeline: Vec<Frame>,
    pub(super) pipeline_bytes: usize,
    /// Whether it is being done again.
    pub(super) is_again: bool,
    /// The message that is being done.
    pub(super) current: Option<Frame>,
    /// Whether a transaction has ended within a text of several statements.
    pub(super) has_ended: bool,
}

/// The tries of a transaction.
pub(super) struct Tries {
    began: Instant,
    count: usize,
}

impl Tries {
    /// The first begins.
    pub(super) fn new() -> Self {
        Self {
            began: clock::now(),
            count: 1,
        }
    }

    /// Whether there may be another one. Not after a long one: that has waited for
    /// a site that cannot be reached, and so would the next.
    pub(super) fn another(&mut self) -> bool {
        self.count += 1;
        let taken = clock::now().saturating_duration_since(self.began);
        self.count <= ATTEMPTS_MAX && taken < TRIES_TIME
    }
}

/// The client has left.
pub(super) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the client has left")
}

/// The way to a client that is known.
pub(crate) struct Parts {
    pub(crate) socket: MaybeTls,
    /// What it has said already.
    pub(crate) read: BytesMut,
    /// What it was not told yet.
    pub(crate) write: BytesMut,
}

/// Serves a client to its end.
pub(crate) async fn serve(
    client: Parts,
    session: Session,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let mut parts = FramedParts::new::<Bytes>(client.socket, FrameCodec::of_client());
    parts.read_buf = client.read;
    parts.write_buf = client.write;
    let mut connection = Connection {
        output: Output::new(Framed::from_parts(parts)),
        session,
        portals: HashMap::new(),
        is_skipping: false,
        pipeline: Vec::new(),
        pipeline_bytes: 0,
        is_again: false,
        current: None,
        has_ended: false,
    };
    let ended = connection.listen(&shutdown).await;
    let result = match ended {
        Ok(()) => Ok(()),
        Err(Failure::Client(error)) => Err(error),
        Err(failure) => connection.end(&failure.into_error()).await,
    };
    connection.leave().await;
    result
}

impl Connection {
    async fn listen(&mut self, shutdown: &CancellationToken) -> Result<(), Failure> {
        loop {
            let request = tokio::select! {
                () = shutdown.cancelled() => return Err(Failure::Backend(SqlError::new(
                    state::ADMIN_SHUTDOWN,
                    "terminating connection due to administrator command",
                ))),
                request = self.output.client.next() => request,
                aside = self.session.backend.next() => {
                    let aside = aside.map_err(Failure::Backend)?;
                    if aside.tag == b'E' {
                        // The server closes the connection behind it.
                        return Err(Failure::Backend(aside.as_error()));
                    }
                    self.output.tell(&aside).await?;
                    self.output.flush().await?;
                    continue;
                }
            };
            match request {
                None => return Ok(()),
                Some(Ok(frame)) if frame.tag == b'X' => return Ok(()),
                Some(Ok(frame)) => self.request(frame).await?,
                Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(Failure::Backend(SqlError::new(
                        state::PROTOCOL_VIOLATION,
                        format!("invalid message: {error}"),
                    )));
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// The session is over, and the client is told why.
    async fn end(&mut self, error: &SqlError) -> io::Result<()> {
        self.output.drop_tag();
        let told = Frame::error(b'E', "FATAL", error);
        self.output.tell(&told).await?;
        self.output.flush().await
    }

    /// What is open is undone.
    async fn leave(self) {
        let mut session = self.session;
        if session.backend.is_busy {
            // Nobody waits for what it says; it undoes what is open.
            if let Err(error) = session.backend.canceler().cancel().await {
                tracing::debug!(%error, "a statement could not be canceled");
            }
        } else if let Err(failure) = session.rollback().await {
            let error = failure.into_error();
            tracing::debug!(%error, "a connection to the local PostgreSQL has ended");
        }
        session.backend.close().await;
    }

    async fn request(&mut self, frame: Frame) -> Result<(), Failure> {
        match frame.tag {
            b'Q' => {
                self.is_skipping = false;
                self.simple(&frame).await
            }
            b'S' => self.sync().await,
            // What is left of a COPY that has failed.
            b'd' | b'c' | b'f' => Ok(()),
            _ if self.is_skipping => Ok(()),
            b'H' => Ok(self.output.flush().await?),
            b'P' | b'B' | b'D' | b'E' | b'C' => self.extended(frame).await,
            b'F' => {
                let refused = SqlError::refused("a call of a function by its number");
                self.fail(refused.into()).await?;
                self.ready().await
            }
            other => Err(Failure::Backend(SqlError::new(
                state::PROTOCOL_VIOLATION,
                format!("invalid frontend message type {other}"),
            ))),
        }
    }

    /// Whether a failure may be gone if the transaction is tried again, which the
    /// client does not know of.
    pub(super) fn may_try_again(&self, failure: &Failure) -> bool {
        self.session.transaction.block != Block::Explicit
            && !self.has_ended
            && failure.is_of_others()
            && self.output.can_forget()
    }

    /// A statement has failed: the client is told, and the transaction too.
    pub(super) async fn fail(&mut self, failure: Failure) -> Result<(), Failure> {
        let frame = match failure {
            Failure::Sql(error) => Frame::error(b'E', "ERROR", &error),
            Failure::Told(frame) => frame,
            failure => return Err(failure),
        };
        self.output.drop_tag();
        let mut undone = Ok(());
        match self.session.transaction.block {
            Block::Idle => {}
            Block::Implicit => {
                self.portals.clear();
                undone = self.session.rollback().await;
            }
            Block::Explicit => self.session.transaction.is_failed = true,
        }
        self.tell_asides().await?;
        self.output.tell(&frame).await?;
        let severity = frame.field(b'V');
        if severity.is_some_and(|severity| severity == "FATAL") {
            // The connection to the server is gone with it.
            self.output.flush().await?;
            return Err(gone().into());
        }
        undone
    }

    /// Tells what the session has to say beside results.
    pub(super) async fn tell_asides(&mut self) -> Result<(), Failure> {
        for aside in std::mem::take(&mut self.session.asides) {
            self.output.tell(&aside).await?;
        }
        Ok(())
    }

    pub(super) async fn ready(&mut self) -> Result<(), Failure> {
        self.tell_asides().await?;
        let status = self.session.status();
        if status == b'I' {
            self.portals.clear();
        }
        self.forget_pipeline();
        self.output.tell(&Frame::ready(status)).await?;
        self.output.flush().await?;
        self.output.mark();
        Ok(())
    }

    /// Keeps the message that is being done, to be done again if need be.
    pub(super) fn keep(&mut self) {
        let Some(frame) = self.current.as_ref().filter(|_| !self.is_again) else {
            return;
        };
        self.pipeline_bytes += frame.size();
        if self.pipeline_bytes <= PIPELINE_BYTES_MAX {
            self.pipeline.push(frame.clone());
        }
    }

    /// Opens a transaction that no `BEGIN` began, if there is none.
    pub(super) fn open_implicit(&mut self) {
        if self.session.transaction.block != Block::Idle {
            return;
        }
        self.output.mark();
        self.session.open(Block::Implicit);
        if !self.is_again {
            self.forget_pipeline();
            self.keep();
        }
    }

    fn forget_pipeline(&mut self) {
        self.pipeline.clear();
        self.pipeline_bytes = 0;
    }

    /// Whether all that the client has sent of the transaction is there.
    pub(super) fn has_pipeline(&self) -> bool {
        self.pipeline_bytes <= PIPELINE_BYTES_MAX
    }
}
