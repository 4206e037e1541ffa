//! A snapshot for another site.

use std::io;

use bytes::Bytes;
use tokio::time::timeout;

use super::connection::Connection;
use super::frame::Frame;
use super::session::{Block, Failure};
use crate::error::{SqlError, state};
use crate::snapshot::TAKE_WAIT;

/// What `CopyOutResponse` tells: binary, and one column, which is so too.
const BINARY: &[u8] = &[1, 0, 1, 0, 1];

impl Connection {
    /// The whole database goes out, in pieces.
    pub(super) async fn donate(&mut self) -> Result<(), Failure> {
        if self.session.transaction.block != Block::Idle {
            return Err(SqlError::new(
                state::ACTIVE_SQL_TRANSACTION,
                "a snapshot cannot be taken in a transaction block",
            )
            .into());
        }
        let mut donation = self.session.shared.donor.donate().await?;
        self.output.tell(&Frame::new(b'H', BINARY)).await?;
        while let Some(bytes) = donation.next().await? {
            let frame = Frame::new(b'd', bytes);
            let told = timeout(TAKE_WAIT, self.output.tell(&frame)).await;
            told.map_err(io::Error::other)??;
        }
        self.output.tell(&Frame::new(b'c', Bytes::new())).await?;
        let tag = format!("COPY {}", donation.pieces());
        self.output.complete(Frame::complete(&tag));
        Ok(())
    }
}
