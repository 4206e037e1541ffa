//! The signals that end the program, received instead of obeyed.

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::failure::Failure;

/// SIGHUP, SIGINT and SIGTERM, which do nothing by themselves from now on.
#[derive(Debug)]
pub(crate) struct Signals {
    hang_up: Stream,
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    /// Begins to receive them.
    pub(crate) fn new() -> Result<Self, Failure> {
        let stream = |kind| signal(kind).map_err(Failure::Signals);
        Ok(Self {
            hang_up: stream(SignalKind::hangup())?,
            interrupt: stream(SignalKind::interrupt())?,
            terminate: stream(SignalKind::terminate())?,
        })
    }

    /// The next one. None is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hang_up.recv() => Signal::HUP,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
        }
    }
}
