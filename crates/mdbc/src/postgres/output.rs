//! What the client is to be told: held back for a while, so that what failed can
//! be done again as if nothing had happened.

use std::io;

use bytes::BytesMut;
use futures_util::SinkExt;
use pgwire::tokio::server::MaybeTls;
use tokio_util::codec::Framed;

use super::frame::{Frame, FrameCodec};

/// How much is held back, in bytes, and how much of an answer can be taken back.
const HELD_BYTES_MAX: usize = 256 << 10;

/// The way to the client.
pub(super) struct Output {
    pub(super) client: Framed<MaybeTls, FrameCodec>,
    held: BytesMut,
    /// How much of it stays, if what follows is taken back.
    mark: usize,
    /// Whether the client was told something since the mark.
    is_told: bool,
    /// What tells that a statement is complete: told once that is true.
    tag: Option<Frame>,
}

impl Output {
    pub(super) fn new(client: Framed<MaybeTls, FrameCodec>) -> Self {
        Self {
            client,
            held: BytesMut::new(),
            mark: 0,
            is_told: false,
            tag: None,
        }
    }

    /// What comes from here on can be taken back, until some of it is told.
    pub(super) fn mark(&mut self) {
        self.tell_tag();
        self.mark = self.held.len();
        self.is_told = false;
    }

    /// Whether all since the mark can be taken back.
    pub(super) fn can_forget(&self) -> bool {
        !self.is_told
    }

    /// Takes back what came since the mark.
    pub(super) fn forget(&mut self) {
        self.tag = None;
        self.held.truncate(self.mark);
    }

    /// Tells a message, soon.
    pub(super) async fn tell(&mut self, frame: &Frame) -> io::Result<()> {
        self.tell_tag();
        frame.put(&mut self.held);
        if self.held.len() > HELD_BYTES_MAX {
            self.feed().await?;
        }
        Ok(())
    }

    /// Holds back that a statement is complete.
    pub(super) fn complete(&mut self, tag: Frame) {
        self.tell_tag();
        self.tag = Some(tag);
    }

    /// A statement was not complete after all.
    pub(super) fn drop_tag(&mut self) {
        self.tag = None;
    }

    /// Tells that the last statement is complete.
    pub(super) fn tell_tag(&mut self) {
        if let Some(tag) = self.tag.take() {
            tag.put(&mut self.held);
        }
    }

    async fn feed(&mut self) -> io::Result<()> {
        self.is_told = true;
        self.mark = 0;
        let held = self.held.split().freeze();
        self.client.feed(held).await
    }

    /// Tells all now.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.tell_tag();
        self.feed().await?;
        self.client.flush().await
    }
}
