//! Asking a server one question.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long each step of an exchange may take.
const STEP_TIME: Duration = Duration::from_secs(3);

/// Whether anything listens there.
pub(crate) fn listens(host: &str, port: u16) -> bool {
    connect(host, port).is_some()
}

/// Sends a question in plain text; the whole answer, if there is one in time.
pub(crate) fn ask(host: &str, port: u16, question: &str) -> Option<String> {
    let mut stream = connect(host, port)?;
    stream.write_all(question.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A connection whose every step ends in time.
pub(crate) fn connect(host: &str, port: u16) -> Option<TcpStream> {
    let host: IpAddr = host.parse().ok()?;
    let stream = TcpStream::connect_timeout(&SocketAddr::new(host, port), STEP_TIME).ok()?;
    stream.set_read_timeout(Some(STEP_TIME)).ok()?;
    stream.set_write_timeout(Some(STEP_TIME)).ok()?;
    Some(stream)
}
