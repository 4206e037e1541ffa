//! What a command writes to its standard output, as it is remembered.

use std::process::ExitStatus;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::json;
use serde_json::value::Value as Json;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use crate::child::Child;
use crate::failure::Failure;

/// How much is kept, in bytes.
pub(crate) const CAPTURED_MAX: usize = 64 * 1024;

/// The member of a JSON object that has bytes which are no text.
const BASE64: &str = "base64";

/// What a command wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Captured {
    /// All of it.
    All(Vec<u8>),
    /// The beginning of what is too much.
    TooMuch(Vec<u8>),
}

impl Captured {
    /// What is kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::All(bytes) | Self::TooMuch(bytes) => bytes,
        }
    }
}

/// Waits until a captured command has ended, and nobody can write any more for
/// it, as a shell does for `$(CMD)`. Signals are passed on meanwhile.
pub(crate) async fn wait(
    child: &mut Child,
    passed_on: &mut mpsc::Receiver<Signal>,
) -> Result<(ExitStatus, Captured), Failure> {
    let read = read(child.take_output());
    tokio::pin!(read);
    let (mut status, mut captured) = (None, None);
    loop {
        tokio::select! {
            bytes = &mut read, if captured.is_none() => {
                captured = Some(bytes.map_err(Failure::CommandOutput)?);
            }
            ended = child.wait(), if status.is_none() => status = Some(ended?),
            Some(signal) = passed_on.recv() => {
                if status.is_none() {
                    child.pass_on(signal);
                } else {
                    child.signal_rest(signal);
                }
            }
        }
        captured = match (status, captured) {
            (Some(status), Some(captured)) => return Ok((status, captured)),
            (_, captured) => captured,
        };
    }
}

/// Reads to the end, and keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Captured> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else {
        return Ok(Captured::All(bytes));
    };
    let kept = u64::try_from(CAPTURED_MAX).unwrap_or(u64::MAX);
    (&mut from).take(kept).read_to_end(&mut bytes).await?;
    // Read on, so that the command is not held up.
    let more = tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(if more == 0 {
        Captured::All(bytes)
    } else {
        Captured::TooMuch(bytes)
    })
}

/// The JSON by which it is remembered: text is what it is, other bytes are told
/// by their base64.
pub(crate) fn to_json(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ BASE64: STANDARD.encode(bytes) }),
    }
}

/// What was remembered; that of another program, which is no text, as JSON.
pub(crate) fn to_bytes(result: &Json) -> Vec<u8> {
    if let Json::String(text) = result {
        return text.clone().into_bytes();
    }
    let object = result.as_object().filter(|object| object.len() == 1);
    let base64 = object.and_then(|object| object.get(BASE64)?.as_str());
    base64
        .and_then(|base64| STANDARD.decode(base64).ok())
        .unwrap_or_else(|| result.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back() {
        for bytes in [&b""[..], b"text\n", b"\xff\0", "\u{1}é".as_bytes()] {
            assert_eq!(to_bytes(&to_json(bytes)), bytes);
        }
        assert_eq!(to_bytes(&json!(4711)), b"4711", "of a Rust program");
        assert_eq!(to_bytes(&json!({"base64": "?"})), br#"{"base64":"?"}"#);
    }

    #[tokio::test]
    async fn as_much_as_the_bound_is_kept() {
        for (length, all) in [(0, true), (CAPTURED_MAX, true), (CAPTURED_MAX + 1, false)] {
            let bytes = vec![7; length];
            let captured = read(Some(bytes.as_slice())).await.unwrap();
            assert_eq!(matches!(captured, Captured::All(_)), all, "{length}");
            assert_eq!(captured.bytes().len(), length.min(CAPTURED_MAX));
        }
    }
}
