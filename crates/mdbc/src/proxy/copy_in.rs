//! `COPY … FROM STDIN`.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::SinkExt;
use pgwire::messages::copy::CopyInResponse;
use pgwire::messages::{PgWireBackendMessage as Message, PgWireFrontendMessage as Request};

use super::connection::{Connection, Failure};
use super::copy_out::SIGNATURE;
use crate::dialect::{Copy, CopyFormat, Csv};
use crate::error::{Result, SqlError, state};
use crate::types::{Look, Value, binary, text};

/// Bytes of one row.
const ROW_BYTES_MAX: usize = 64 << 20;
/// Columns that a row may seem to have.
const FIELDS_MAX: usize = 2000;

/// A `COPY` on its way in.
pub(super) struct CopyIn {
    copy: Copy,
    text: String,
    /// Whether it was begun by the extended protocol.
    is_extended: bool,
    buffer: BytesMut,
    count: u64,
    /// Whether the header, of either kind, is behind us.
    has_begun: bool,
    has_ended: bool,
}

fn bad(message: impl Into<String>) -> SqlError {
    SqlError::new(state::BAD_COPY_FILE_FORMAT, message)
}

impl CopyIn {
    pub(super) fn new(copy: Copy, text: &str, is_extended: bool) -> Self {
        Self {
            has_begun: !copy.has_header && copy.format != CopyFormat::Binary,
            copy,
            text: text.to_owned(),
            is_extended,
            buffer: BytesMut::new(),
            count: 0,
            has_ended: false,
        }
    }

    pub(super) fn response(&self) -> Message {
        let code = i8::from(self.copy.format == CopyFormat::Binary);
        let count = i16::try_from(self.copy.columns.len()).unwrap_or_default();
        let formats = vec![i16::from(code); self.copy.columns.len()];
        Message::CopyInResponse(CopyInResponse::new(code, count, formats))
    }

    /// The rows that are complete by now.
    fn rows(&mut self, data: &[u8], is_end: bool, look: &Look) -> Result<Vec<Vec<Value>>> {
        self.buffer.extend_from_slice(data);
        let mut rows = Vec::new();
        while !self.has_ended {
            let fields = match self.copy.format.clone() {
                CopyFormat::Binary => self.binary_row(is_end)?,
                CopyFormat::Text { delimiter, null } => self.text_row(delimiter, &null, is_end)?,
                CopyFormat::Csv(csv) => self.csv_row(&csv, is_end)?,
            };
            let Some(fields) = fields else { break };
            if !std::mem::replace(&mut self.has_begun, true) {
                continue;
            }
            rows.push(self.values(&fields, look)?);
        }
        if self.has_ended {
            self.buffer.clear();
        }
        if self.buffer.len() > ROW_BYTES_MAX {
            return Err(SqlError::new(
                state::PROGRAM_LIMIT_EXCEEDED,
                format!("a row is longer than {ROW_BYTES_MAX} bytes"),
            ));
        }
        Ok(rows)
    }

    fn values(&mut self, fields: &[Option<Bytes>], look: &Look) -> Result<Vec<Value>> {
        let line = self.count + 1;
        let columns = &self.copy.columns;
        if fields.len() > columns.len() {
            return Err(bad("extra data after last expected column")
                .with_detail(format!("COPY line {line}")));
        }
        let mut values = Vec::new();
        for (number, (name, ty)) in columns.iter().enumerate() {
            let field = fields.get(number).ok_or_else(|| {
                bad(format!("missing data for column \"{name}\""))
                    .with_detail(format!("COPY line {line}"))
            })?;
            values.push(match field {
                None => Value::Null,
                Some(bytes) if self.copy.format == CopyFormat::Binary => {
                    binary::decode(*ty, bytes, look)?
                }
                Some(bytes) => text::parse(*ty, binary::utf8(bytes)?, look).map_err(|error| {
                    error.with_detail(format!("COPY line {line}, column {name}"))
                })?,
            });
        }
        self.count += 1;
        Ok(values)
    }

    /// The bytes up to the next line's end, which is dropped.
    fn line(&mut self, end: Option<usize>, is_end: bool) -> Option<BytesMut> {
        match end {
            Some(end) => {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                Some(line)
            }
            None if is_end && !self.buffer.is_empty() => Some(self.buffer.split()),
            None => None,
        }
    }

    fn text_row(
        &mut self,
        delimiter: char,
        null: &str,
        is_end: bool,
    ) -> Result<Option<Vec<Option<Bytes>>>> {
        let end = text_line_end(&self.buffer);
        let Some(line) = self.line(end, is_end) else {
            return Ok(None);
        };
        if &line[..] == b"\\." {
            self.has_ended = true;
            return Ok(None);
        }
        let line = binary::utf8(&line)?.to_owned();
        let mut fields = Vec::new();
        let mut raw = String::new();
        let mut is_escaped = false;
        for character in line.chars() {
            if character == delimiter && !is_escaped {
                fields.push(std::mem::take(&mut raw));
                continue;
            }
            is_escaped = character == '\\' && !is_escaped;
            raw.push(character);
        }
        fields.push(raw);
        check_count(fields.len())?;
        let field = |raw: String| {
            if raw == null {
                None
            } else {
                Some(unescape(&raw).into_bytes().into())
            }
        };
        Ok(Some(fields.into_iter().map(field).collect()))
    }

    fn csv_row(&mut self, csv: &Csv, is_end: bool) -> Result<Option<Vec<Option<Bytes>>>> {
        let end = csv_line_end(&self.buffer, csv);
        let Some(line) = self.line(end, is_end) else {
            return Ok(None);
        };
        if &line[..] == b"\\." {
            self.has_ended = true;
            return Ok(None);
        }
        let line = binary::utf8(&line)?.to_owned();
        let mut fields = Vec::new();
        let mut field = String::new();
        let (mut is_quoted, mut was_quoted) = (false, false);
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            if is_quoted {
                let is_escape = character == csv.escape
                    && characters
                        .peek()
                        .is_some_and(|next| *next == csv.quote || *next == csv.escape);
                if is_escape {
                    field.extend(characters.next());
                } else if character == csv.quote {
                    is_quoted = false;
                } else {
                    field.push(character);
                }
            } else if character == csv.quote {
                (is_quoted, was_quoted) = (true, true);
            } else if character == csv.delimiter {
                fields.push((std::mem::take(&mut field), std::mem::take(&mut was_quoted)));
            } else {
                field.push(character);
            }
        }
        if is_quoted {
            return Err(bad("unterminated CSV quoted field"));
        }
        fields.push((field, was_quoted));
        check_count(fields.len())?;
        let value = |(field, was_quoted): (String, bool)| {
            if !was_quoted && field == csv.null {
                None
            } else {
                Some(field.into_bytes().into())
            }
        };
        Ok(Some(fields.into_iter().map(value).collect()))
    }

    fn binary_row(&mut self, is_end: bool) -> Result<Option<Vec<Option<Bytes>>>> {
        let mut rest = &self.buffer[..];
        if !self.has_begun {
            let head = SIGNATURE.len() + 8;
            if rest.len() < head {
                return if is_end {
                    Err(bad("COPY file signature not recognized"))
                } else {
                    Ok(None)
                };
            }
            if !rest.starts_with(SIGNATURE)
                || rest
                    .get(SIGNATURE.len()..head)
                    .is_none_or(|rest| rest != [0; 8])
            {
                return Err(bad("COPY file signature not recognized"));
            }
            self.buffer.advance(head);
            return Ok(Some(Vec::new()));
        }
        let before = rest.len();
        let mut fields = Vec::new();
        let complete = (|| {
            let count = rest.try_get_i16().ok()?;
            if count == -1 {
                return Some(Ok(true));
            }
            for _ in 0..count {
                let length = rest.try_get_i32().ok()?;
                match usize::try_from(length) {
                    Err(_) if length == -1 => fields.push(None),
                    Err(_) => return Some(Err(bad("invalid field size"))),
                    Ok(length) => {
                        let (field, after) = rest.split_at_checked(length)?;
                        fields.push(Some(Bytes::copy_from_slice(field)));
                        rest = after;
                    }
                }
            }
            Some(Ok(false))
        })();
        match complete.transpose()? {
            Some(true) => {
                self.has_ended = true;
                Ok(None)
            }
            Some(false) => {
                check_count(fields.len())?;
                let used = before - rest.len();
                self.buffer.advance(used);
                Ok(Some(fields))
            }
            None if is_end && before > 0 => Err(bad("unexpected EOF in COPY data")),
            None => Ok(None),
        }
    }
}

fn check_count(count: usize) -> Result<()> {
    if count > FIELDS_MAX {
        return Err(bad("extra data after last expected column"));
    }
    Ok(())
}

/// Where the line ends: at a line feed that no backslash stands before.
fn text_line_end(buffer: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    buffer.iter().position(|byte| {
        let is_end = *byte == b'\n' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })
}

/// Where the line ends: at a line feed outside quotes.
fn csv_line_end(buffer: &[u8], csv: &Csv) -> Option<usize> {
    let quote = u8::try_from(csv.quote).unwrap_or(b'"');
    let escape = u8::try_from(csv.escape).unwrap_or(b'"');
    let (mut is_quoted, mut is_escaped) = (false, false);
    buffer.iter().position(|byte| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        if *byte == quote {
            is_quoted = !is_quoted;
        } else if *byte == escape && is_quoted {
            is_escaped = true;
        }
        *byte == b'\n' && !is_quoted
    })
}

fn unescape(raw: &str) -> String {
    let mut output = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            output.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => output.push('\n'),
            Some('r') => output.push('\r'),
            Some('t') => output.push('\t'),
            Some('b') => output.push('\u{8}'),
            Some('v') => output.push('\u{b}'),
            Some('f') => output.push('\u{c}'),
            Some(other) => output.push(other),
            None => output.push('\\'),
        }
    }
    output
}

impl Connection {
    pub(super) async fn copy_request(&mut self, request: Request) -> io::Result<()> {
        let result = match request {
            Request::CopyData(data) => self.copy_data(&data.data, false).await,
            Request::CopyDone(_) => match self.copy_data(&[], true).await {
                Ok(()) => return self.copy_done().await,
                Err(failure) => Err(failure),
            },
            Request::CopyFail(fail) => Err(SqlError::new(
                state::QUERY_CANCELED,
                format!("COPY from stdin failed: {}", fail.message),
            )
            .into()),
            // Clients send these right behind the statement.
            Request::Flush(_) | Request::Sync(_) => Ok(()),
            _ => Err(
                SqlError::new(state::PROTOCOL_VIOLATION, "unexpected message during COPY").into(),
            ),
        };
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Io(error)) => Err(error),
            Err(Failure::Sql(error)) => {
                let is_extended = self.copy.take().is_some_and(|copy| copy.is_extended);
                self.rest.clear();
                self.fail(&error).await?;
                if is_extended {
                    self.is_skipping = true;
                    return self.socket.flush().await;
                }
                self.ready().await
            }
        }
    }

    async fn copy_data(&mut self, data: &[u8], is_end: bool) -> Result<(), Failure> {
        let Some(copy) = &mut self.copy else {
            return Ok(());
        };
        let rows = copy.rows(data, is_end, self.session.look())?;
        let (run, text) = (copy.copy.run.clone(), copy.text.clone());
        if !rows.is_empty() {
            self.session.run_each(run, &text, rows).await?;
        }
        Ok(())
    }

    async fn copy_done(&mut self) -> io::Result<()> {
        let Some(copy) = self.copy.take() else {
            return Ok(());
        };
        self.tag = Some(format!("COPY {}", copy.count));
        if copy.is_extended {
            // The Sync that follows ends it.
            return Ok(());
        }
        self.go_on().await
    }
}
