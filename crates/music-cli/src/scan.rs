//! `music scan`.

use clap::Args;
use futures_util::{StreamExt as _, pin_mut};
use music_client::ScanOptions;
use music_client::api::name::{Key, Value};
use music_client::api::table::Record;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// List the records of a table, in the order of their keys
///
/// A line for each value: key, field if it is not the default one, value. With
/// --json a line for each record.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music scan -t notes
  music scan -t notes --prefix 2024/ --limit 10
  music scan -t notes --json | jq .key")]
pub(crate) struct Scan {
    /// The table
    #[arg(short, long)]
    table: String,
    /// Only keys that begin so
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// How many records at most; all if left out
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// The most records that a page is asked to have.
const PAGE_MAX: u32 = 100;

/// Lists records.
pub(crate) async fn run(global: &Global, scan: Scan, output: &Output) -> Result<Exit, Failure> {
    let mut left = scan.limit.unwrap_or(usize::MAX);
    let page_size = u32::try_from(left).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let prefix = scan.prefix.into_bytes();
    let options = ScanOptions {
        prefix,
        page_size: Some(page_size),
        cursor: None,
    };
    let pages = global.client()?.scan(&scan.table, options);
    pin_mut!(pages);
    while let Some(page) = pages.next().await {
        for record in page?.into_iter().take(left) {
            left -= 1;
            output.either(&record, || lines(&record))?;
        }
        if left == 0 {
            break;
        }
    }
    Ok(Exit::Done)
}

/// A line for each field of a record.
pub(crate) fn lines(record: &Record) -> String {
    let key = key(&record.key);
    let line = |(field, value): (&String, &Value)| match field.as_str() {
        "" => format!("{key}\t{}", self::value(value)),
        field => format!("{key}\t{field}\t{}", self::value(value)),
    };
    record
        .fields
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A key in one line.
pub(crate) fn key(key: &Key) -> String {
    match key {
        Key::Text(text) => escape(text),
        Key::Bytes { base64 } => format!("base64:{base64}"),
    }
}

/// A value in one line.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Json(json) => json.to_string(),
        Value::Text(text) => escape(text),
        Value::Base64 { data, .. } => format!("base64:{data}"),
    }
}

/// A text in one line, and without what a terminal would take for a command.
pub(crate) fn escape(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.into()
        }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_record_is_a_line_for_each_field() {
        let text = |text: &str| Value::Text(text.to_owned());
        let fields = BTreeMap::from([
            (String::new(), text("a\nb\x1b[31m")),
            ("size".to_owned(), Value::Json(serde_json::json!({"w": 1}))),
        ]);
        let record = Record {
            key: "k".into(),
            fields,
            stamp: 7,
        };
        assert_eq!(lines(&record), "k\ta\\nb\\u{1b}[31m\nk\tsize\t{\"w\":1}");
    }
}
