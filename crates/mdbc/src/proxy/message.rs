//! Values and errors as messages.

use bytes::BytesMut;
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage as Message;
use pgwire::messages::data::{DataRow, FieldDescription, RowDescription};
use pgwire::messages::response::{CommandComplete, ErrorResponse, NoticeResponse};

use crate::dialect::Output;
use crate::error::{Result, SqlError, state};
use crate::types::{Look, SqlType, Value, binary, text};

/// An error or a notice, with its severity.
fn info(severity: &str, error: &SqlError) -> ErrorInfo {
    let mut info = ErrorInfo::new(
        severity.to_owned(),
        error.state.code().to_owned(),
        error.message.clone(),
    );
    info.detail.clone_from(&error.detail);
    info.hint.clone_from(&error.hint);
    info
}

pub(super) fn error(error: &SqlError) -> Message {
    Message::ErrorResponse(ErrorResponse::from(info("ERROR", error)))
}

pub(super) fn fatal(error: &SqlError) -> Message {
    Message::ErrorResponse(ErrorResponse::from(info("FATAL", error)))
}

pub(super) fn notice(error: &SqlError) -> Message {
    let severity = if error.state == state::SUCCESSFUL_COMPLETION {
        "NOTICE"
    } else {
        "WARNING"
    };
    Message::NoticeResponse(NoticeResponse::from(info(severity, error)))
}

pub(super) fn complete(tag: &str) -> Message {
    Message::CommandComplete(CommandComplete::new(tag.to_owned()))
}

/// The format, 0 for text and 1 for binary, of each of `count` columns.
pub(super) fn formats(codes: &[i16], count: usize) -> Result<Vec<i16>> {
    if let Some(wrong) = codes.iter().find(|code| !matches!(code, 0 | 1)) {
        return Err(SqlError::new(
            state::PROTOCOL_VIOLATION,
            format!("unsupported format code: {wrong}"),
        ));
    }
    match codes {
        [] => Ok(vec![0; count]),
        [one] => Ok(vec![*one; count]),
        codes if codes.len() == count => Ok(codes.to_vec()),
        codes => Err(SqlError::new(
            state::PROTOCOL_VIOLATION,
            format!("message has {} formats but {count} columns", codes.len()),
        )),
    }
}

pub(super) fn row_description(columns: &[Output], formats: &[i16]) -> Message {
    let formats = formats.iter().copied().chain(std::iter::repeat(0));
    let fields = columns.iter().zip(formats).map(|(column, format)| {
        let (table, number) = column.origin.unwrap_or_default();
        FieldDescription::new(
            column.name.clone(),
            i32::try_from(table).unwrap_or_default(),
            number,
            column.ty.oid(),
            column.ty.size(),
            column.modifier,
            format,
        )
    });
    Message::RowDescription(RowDescription::new(fields.collect()))
}

pub(super) fn data_row(
    columns: &[Output],
    formats: &[i16],
    row: &[Value],
    look: &Look,
) -> Result<Message> {
    let mut buffer = BytesMut::new();
    let formats = formats.iter().copied().chain(std::iter::repeat(0));
    for ((column, format), value) in columns.iter().zip(formats).zip(row) {
        put(column, format, value, look, &mut buffer)?;
    }
    let count = i16::try_from(columns.len()).map_err(SqlError::internal)?;
    Ok(Message::DataRow(DataRow::new(buffer, count)))
}

fn put(
    column: &Output,
    format: i16,
    value: &Value,
    look: &Look,
    buffer: &mut BytesMut,
) -> Result<()> {
    use bytes::BufMut;
    let ty = column.ty;
    // Names of objects are computed as text.
    let is_name = ty.class() == crate::types::Class::Registered && matches!(value, Value::Text(_));
    if *value != Value::Null && (format == 0 || is_name) {
        let shown = if is_name {
            text::print(SqlType::of(crate::types::Base::Text), value, look)?
        } else {
            padded(column, text::print(ty, value, look)?)
        };
        let length = i32::try_from(shown.len()).map_err(SqlError::internal)?;
        buffer.put_i32(length);
        buffer.put_slice(shown.as_bytes());
        return Ok(());
    }
    binary::encode_sized(ty, value, look, buffer)
}

/// `character(n)` is shown with spaces up to its length.
fn padded(column: &Output, text: String) -> String {
    if column.ty == SqlType::of(crate::types::Base::Bpchar) && column.modifier > 4 {
        let width = usize::try_from(column.modifier - 4).unwrap_or_default();
        return format!("{text:<width$}");
    }
    text
}

/// The value of a parameter.
pub(super) fn parameter(
    ty: SqlType,
    format: i16,
    bytes: Option<&[u8]>,
    look: &Look,
) -> Result<Value> {
    let Some(bytes) = bytes else {
        return Ok(Value::Null);
    };
    if format == 1 {
        binary::decode(ty, bytes, look)
    } else {
        text::parse(ty, binary::utf8(bytes)?, look)
    }
}
