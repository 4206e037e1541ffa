//! One question to a Cassandra node, in version 4 of its protocol.
//!
//! ```text
//! frame   version  flags  stream (2)  opcode  length (4)  body
//! ```

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::wire;

const REQUEST_VERSION: u8 = 0x04;
const STARTUP: u8 = 0x01;
const READY: u8 = 0x02;
const QUERY: u8 = 0x07;
const RESULT: u8 = 0x08;
/// All replicas.
const CONSISTENCY_ALL: u16 = 0x0005;
/// A question whose answer rests with three replicas, whichever they are:
/// Cassandra keeps this table three times without regard to data centres.
const QUESTION: &str = "SELECT parent_id FROM system_distributed.parent_repair_history \
                        WHERE parent_id = 00000000-0000-1000-8000-000000000000";

/// Whether a node answers from all three replicas: so it serves clients, and
/// sees the other two alive.
pub(super) fn answers_with_all(host: &str, port: u16) -> bool {
    ask(host, port).is_some()
}

fn ask(host: &str, port: u16) -> Option<()> {
    let mut stream = wire::connect(host, port)?;
    let mut options = 1_u16.to_be_bytes().to_vec();
    for text in ["CQL_VERSION", "3.0.0"] {
        options.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
        options.extend(text.as_bytes());
    }
    exchange(&mut stream, STARTUP, &options, READY)?;
    let mut query = u32::try_from(QUESTION.len()).ok()?.to_be_bytes().to_vec();
    query.extend(QUESTION.as_bytes());
    query.extend(CONSISTENCY_ALL.to_be_bytes());
    // No values, no pages.
    query.push(0);
    exchange(&mut stream, QUERY, &query, RESULT)
}

/// Sends a request; `None` where the answer is not of the expected kind.
fn exchange(stream: &mut TcpStream, opcode: u8, body: &[u8], expected: u8) -> Option<()> {
    let mut frame = vec![REQUEST_VERSION, 0, 0, 0, opcode];
    frame.extend(u32::try_from(body.len()).ok()?.to_be_bytes());
    frame.extend(body);
    stream.write_all(&frame).ok()?;
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let [_, _, _, _, answered, length @ ..] = head;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?];
    stream.read_exact(&mut body).ok()?;
    (answered == expected).then_some(())
}
