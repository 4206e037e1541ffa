//! Connections: accepted, bounded, and ended.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::front::Front;

/// The most bytes of a request's head, and of what is read ahead: fits the
/// longest lockRef with the longest key, percent-encoded, twice.
pub(crate) const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// The most headers of a request.
const HEADERS_MAX: usize = 100;

/// The most requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;

/// How often a quiet HTTP/2 connection is asked whether it lives, and how
/// long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long to wait where the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection beyond the limit is told before it is closed.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// A listener, and all connections that it accepted.
pub(crate) struct Server {
    address: SocketAddr,
    stopping: CancellationToken,
    killed: CancellationToken,
    tasks: TaskTracker,
}

/// What connections are bound by.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// How many there are at a time.
    pub(crate) connections_max: usize,
    /// How long the head of a request may take.
    pub(crate) head_timeout: Duration,
}

impl Server {
    /// Serves the connections of a listener. Must be called within a runtime.
    pub(crate) fn start(
        listener: TcpListener,
        front: Arc<Front>,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let server = Self {
            address: listener.local_addr()?,
            stopping: CancellationToken::new(),
            killed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let acceptor = Acceptor {
            front,
            head_timeout: bounds.head_timeout,
            places: Arc::new(Semaphore::new(bounds.connections_max)),
            stopping: server.stopping.clone(),
            tasks: OwnedTasks {
                tracker: server.tasks.clone(),
                killed: server.killed.clone(),
            },
        };
        server.tasks.spawn(
            server
                .killed
                .clone()
                .run_until_cancelled_owned(acceptor.run(listener)),
        );
        server.tasks.close();
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets requests under way end, and cuts what is left
    /// after `limit`.
    pub(crate) async fn shutdown(&self, limit: Duration) {
        self.stopping.cancel();
        let ended = tokio::time::timeout(limit, self.tasks.wait()).await;
        if ended.is_err() {
            tracing::warn!(
                connections = self.tasks.len(),
                "connections cut at shutdown"
            );
        }
        self.kill().await;
    }

    /// Closes the listener and cuts every connection, wherever it is.
    pub(crate) async fn kill(&self) {
        self.cut();
        self.tasks.wait().await;
    }

    /// The same, without waiting until it is done.
    pub(crate) fn cut(&self) {
        self.killed.cancel();
    }
}

/// Tasks that end with their server, however they were started.
#[derive(Clone)]
struct OwnedTasks {
    tracker: TaskTracker,
    killed: CancellationToken,
}

impl<F> Executor<F> for OwnedTasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.tracker
            .spawn(self.killed.clone().run_until_cancelled_owned(task));
    }
}

struct Acceptor {
    front: Arc<Front>,
    head_timeout: Duration,
    places: Arc<Semaphore>,
    stopping: CancellationToken,
    tasks: OwnedTasks,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let builder = self.builder();
        loop {
            // A suspended node accepts nothing; the system keeps those who
            // knock.
            self.front.gate().await;
            let stream = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match stream {
                Ok((stream, _)) => self.take(stream, &builder),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn builder(&self) -> Builder<OwnedTasks> {
        let mut builder = Builder::new(self.tasks.clone());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(usize::try_from(HEAD_BYTES_MAX).unwrap_or(usize::MAX))
            .max_headers(HEADERS_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL);
        builder
    }

    fn take(&self, stream: TcpStream, builder: &Builder<OwnedTasks>) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            // Best effort: there is no room for a task that would wait.
            let told = stream.try_write(TOO_MANY);
            tracing::debug!(told = told.is_ok(), "too many connections");
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        let connection = Connection {
            front: Arc::clone(&self.front),
            spoke: Arc::new(AtomicBool::new(false)),
            head_timeout: self.head_timeout,
            stopping: self.stopping.clone(),
            _place: place,
        };
        self.tasks
            .execute(connection.serve(stream, builder.clone()));
    }
}

struct Connection {
    front: Arc<Front>,
    /// Whether a whole head has arrived. Until the first one the version is
    /// not known, and the builder's own time limit not in force.
    spoke: Arc<AtomicBool>,
    head_timeout: Duration,
    stopping: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream, builder: Builder<OwnedTasks>) {
        let (front, spoke) = (Arc::clone(&self.front), Arc::clone(&self.spoke));
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            spoke.store(true, Ordering::Relaxed);
            let front = Arc::clone(&front);
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut first_head = pin!(tokio::time::sleep(self.head_timeout));
        let (mut awaits_first, mut is_stopping) = (true, false);
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        // Clients that leave in the middle are daily life.
                        tracing::debug!(%error, "a connection broke");
                    }
                    return;
                }
                () = self.stopping.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = first_head.as_mut(), if awaits_first => {
                    awaits_first = false;
                    if !self.spoke.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        }
    }
}
