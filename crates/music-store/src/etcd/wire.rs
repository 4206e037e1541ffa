//! Requests to whichever endpoint answers, and what their failures mean.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::Credentials;
use super::messages::{AuthenticateRequest, AuthenticateResponse};
use crate::versioned::Failure;

/// How long one request may take; an election takes a second or two.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// How often a silent connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Connections to the members, the preferred one first.
pub(super) struct Wire {
    channels: Vec<Channel>,
    /// The one in use: the next after the last that failed.
    current: AtomicUsize,
    credentials: Option<Credentials>,
    token: Mutex<Option<MetadataValue<Ascii>>>,
    /// Whether a member without a leader is to refuse at once.
    needs_leader: bool,
}

impl Wire {
    /// Connections that are made when they are needed.
    pub(super) fn new(endpoints: Vec<Endpoint>, credentials: Option<Credentials>) -> Self {
        let channel = |endpoint: Endpoint| {
            endpoint
                .connect_timeout(CONNECT_TIME)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(REQUEST_TIME)
                .keep_alive_while_idle(true)
                .tcp_nodelay(true)
                .connect_lazy()
        };
        Self {
            channels: endpoints.into_iter().map(channel).collect(),
            current: AtomicUsize::new(0),
            credentials,
            token: Mutex::default(),
            needs_leader: true,
        }
    }

    /// The same, for what a member without a leader can tell too.
    pub(super) fn without_leader(self) -> Self {
        Self {
            needs_leader: false,
            ..self
        }
    }

    /// One request, one answer.
    pub(super) async fn call<A, B>(&self, path: &'static str, message: A) -> Result<B, Failure>
    where
        A: Message + Clone + 'static,
        B: Message + Default + 'static,
    {
        self.authenticate().await?;
        let answer = self.send(path, message.clone()).await;
        match answer {
            // The token has expired, or the member was started again.
            Err(Refusal::Token) => {
                *self.token() = None;
                self.authenticate().await?;
                self.send(path, message).await.map_err(Refusal::failure)
            }
            answer => answer.map_err(Refusal::failure),
        }
    }

    /// One request, answers until the connection is lost.
    pub(super) async fn stream<A, B>(
        &self,
        path: &'static str,
        message: A,
    ) -> Result<Streaming<B>, Failure>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
    {
        self.authenticate().await?;
        let (at, mut client) = self.client();
        // The stream of requests stays open, or the answers would end.
        let messages = stream::iter([message]).chain(stream::pending());
        let request = self.request(messages);
        let call = async {
            client.ready().await.map_err(|error| unreachable(&error))?;
            let path = PathAndQuery::from_static(path);
            let answer = client.streaming(request, path, ProstCodec::default());
            answer.await.map_err(|status| classify(status).failure())
        };
        let answer = tokio::time::timeout(REQUEST_TIME, call).await;
        let answer = answer.unwrap_or(Err(Failure::Unknown));
        if answer.is_err() {
            self.leave(at);
        }
        Ok(answer?.into_inner())
    }

    async fn send<A, B>(&self, path: &'static str, message: A) -> Result<B, Refusal>
    where
        A: Message + 'static,
        B: Message + Default + 'static,
    {
        let (at, mut client) = self.client();
        let request = self.request(message);
        let call = async {
            client.ready().await.map_err(|error| unreachable(&error))?;
            let path = PathAndQuery::from_static(path);
            let answer = client.unary(request, path, ProstCodec::default()).await;
            answer.map_err(classify)
        };
        let answer = tokio::time::timeout(REQUEST_TIME, call).await;
        let answer = answer.unwrap_or(Err(Refusal::Failure(Failure::Unknown)));
        if let Err(Refusal::Failure(Failure::Unreachable | Failure::Unknown)) = answer {
            self.leave(at);
        }
        Ok(answer?.into_inner())
    }

    /// Asks for a token, where there are credentials and no token yet.
    async fn authenticate(&self) -> Result<(), Failure> {
        let Some(credentials) = &self.credentials else {
            return Ok(());
        };
        if self.token().is_some() {
            return Ok(());
        }
        let request = AuthenticateRequest {
            name: credentials.user.clone(),
            password: credentials.password.clone(),
        };
        let answer = self.send("/etcdserverpb.Auth/Authenticate", request).await;
        let answer: AuthenticateResponse = answer.map_err(Refusal::not_applied)?;
        let token = MetadataValue::try_from(answer.token);
        *self.token() = Some(token.map_err(|error| Failure::Fatal(Arc::new(error)))?);
        Ok(())
    }

    fn token(&self) -> std::sync::MutexGuard<'_, Option<MetadataValue<Ascii>>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request<A>(&self, message: A) -> Request<A> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if self.needs_leader {
            // A member without a leader says so at once, instead of waiting.
            metadata.insert("hasleader", MetadataValue::from_static("true"));
        }
        if let Some(token) = &*self.token() {
            metadata.insert("token", token.clone());
        }
        request
    }

    fn client(&self) -> (usize, Grpc<Channel>) {
        let at = self.current.load(Ordering::Relaxed);
        let channel = self.channels.get(at).or(self.channels.first());
        // There is at least one: the configuration was checked.
        let channel = channel
            .cloned()
            .unwrap_or_else(|| Endpoint::from_static("http://127.0.0.1:2379").connect_lazy());
        (at, Grpc::new(channel))
    }

    /// Turns to the next endpoint, unless somebody has done so already.
    fn leave(&self, at: usize) {
        let next = at.saturating_add(1).checked_rem(self.channels.len());
        let (order, next) = (Ordering::Relaxed, next.unwrap_or(0));
        if self
            .current
            .compare_exchange(at, next, order, order)
            .is_ok()
        {
            tracing::debug!(from = at, to = next, "another endpoint of etcd is used");
        }
    }
}

/// Why a request failed.
enum Refusal {
    /// The token is not valid any more; nothing happened.
    Token,
    Failure(Failure),
}

impl Refusal {
    fn failure(self) -> Failure {
        match self {
            Self::Token => Failure::Unreachable,
            Self::Failure(failure) => failure,
        }
    }

    /// The failure of a request that has no effect anyway.
    fn not_applied(self) -> Failure {
        match self.failure() {
            Failure::Unknown => Failure::Unreachable,
            failure => failure,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn unreachable(error: &tonic::transport::Error) -> Failure {
    tracing::debug!(%error, "etcd cannot be reached");
    Failure::Unreachable
}

/// What a status says about the effect. Where it says nothing it is unknown:
/// etcd answers `unavailable` also when it gave up waiting for its own log.
fn classify(status: Status) -> Refusal {
    tracing::debug!(%status, "etcd refused a request");
    let message = status.message();
    let failure = match status.code() {
        Code::Unauthenticated if message.contains("invalid auth token") => return Refusal::Token,
        Code::Unavailable if message.contains("no leader") || was_not_sent(&status) => {
            Failure::Unreachable
        }
        Code::ResourceExhausted if message.contains("too many requests") => Failure::Overloaded,
        Code::ResourceExhausted
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::Unimplemented => Failure::Fatal(Arc::new(status)),
        _ => Failure::Unknown,
    };
    Refusal::Failure(failure)
}

/// Whether there was no connection to send anything on.
fn was_not_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
