//! `COPY … TO STDOUT`.

use std::io;

use bytes::{BufMut, BytesMut};
use pgwire::messages::PgWireBackendMessage as Message;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};

use super::connection::{Connection, Failure};
use crate::dialect::{Copy, CopyFormat, Csv};
use crate::error::{Result, SqlError};
use crate::snapshot::TAKE_WAIT;
use crate::types::{Look, SqlType, Value, binary, text};

/// What a binary copy begins with: a signature, no flags, no extension.
pub(crate) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

impl Connection {
    pub(super) async fn copy_out(&mut self, copy: Copy, text: &str) -> Result<(), Failure> {
        if copy.is_snapshot {
            return self.snapshot_out().await;
        }
        let (_, outcome) = self.session.run(copy.run.clone(), text, Vec::new()).await?;
        let code = i8::from(copy.format == CopyFormat::Binary);
        let count = i16::try_from(copy.columns.len()).map_err(SqlError::internal)?;
        let formats = vec![i16::from(code); copy.columns.len()];
        self.tell(Message::CopyOutResponse(CopyOutResponse::new(
            code, count, formats,
        )))
        .await?;
        let mut buffer = head(&copy).unwrap_or_default();
        if copy.format != CopyFormat::Binary && !buffer.is_empty() {
            self.tell(data(buffer.split())).await?;
        }
        for row in &outcome.rows {
            // As in PostgreSQL, a binary head comes with the first row.
            buffer.unsplit(line(&copy, row, self.session.look())?);
            self.tell(data(buffer.split())).await?;
        }
        if copy.format == CopyFormat::Binary {
            buffer.put_i16(-1);
            self.tell(data(buffer)).await?;
        }
        self.tell(Message::CopyDone(CopyDone::new())).await?;
        self.tag = Some(format!("COPY {}", outcome.rows.len()));
        Ok(())
    }
}

impl Connection {
    /// The whole database goes out, in pieces.
    async fn snapshot_out(&mut self) -> Result<(), Failure> {
        let mut donation = self.session.donate().await?;
        let begin = CopyOutResponse::new(1, 1, vec![1]);
        self.tell(Message::CopyOutResponse(begin)).await?;
        while let Some(bytes) = donation.next().await? {
            let message = Message::CopyData(CopyData::new(bytes));
            let told = tokio::time::timeout(TAKE_WAIT, self.tell(message)).await;
            told.map_err(io::Error::other)??;
        }
        self.tell(Message::CopyDone(CopyDone::new())).await?;
        self.tag = Some(format!("COPY {}", donation.pieces()));
        Ok(())
    }
}

fn data(bytes: BytesMut) -> Message {
    Message::CopyData(CopyData::new(bytes.freeze()))
}

fn head(copy: &Copy) -> Option<BytesMut> {
    let mut buffer = BytesMut::new();
    match &copy.format {
        CopyFormat::Binary => {
            buffer.put_slice(SIGNATURE);
            buffer.put_i32(0);
            buffer.put_i32(0);
        }
        CopyFormat::Text { delimiter, .. } if copy.has_header => {
            let names: Vec<String> = copy
                .columns
                .iter()
                .map(|(name, _)| escape(name, *delimiter))
                .collect();
            buffer.put_slice(format!("{}\n", names.join(&delimiter.to_string())).as_bytes());
        }
        CopyFormat::Csv(csv) if copy.has_header => {
            let names: Vec<String> = copy
                .columns
                .iter()
                .map(|(name, _)| quote(name, csv))
                .collect();
            buffer.put_slice(format!("{}\n", names.join(&csv.delimiter.to_string())).as_bytes());
        }
        _ => return None,
    }
    Some(buffer)
}

fn line(copy: &Copy, row: &[Value], look: &Look) -> Result<BytesMut> {
    let mut buffer = BytesMut::new();
    let values = copy.columns.iter().map(|(_, ty)| *ty).zip(row);
    let shown = |ty: SqlType, value: &Value| -> Result<String> {
        // Names of objects are computed as text.
        match value {
            Value::Text(name) if ty.class() == crate::types::Class::Registered => Ok(name.clone()),
            value => text::print(ty, value, look),
        }
    };
    match &copy.format {
        CopyFormat::Binary => {
            buffer.put_i16(i16::try_from(row.len()).map_err(SqlError::internal)?);
            for (ty, value) in values {
                binary::encode_sized(ty, value, look, &mut buffer)?;
            }
        }
        CopyFormat::Text { delimiter, null } => {
            let mut fields = Vec::new();
            for (ty, value) in values {
                fields.push(match value {
                    Value::Null => null.clone(),
                    value => escape(&shown(ty, value)?, *delimiter),
                });
            }
            buffer.put_slice(format!("{}\n", fields.join(&delimiter.to_string())).as_bytes());
        }
        CopyFormat::Csv(csv) => {
            let mut fields = Vec::new();
            for (ty, value) in values {
                fields.push(match value {
                    Value::Null => csv.null.clone(),
                    value => quote(&shown(ty, value)?, csv),
                });
            }
            buffer.put_slice(format!("{}\n", fields.join(&csv.delimiter.to_string())).as_bytes());
        }
    }
    Ok(buffer)
}

fn escape(text: &str, delimiter: char) -> String {
    let mut output = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => output.push_str("\\\\"),
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            '\u{8}' => output.push_str("\\b"),
            '\u{b}' => output.push_str("\\v"),
            '\u{c}' => output.push_str("\\f"),
            other if other == delimiter => {
                output.push('\\');
                output.push(other);
            }
            other => output.push(other),
        }
    }
    output
}

fn quote(text: &str, csv: &Csv) -> String {
    let is_plain =
        !text.contains([csv.delimiter, csv.quote, '\n', '\r']) && text != csv.null && text != "\\.";
    if is_plain {
        return text.to_owned();
    }
    let mut output = String::from(csv.quote);
    for character in text.chars() {
        if character == csv.quote || character == csv.escape {
            output.push(csv.escape);
        }
        output.push(character);
    }
    output.push(csv.quote);
    output
}
