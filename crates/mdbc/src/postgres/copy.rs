//! `COPY … FROM STDIN`: data of the client, passed on.

use futures_util::StreamExt;

use super::connection::{Connection, gone};
use super::frame::Frame;
use super::session::Failure;

impl Connection {
    /// Passes data on until the client says that it was all, or gives up; or the
    /// server does: with what it says. A `Sync` is to follow.
    pub(super) async fn copy_in(&mut self) -> Result<Option<Frame>, Failure> {
        loop {
            let backend = &mut self.session.backend;
            let frame = tokio::select! {
                frame = self.output.client.next() => frame,
                answer = backend.next() => {
                    let answer = answer.map_err(Failure::Backend)?;
                    if answer.tag == b'E' {
                        return Ok(Some(answer));
                    }
                    self.output.tell(&answer).await?;
                    continue;
                }
            };
            let frame = frame.ok_or_else(gone)??;
            match frame.tag {
                b'd' => backend.feed(frame).await.map_err(Failure::Backend)?,
                b'c' | b'f' => {
                    backend.feed(frame).await.map_err(Failure::Backend)?;
                    return Ok(None);
                }
                // Said before the client knew that data is wanted.
                b'S' | b'H' => {}
                b'X' => return Err(gone().into()),
                _ => {
                    let why = b"unexpected message during COPY from stdin\0";
                    let fail = Frame::new(b'f', why.to_vec());
                    backend.feed(fail).await.map_err(Failure::Backend)?;
                    return Ok(None);
                }
            }
        }
    }
}
