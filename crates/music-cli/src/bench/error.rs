//! Why a measurement failed.

use std::net::SocketAddr;

/// A failed measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A connection failed.
    #[error("the connection to the server failed")]
    Connection(#[from] std::io::Error),
    /// A connection was closed before the answer.
    #[error("the server closed the connection")]
    Closed,
    /// An answer was not understood.
    #[error("the answer of the server {0}")]
    Answer(&'static str),
    /// A request was refused.
    #[error("the server answered a {operation} with status {status}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The answer.
        status: u16,
    },
    /// The URL is none that can be measured.
    #[error("{0:?} is no http://ADDRESS:PORT")]
    Url(String),
    /// The server did not say where it listens.
    #[error("the deployment did not start: {0}")]
    Start(&'static str),
    /// The server could not be started.
    #[error("the deployment could not be started")]
    Spawn(#[source] std::io::Error),
    /// A deployment does not start.
    #[error(transparent)]
    Deployment(#[from] music_server::dev::Error),
    /// A deployment cannot be controlled.
    #[error(transparent)]
    Control(#[from] music_server::dev::ControlError),
    /// What the system tells of the server cannot be read.
    #[error("the processor time of process {pid} cannot be read")]
    ProcessorTime {
        /// The server.
        pid: u32,
    },
    /// The clients of a site do not connect.
    #[error("the clients do not connect: {0}")]
    Clients(String),
    /// There is nothing to measure.
    #[error("there is no node to measure")]
    NoNode,
    /// Nothing was counted.
    #[error("no request to {0} was answered in the time that was measured")]
    NothingCounted(SocketAddr),
    /// A histogram cannot hold a measurement.
    #[error("a measurement is out of all bounds")]
    Histogram,
    /// A thread of the load has failed.
    #[error("the load generator failed")]
    Load(#[from] tokio::task::JoinError),
}
