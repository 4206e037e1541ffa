//! A client's connection.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use pgwire::api::auth::sasl::SASLAuthStartupHandler;
use pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{
    ClientInfo, PgWireConnectionState, PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::{ParameterStatus, SecretKey, Startup};
use pgwire::messages::{PgWireBackendMessage as Message, PgWireFrontendMessage as Request};
use pgwire::tokio::server::{MaybeTls, PgWireMessageServerCodec, negotiate_tls};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::{Decoder, Encoder, Framed, FramedParts};

use super::copy_in::CopyIn;
use super::extended::Portal;
use super::{Hub, Sessions, message, refusal};
use crate::error::{Result, SqlError, state};
use crate::postgres;
use crate::session::{Cancel, Session, Status};

/// How long a client may take to say who it is.
const STARTUP_MAX: Duration = Duration::from_mins(1);
/// Bytes of one message of a client.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;
/// Parameters that a client may set as it connects.
const STARTUP_PARAMETERS: &[&str] = &["user", "database", "options", "replication"];

type Stranger = Framed<MaybeTls, PgWireMessageServerCodec<()>>;

/// Reads messages that are not too long.
pub(super) struct Codec {
    inner: PgWireMessageServerCodec<()>,
}

impl Decoder for Codec {
    type Item = Request;
    type Error = PgWireError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Request>, PgWireError> {
        if let Some([_, a, b, c, d]) = source.first_chunk::<5>()
            && u32::from_be_bytes([*a, *b, *c, *d]) > MESSAGE_BYTES_MAX
        {
            return Err(PgWireError::IoError(io::Error::other(
                "a message is too long",
            )));
        }
        self.inner.decode(source)
    }
}

impl Encoder<Message> for Codec {
    type Error = io::Error;

    fn encode(&mut self, item: Message, destination: &mut BytesMut) -> io::Result<()> {
        self.inner.encode(item, destination)
    }
}

/// What the client is told before it is told that it may go on.
struct Parameters {
    reports: Vec<(String, String)>,
}

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, _client: &C) -> Option<HashMap<String, String>> {
        Some(self.reports.iter().cloned().collect())
    }
}

/// The connection of a client that is known.
pub(super) struct Connection {
    pub(super) socket: Framed<MaybeTls, Codec>,
    pub(super) session: Session,
    pub(super) portals: HashMap<String, Portal>,
    /// Whether messages are skipped until the next `Sync`.
    pub(super) is_skipping: bool,
    /// A tag that is told once the transaction is committed.
    pub(super) tag: Option<String>,
    pub(super) copy: Option<CopyIn>,
    /// Statements behind a `COPY` in one query.
    pub(super) rest: VecDeque<String>,
}

/// The session of a client that is known.
enum Known {
    Sqlite(Box<Session>),
    Postgres(Box<postgres::Session>),
}

impl Known {
    fn all_reports(&self) -> Vec<(String, String)> {
        match self {
            Self::Sqlite(session) => session.all_reports(),
            Self::Postgres(session) => session.all_reports(),
        }
    }

    fn cancel(&self) -> &Arc<Cancel> {
        match self {
            Self::Sqlite(session) => session.cancel(),
            Self::Postgres(session) => session.cancel(),
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(socket: TcpStream, hub: Arc<Hub>, is_full: bool) -> io::Result<()> {
    let negotiated = timeout(STARTUP_MAX, negotiate_tls::<()>(socket, hub.tls.clone())).await;
    let Ok(Some(mut stranger)) = negotiated.map_err(io::Error::other)? else {
        return Ok(());
    };
    let known = timeout(STARTUP_MAX, greet(&mut stranger, &hub, is_full)).await;
    let Some((session, pid)) = known.map_err(io::Error::other)? else {
        return stranger.close().await;
    };
    let parts = stranger.into_parts();
    let session = match session {
        Known::Sqlite(session) => *session,
        Known::Postgres(session) => {
            let client = postgres::Parts {
                socket: parts.io,
                read: parts.read_buf,
                write: parts.write_buf,
            };
            let served = postgres::serve(client, *session, hub.shutdown.clone());
            let result = Box::pin(served).await;
            hub.unregister(pid);
            return result;
        }
    };
    let mut bounded = FramedParts::new::<Message>(parts.io, Codec { inner: parts.codec });
    bounded.read_buf = parts.read_buf;
    bounded.write_buf = parts.write_buf;
    let mut connection = Connection {
        socket: Framed::from_parts(bounded),
        session,
        portals: HashMap::new(),
        is_skipping: false,
        tag: None,
        copy: None,
        rest: VecDeque::new(),
    };
    let result = connection.run(&hub).await;
    hub.unregister(pid);
    result
}

/// Learns who the client is; none where the connection ends here.
async fn greet(socket: &mut Stranger, hub: &Arc<Hub>, is_full: bool) -> Option<(Known, i32)> {
    match greeted(socket, hub, is_full).await {
        Ok(known) => known,
        Err(error) => {
            let info = pgwire::error::ErrorInfo::from(error);
            let mut failed = SqlError::new(state::INVALID_PASSWORD, info.message);
            if let Ok(code) = <[u8; 5]>::try_from(info.code.as_bytes()) {
                failed.state = crate::error::State::new(code);
            }
            failed.hint = info.hint;
            if failed.state == state::INVALID_PASSWORD {
                let user = socket.metadata().get("user").cloned().unwrap_or_default();
                failed.message = format!("password authentication failed for user \"{user}\"");
            }
            // The client may be gone already.
            drop(socket.send(message::fatal(&failed)).await);
            None
        }
    }
}

fn refused(error: SqlError) -> PgWireError {
    let mut info = pgwire::error::ErrorInfo::new(
        "FATAL".to_owned(),
        error.state.code().to_owned(),
        error.message,
    );
    info.hint = error.hint;
    PgWireError::UserError(Box::new(info))
}

async fn greeted(
    socket: &mut Stranger,
    hub: &Arc<Hub>,
    is_full: bool,
) -> PgWireResult<Option<(Known, i32)>> {
    let mut handler = None;
    let mut session = None;
    while !matches!(socket.state(), PgWireConnectionState::ReadyForQuery) {
        let Some(request) = socket.next().await else {
            return Ok(None);
        };
        match request? {
            Request::CancelRequest(cancel) => {
                hub.cancel(cancel.pid, &cancel.secret_key);
                return Ok(None);
            }
            Request::Startup(startup) if session.is_none() => {
                let begun = Box::pin(begin(&startup, hub, is_full)).await;
                let (new, pid) = begun.map_err(refused)?;
                let pids = RandomPidSecretKeyGenerator::default();
                let parameters = Arc::new(Parameters {
                    reports: new.all_reports(),
                });
                let generator = Arc::new(Numbered { pid, pids });
                session = Some((new, pid));
                if let Some(scram) = hub.users.scram() {
                    let scram = SASLAuthStartupHandler::new(parameters)
                        .with_scram(scram)
                        .with_pid_secret_key_generator(generator);
                    scram.on_startup(socket, Request::Startup(startup)).await?;
                    handler = Some(scram);
                } else {
                    protocol_negotiation(socket, &startup).await?;
                    save_startup_parameters_to_metadata(socket, &startup);
                    let (pid, key) = generator.generate(socket);
                    socket.set_pid_and_secret_key(pid, key);
                    finish_authentication(socket, &*parameters).await?;
                }
            }
            request => match &handler {
                Some(handler) => handler.on_startup(socket, request).await?,
                None => return Ok(None),
            },
        }
    }
    if let Some((session, pid)) = &session {
        let (_, key) = socket.pid_and_secret_key();
        hub.register(*pid, key, Arc::clone(session.cancel()));
    }
    Ok(session)
}

/// Begins the session that a client asks for.
async fn begin(startup: &Startup, hub: &Arc<Hub>, is_full: bool) -> Result<(Known, i32)> {
    if is_full {
        let full = "sorry, too many clients already";
        return Err(SqlError::new(state::TOO_MANY_CONNECTIONS, full)
            .with_hint("connections_max is the limit"));
    }
    let given = |name| startup.parameters.get(name).map(String::as_str);
    let user = given("user").unwrap_or_default();
    let database = given("database").unwrap_or(user);
    if database != hub.database_name {
        return Err(SqlError::new(
            state::INVALID_CATALOG_NAME,
            format!("database \"{database}\" does not exist"),
        )
        .with_hint(format!(
            "This site has one database, {}.",
            hub.database_name
        )));
    }
    let is_setting = |name: &str| !STARTUP_PARAMETERS.contains(&name) && !name.starts_with("_pq_");
    let wanted = startup
        .parameters
        .iter()
        .filter(|(name, _)| is_setting(name));
    let wanted = wanted.map(|(name, value)| (name.clone(), value.clone()));
    let wanted: Vec<_> = wanted
        .chain(options(given("options").unwrap_or_default()))
        .collect();
    let id = hub.next_session();
    let pid = i32::try_from(id % 1_000_000_000).unwrap_or_default() + 1000;
    let known = match &hub.engine {
        Sessions::Sqlite(shared) => {
            let session = Session::new(Arc::clone(shared), user, (id, pid), &wanted)?;
            Known::Sqlite(Box::new(session))
        }
        Sessions::Postgres(shared) => {
            let session = postgres::Session::new(Arc::clone(shared), id, &wanted).await?;
            Known::Postgres(Box::new(session))
        }
    };
    Ok((known, pid))
}

/// `-c name=value` in the option `options`.
fn options(text: &str) -> Vec<(String, String)> {
    let words = text.split_whitespace().filter(|word| *word != "-c");
    words
        .filter_map(|word| {
            let word = word
                .strip_prefix("--")
                .or_else(|| word.strip_prefix("-c"))
                .unwrap_or(word);
            let (name, value) = word.split_once('=')?;
            Some((name.replace('-', "_"), value.replace("\\ ", " ")))
        })
        .collect()
}

/// A secret key for a session that has its number.
struct Numbered {
    pid: i32,
    pids: RandomPidSecretKeyGenerator,
}

impl PidSecretKeyGenerator for Numbered {
    fn generate(&self, client: &dyn ClientInfo) -> (i32, SecretKey) {
        let (_, key) = self.pids.generate(client);
        (self.pid, key)
    }
}

impl Connection {
    async fn run(&mut self, hub: &Hub) -> io::Result<()> {
        loop {
            let limit = self.session.idle_timeout().unwrap_or(Duration::MAX);
            let next = tokio::select! {
                () = hub.shutdown.cancelled() => {
                    let error = refusal::ending(&hub.progress);
                    return self.socket.send(message::fatal(&error)).await;
                }
                next = timeout(limit, self.socket.next()) => next,
            };
            let Ok(next) = next else {
                let error = SqlError::new(
                    state::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                    "terminating connection due to idle-in-transaction timeout",
                );
                return self.socket.send(message::fatal(&error)).await;
            };
            match next {
                None | Some(Ok(Request::Terminate(_))) => return Ok(()),
                Some(Ok(request)) => self.request(request).await?,
                Some(Err(error)) => {
                    let error = SqlError::new(
                        state::PROTOCOL_VIOLATION,
                        format!("invalid message: {error}"),
                    );
                    return self.socket.send(message::fatal(&error)).await;
                }
            }
        }
    }

    async fn request(&mut self, request: Request) -> io::Result<()> {
        if self.copy.is_some() {
            return self.copy_request(request).await;
        }
        match request {
            Request::Query(query) => {
                self.is_skipping = false;
                self.tell_tag().await?;
                self.simple_query(&query.query).await
            }
            Request::Sync(_) => self.sync().await,
            Request::Flush(_) => {
                self.tell_tag().await?;
                self.socket.flush().await
            }
            // What is left of a COPY that has failed.
            Request::CopyData(_) | Request::CopyDone(_) | Request::CopyFail(_) => Ok(()),
            _ if self.is_skipping => Ok(()),
            request => {
                self.tell_tag().await?;
                match self.extended(request).await {
                    Ok(()) => Ok(()),
                    Err(Failure::Sql(error)) => {
                        self.is_skipping = true;
                        self.fail(&error).await
                    }
                    Err(Failure::Io(error)) => Err(error),
                }
            }
        }
    }

    pub(super) async fn tell(&mut self, message: Message) -> io::Result<()> {
        self.socket.feed(message).await
    }

    /// Tells the tag of the last statement, which was held back.
    pub(super) async fn tell_tag(&mut self) -> io::Result<()> {
        match self.tag.take() {
            Some(tag) => self.tell(message::complete(&tag)).await,
            None => Ok(()),
        }
    }

    /// Tells what the session has to say beside results.
    pub(super) async fn tell_asides(&mut self) -> io::Result<()> {
        for notice in self.session.take_notices() {
            self.tell(message::notice(&notice)).await?;
        }
        for (name, value) in self.session.take_reports() {
            self.tell(Message::ParameterStatus(ParameterStatus::new(name, value)))
                .await?;
        }
        Ok(())
    }

    /// A statement has failed: the client is told, and the transaction too.
    pub(super) async fn fail(&mut self, error: &SqlError) -> io::Result<()> {
        if matches!(
            error.state,
            state::INTERNAL_ERROR | state::DATA_CORRUPTED | state::IO_ERROR
        ) {
            tracing::error!(state = error.state.code(), %error, "a statement has failed");
        }
        self.tag = None;
        self.session.fail().await;
        self.tell_asides().await?;
        self.tell(message::error(error)).await
    }

    pub(super) async fn ready(&mut self) -> io::Result<()> {
        self.tell_asides().await?;
        let status = match self.session.status() {
            Status::Idle => TransactionStatus::Idle,
            Status::Open => TransactionStatus::Transaction,
            Status::Failed => TransactionStatus::Error,
        };
        self.tell(Message::ReadyForQuery(ReadyForQuery::new(status)))
            .await?;
        self.socket.flush().await
    }
}

/// Why a request was not done.
pub(super) enum Failure {
    /// The client is told.
    Sql(SqlError),
    /// The client is gone.
    Io(io::Error),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
