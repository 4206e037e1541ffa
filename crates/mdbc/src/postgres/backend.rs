//! A connection to the site's PostgreSQL.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use pgwire::tokio::server::MaybeTls;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_util::codec::Framed;

use super::frame::{Frame, FrameCodec};
use crate::error::{Result, SqlError, state};

/// How long the local server may take to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// Where servers listen that do not say.
const PORT: u16 = 5432;

/// What the server's sockets are called in their folder.
fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

/// A connection that takes statements.
pub(super) struct Backend {
    socket: Framed<MaybeTls, FrameCodec>,
    canceler: Canceler,
    /// `I`, `T` or `E`, as the server said last.
    pub(super) status: u8,
    /// Whether it has not yet said that it is ready for more.
    pub(super) is_busy: bool,
}

/// Asks the server to cancel what a connection runs.
#[derive(Debug, Clone)]
pub(super) struct Canceler {
    server: tokio_postgres::Config,
    pub(super) process: i32,
    key: i32,
}

impl Canceler {
    /// Asks for it; whether it comes in time is another thing.
    pub(super) async fn cancel(&self) -> io::Result<()> {
        let mut socket = dial(&self.server).await?;
        let mut bytes = BytesMut::new();
        frontend::cancel_request(self.process, self.key, &mut bytes);
        socket.write_all(&bytes).await?;
        socket.shutdown().await
    }
}

pub(super) fn gone(error: impl std::fmt::Display) -> SqlError {
    SqlError::new(
        state::CONNECTION_FAILURE,
        format!("the connection to the local PostgreSQL is lost: {error}"),
    )
}

fn no_connection(error: impl std::fmt::Display) -> SqlError {
    SqlError::new(
        state::CANNOT_CONNECT_NOW,
        format!("the local PostgreSQL takes no connection: {error}"),
    )
}

impl Backend {
    /// Connects and authenticates; what the server says of itself comes with it.
    pub(super) async fn connect(
        server: &tokio_postgres::Config,
        parameters: &[(String, String)],
    ) -> Result<(Self, Vec<Frame>)> {
        let connect = Self::connect_now(server, parameters);
        timeout(CONNECT_MAX, connect)
            .await
            .unwrap_or_else(|late| Err(no_connection(late)))
    }

    async fn connect_now(
        server: &tokio_postgres::Config,
        parameters: &[(String, String)],
    ) -> Result<(Self, Vec<Frame>)> {
        let stream = dial(server).await.map_err(no_connection)?;
        let canceler = Canceler {
            server: server.clone(),
            process: 0,
            key: 0,
        };
        let mut backend = Self {
            socket: Framed::new(stream, FrameCodec::of_server()),
            canceler,
            status: b'I',
            is_busy: false,
        };
        let user = server.get_user().unwrap_or("postgres");
        let database = server.get_dbname().unwrap_or(user);
        let own = [("user", user), ("database", database)];
        let given = parameters.iter().map(|(name, value)| (&**name, &**value));
        let mut bytes = BytesMut::new();
        frontend::startup_message(own.into_iter().chain(given), &mut bytes)
            .map_err(no_connection)?;
        backend.send(bytes).await?;
        let reports = backend.start(server).await?;
        Ok((backend, reports))
    }

    async fn start(&mut self, server: &tokio_postgres::Config) -> Result<Vec<Frame>> {
        let mut scram = None;
        let mut reports = Vec::new();
        loop {
            let frame = self.next().await?;
            match frame.tag {
                b'R' => self.authenticate(server, &frame.body, &mut scram).await?,
                b'K' => {
                    if let Some([a, b, c, d, e, f, g, h]) = frame.body.first_chunk::<8>() {
                        self.canceler.process = i32::from_be_bytes([*a, *b, *c, *d]);
                        self.canceler.key = i32::from_be_bytes([*e, *f, *g, *h]);
                    }
                }
                b'S' => reports.push(frame),
                b'E' => return Err(frame.as_error()),
                b'Z' => return Ok(reports),
                _ => {}
            }
        }
    }

    async fn authenticate(
        &mut self,
        server: &tokio_postgres::Config,
        body: &Bytes,
        scram: &mut Option<sasl::ScramSha256>,
    ) -> Result<()> {
        let Some((kind, rest)) = body.split_first_chunk::<4>() else {
            return Err(no_connection("its greeting is damaged"));
        };
        let password = server.get_password().unwrap_or_default();
        let mut bytes = BytesMut::new();
        match i32::from_be_bytes(*kind) {
            0 => return Ok(()),
            3 => frontend::password_message(password, &mut bytes),
            5 => {
                let salt = rest.first_chunk::<4>().copied().unwrap_or_default();
                let user = server.get_user().unwrap_or("postgres");
                let hash = md5_hash(user.as_bytes(), password, salt);
                frontend::password_message(hash.as_bytes(), &mut bytes)
            }
            10 => {
                let started = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
                let started = scram.insert(started);
                frontend::sasl_initial_response(sasl::SCRAM_SHA_256, started.message(), &mut bytes)
            }
            11 => scram.as_mut().map_or(Ok(()), |scram| {
                scram.update(rest)?;
                frontend::sasl_response(scram.message(), &mut bytes)
            }),
            12 => {
                let finished = scram.as_mut().map_or(Ok(()), |scram| scram.finish(rest));
                return finished.map_err(no_connection);
            }
            other => {
                let wanted = format!("it asks for a password in the way {other}");
                return Err(no_connection(wanted));
            }
        }
        .map_err(no_connection)?;
        self.send(bytes).await
    }

    pub(super) fn canceler(&self) -> &Canceler {
        &self.canceler
    }

    /// Sends messages that were put together.
    pub(super) async fn send(&mut self, messages: BytesMut) -> Result<()> {
        self.is_busy = true;
        self.socket.send(messages.freeze()).await.map_err(gone)
    }

    /// Sends a message when there are more, or the connection is flushed.
    pub(super) async fn feed(&mut self, frame: Frame) -> Result<()> {
        let mut bytes = BytesMut::new();
        frame.put(&mut bytes);
        self.socket.feed(bytes.freeze()).await.map_err(gone)
    }

    /// What the server says next. A dropped future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Frame> {
        let next = self.socket.next().await;
        let frame = next.ok_or_else(|| gone("the server has closed it"))?;
        let frame = frame.map_err(gone)?;
        if frame.tag == b'Z' {
            self.is_busy = false;
            self.status = frame.body.first().copied().unwrap_or(b'E');
        }
        Ok(frame)
    }

    /// Takes leave; what is open is rolled back.
    pub(super) async fn close(&mut self) {
        let mut bytes = BytesMut::new();
        frontend::terminate(&mut bytes);
        // It may be gone already.
        drop(self.send(bytes).await);
    }
}

async fn dial(server: &tokio_postgres::Config) -> io::Result<MaybeTls> {
    let port = server.get_ports().first().copied().unwrap_or(PORT);
    match server.get_hosts().first() {
        Some(Host::Unix(folder)) => {
            let socket = UnixStream::connect(folder.join(socket_name(port))).await?;
            Ok(MaybeTls::Unix(socket))
        }
        Some(Host::Tcp(host)) => tcp(host, port).await,
        None => tcp("localhost", port).await,
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<MaybeTls> {
    let socket = TcpStream::connect((host, port)).await?;
    socket.set_nodelay(true)?;
    Ok(MaybeTls::Plain(socket))
}
