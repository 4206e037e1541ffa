//! As little HTTP/1.1 as a load generator needs.
//!
//! A client library would use more of the machine than the server under test.
//! Requests are written whole; of an answer, the status and the length matter.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::error::Error;

/// The longest answer that is understood, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A connection, kept alive, with one request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What of an answer matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// How long the body is, in bytes.
    pub(super) body_bytes: usize,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a request and waits for the whole answer.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Error> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::Closed);
            }
            if let Some(answer) = answer(&self.buffer)? {
                return Ok(answer);
            }
            if self.buffer.len() > ANSWER_BYTES_MAX {
                return Err(Error::Answer("is too long"));
            }
        }
    }
}

/// The answer, once these bytes are all of it.
fn answer(bytes: &[u8]) -> Result<Option<Answer>, Error> {
    let Some(head) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = bytes.split_at_checked(head).unwrap_or((bytes, &[]));
    let head = std::str::from_utf8(head).map_err(|_text| Error::Answer("is no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3))
        .and_then(|status| status.parse().ok())
        .ok_or(Error::Answer("has no status"))?;
    let mut body_bytes = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.trim().parse();
            body_bytes = length.map_err(|_number| Error::Answer("has no length"))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Error::Answer("comes in chunks"));
        }
    }
    let received = body.len().saturating_sub(4);
    Ok((received >= body_bytes).then_some(Answer { status, body_bytes }))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: y\r\n\r\nhi";

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        for length in 0..WHOLE.len() {
            assert_eq!(answer(&WHOLE[..length]).unwrap(), None, "{length}");
        }
        let whole = Answer {
            status: 200,
            body_bytes: 2,
        };
        assert_eq!(answer(WHOLE).unwrap(), Some(whole));
    }

    #[test]
    fn an_answer_without_a_body_is_whole_with_its_head() {
        let none = answer(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!(
            none.map(|answer| (answer.status, answer.body_bytes)),
            Some((204, 0))
        );
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "SMTP 200\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        ] {
            assert!(answer(text.as_bytes()).is_err(), "{text}");
        }
    }
}
