//! Messages of PostgreSQL's protocol as bytes: what mdbc passes on, it does not
//! understand.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::error::{SqlError, State, state};

/// Bytes of one message, as the local server bounds them, too.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Bytes of a message of a client.
pub(super) const REQUEST_BYTES_MAX: usize = 64 << 20;
/// What a message's length counts beside its body.
const LENGTH_BYTES: usize = 4;

/// A message behind the start of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) tag: u8,
    pub(super) body: Bytes,
}

impl Frame {
    pub(super) fn new(tag: u8, body: impl Into<Bytes>) -> Self {
        Self {
            tag,
            body: body.into(),
        }
    }

    /// How much of a connection it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        1 + LENGTH_BYTES + self.body.len()
    }

    /// Puts it behind what is there.
    pub(super) fn put(&self, bytes: &mut BytesMut) {
        bytes.reserve(self.size());
        bytes.put_u8(self.tag);
        let length = u32::try_from(LENGTH_BYTES + self.body.len()).unwrap_or(u32::MAX);
        bytes.put_u32(length);
        bytes.extend_from_slice(&self.body);
    }

    /// `ReadyForQuery`.
    pub(super) fn ready(status: u8) -> Self {
        Self::new(b'Z', vec![status])
    }

    /// `CommandComplete`.
    pub(super) fn complete(tag: &str) -> Self {
        let mut body = tag.as_bytes().to_vec();
        body.push(0);
        Self::new(b'C', body)
    }

    /// `ErrorResponse` or, by its tag, `NoticeResponse`.
    pub(super) fn error(tag: u8, severity: &str, error: &SqlError) -> Self {
        let mut body = Vec::new();
        let mut field = |code: u8, text: &str| {
            body.push(code);
            body.extend(text.bytes().filter(|byte| *byte != 0));
            body.push(0);
        };
        field(b'S', severity);
        field(b'V', severity);
        field(b'C', error.state.code());
        field(b'M', &error.message);
        if let Some(detail) = &error.detail {
            field(b'D', detail);
        }
        if let Some(hint) = &error.hint {
            field(b'H', hint);
        }
        body.push(0);
        Self::new(tag, body)
    }

    /// The texts of a message that is one, two or more of them.
    pub(super) fn texts(&self) -> Texts {
        Texts {
            rest: self.body.clone(),
        }
    }

    /// A field of an `ErrorResponse` or `NoticeResponse`.
    pub(super) fn field(&self, code: u8) -> Option<String> {
        let mut texts = self.texts();
        while let Some(text) = texts.bytes() {
            if let Some((first, rest)) = text.split_first()
                && *first == code
            {
                return Some(String::from_utf8_lossy(rest).into_owned());
            }
        }
        None
    }

    /// The error that an `ErrorResponse` tells.
    pub(super) fn as_error(&self) -> SqlError {
        let code = self.field(b'C').unwrap_or_default();
        let code = <[u8; 5]>::try_from(code.as_bytes());
        SqlError {
            state: code.map_or(state::INTERNAL_ERROR, State::new),
            message: self.field(b'M').unwrap_or_default(),
            detail: self.field(b'D'),
            hint: self.field(b'H'),
        }
    }

    /// The same error, of a statement that begins so many characters into a query.
    pub(super) fn moved(self, characters: usize) -> Self {
        let position = self.field(b'P').and_then(|text| text.parse::<usize>().ok());
        let Some(position) = position.filter(|_| characters > 0) else {
            return self;
        };
        let mut body = Vec::new();
        let mut texts = self.texts();
        while let Some(text) = texts.bytes().filter(|text| !text.is_empty()) {
            if text.first() == Some(&b'P') {
                body.extend(format!("P{}", position + characters).into_bytes());
            } else {
                body.extend(text);
            }
            body.push(0);
        }
        body.push(0);
        Self::new(self.tag, body)
    }

    /// The values of a `DataRow`.
    pub(super) fn values(&self) -> Option<Vec<Option<Bytes>>> {
        let mut body = self.body.clone();
        let count = body.try_get_u16().ok()?;
        let mut values = Vec::new();
        for _ in 0..count {
            let length = body.try_get_i32().ok()?;
            let value = usize::try_from(length).ok();
            values.push(match value {
                Some(length) if length <= body.len() => Some(body.split_to(length)),
                Some(_) => return None,
                None => None,
            });
        }
        Some(values)
    }
}

/// Texts, each ended by a zero.
pub(super) struct Texts {
    rest: Bytes,
}

impl Texts {
    pub(super) fn bytes(&mut self) -> Option<Bytes> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let text = self.rest.split_to(end);
        self.rest.advance(1);
        Some(text)
    }

    /// The next text.
    pub(super) fn text(&mut self) -> Result<String, SqlError> {
        let malformed = || SqlError::new(state::PROTOCOL_VIOLATION, "invalid message format");
        let bytes = self.bytes().ok_or_else(malformed)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| {
            SqlError::new(
                state::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\"",
            )
        })
    }

    /// What is behind the texts that were taken.
    pub(super) fn rest(self) -> Bytes {
        self.rest
    }
}

/// Cuts a connection into messages.
#[derive(Debug)]
pub(super) struct FrameCodec {
    bytes_max: usize,
}

impl FrameCodec {
    /// For what a client sends.
    pub(super) fn of_client() -> Self {
        Self {
            bytes_max: REQUEST_BYTES_MAX,
        }
    }

    /// For what the local server sends.
    pub(super) fn of_server() -> Self {
        Self {
            bytes_max: MESSAGE_BYTES_MAX,
        }
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<Frame>> {
        let Some([tag, a, b, c, d]) = source.first_chunk::<5>() else {
            return Ok(None);
        };
        let (tag, length) = (*tag, u32::from_be_bytes([*a, *b, *c, *d]));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length < LENGTH_BYTES || length > self.bytes_max {
            let wrong = format!("a message of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
        }
        if source.len() <= length {
            source.reserve(length + 1 - source.len());
            return Ok(None);
        }
        let mut message = source.split_to(length + 1);
        message.advance(1 + LENGTH_BYTES);
        Ok(Some(Frame {
            tag,
            body: message.freeze(),
        }))
    }
}

/// Messages that were put together already.
impl Encoder<Bytes> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, bytes: Bytes, destination: &mut BytesMut) -> io::Result<()> {
        destination.extend_from_slice(&bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_and_put_together_again() {
        let frame = Frame::new(b'Q', b"SELECT 1\0".to_vec());
        let mut bytes = BytesMut::new();
        frame.put(&mut bytes);
        assert_eq!(bytes.len(), frame.size());
        let mut codec = FrameCodec::of_client();
        for end in 0..bytes.len() {
            assert_eq!(
                codec.decode(&mut bytes.clone().split_to(end)).unwrap(),
                None
            );
        }
        assert_eq!(codec.decode(&mut bytes).unwrap(), Some(frame));
        let mut short = BytesMut::from(&b"Q\0\0\0\x03"[..]);
        assert!(codec.decode(&mut short).is_err());
        let mut long = BytesMut::from(&b"Q\x7f\0\0\0"[..]);
        assert!(codec.decode(&mut long).is_err(), "it is not waited for");
    }

    #[test]
    fn errors_are_told_and_understood() {
        let error = SqlError::new(state::UNDEFINED_TABLE, "no \0table").with_hint("make one");
        let frame = Frame::error(b'E', "ERROR", &error);
        let read = frame.as_error();
        assert_eq!(
            (read.state, read.message.as_str()),
            (error.state, "no table")
        );
        assert_eq!(read.hint, error.hint);
        let placed = Frame::new(b'E', b"SERROR\0P3\0Mx\0\0".to_vec()).moved(10);
        assert_eq!(placed.field(b'P').as_deref(), Some("13"));
        assert_eq!(placed.field(b'M').as_deref(), Some("x"));
    }

    #[test]
    fn rows_have_values_or_none() {
        let row = Frame::new(b'D', b"\0\x02\0\0\0\x01a\xff\xff\xff\xff".to_vec());
        assert_eq!(row.values(), Some(vec![Some(Bytes::from("a")), None]));
        assert_eq!(
            Frame::new(b'D', b"\0\x01\0\0\0\x09a".to_vec()).values(),
            None
        );
    }
}
