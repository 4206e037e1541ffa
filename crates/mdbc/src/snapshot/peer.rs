//! Another site's mdbc, as a client of it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Client, NoTls};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_util::task::AbortOnDropHandle;

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Where PostgreSQL is, if nothing else is said.
const PORT: u16 = 5432;

/// A site's mdbc, and who asks.
#[derive(Clone)]
pub struct Peer {
    /// `host:port`.
    pub address: String,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// Their password, where they need one.
    pub password: Option<String>,
    /// Certificates, in PEM, of whom the site's certificate is; without them,
    /// the connection is not encrypted.
    pub authority: Option<PathBuf>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, user, .. } = self;
        f.debug_struct("Peer")
            .field("address", address)
            .field("user", user)
            .finish_non_exhaustive()
    }
}

/// Why a site cannot be asked. Nothing happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The address is none.
    #[error("{0} is no address of a database")]
    Address(String),
    /// The certificates cannot be used.
    #[error("the certificates in {path} cannot be used: {reason}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It does not answer, or refuses.
    #[error("{address}: {}", told(error))]
    Refused {
        /// The address.
        address: String,
        /// What it says.
        error: tokio_postgres::Error,
    },
}

/// What a site has said, where it has said something.
pub(crate) fn told(error: &tokio_postgres::Error) -> String {
    let Some(said) = error.as_db_error() else {
        let source = std::error::Error::source(error);
        return source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    };
    let hint = said.hint().map(|hint| format!(" ({hint})"));
    let code = said.code().code();
    format!("{} [{code}]{}", said.message(), hint.unwrap_or_default())
}

/// A connection, until this is dropped.
pub(crate) struct Connected {
    pub(crate) client: Client,
    _task: AbortOnDropHandle<()>,
}

impl Peer {
    /// One that a URL names: `postgres://user:password@host:port/database`.
    ///
    /// # Errors
    ///
    /// [`PeerError::Address`].
    pub fn of_url(url: &str) -> Result<Self, PeerError> {
        let wrong = || PeerError::Address(url.to_owned());
        let config: tokio_postgres::Config = url.parse().map_err(|_| wrong())?;
        let [Host::Tcp(host)] = config.get_hosts() else {
            return Err(wrong());
        };
        let port = config.get_ports().first().copied().unwrap_or(PORT);
        let text = |password: &[u8]| String::from_utf8_lossy(password).into_owned();
        Ok(Self {
            address: format!("{host}:{port}"),
            database: config.get_dbname().unwrap_or("music").to_owned(),
            user: config.get_user().unwrap_or("mdbc").to_owned(),
            password: config.get_password().map(text),
            authority: None,
        })
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Connected, PeerError> {
        let wrong = || PeerError::Address(self.address.clone());
        let (host, port) = self.address.rsplit_once(':').ok_or_else(wrong)?;
        let mut config = tokio_postgres::Config::new();
        config
            .host(host.trim_start_matches('[').trim_end_matches(']'))
            .port(port.parse().map_err(|_| wrong())?)
            .dbname(&self.database)
            .user(&self.user)
            .application_name("mdbc")
            .connect_timeout(CONNECT_WAIT);
        if let Some(password) = &self.password {
            config.password(password);
        }
        let Some(path) = &self.authority else {
            config.ssl_mode(SslMode::Disable);
            return self.open(&config, NoTls).await;
        };
        config.ssl_mode(SslMode::Require);
        let tls = Tls::new(path).map_err(|reason| PeerError::Authority {
            path: path.clone(),
            reason,
        })?;
        self.open(&config, tls).await
    }

    async fn open<T>(&self, config: &tokio_postgres::Config, tls: T) -> Result<Connected, PeerError>
    where
        T: MakeTlsConnect<tokio_postgres::Socket>,
        T::Stream: Send + 'static,
    {
        let refused = |error| PeerError::Refused {
            address: self.address.clone(),
            error,
        };
        let (client, connection) = Box::pin(config.connect(tls)).await.map_err(refused)?;
        let task = tokio::spawn(async move {
            // The client is told as well.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to a site has ended");
            }
        });
        Ok(Connected {
            client,
            _task: AbortOnDropHandle::new(task),
        })
    }
}

/// TLS towards sites whose certificates are of these authorities.
#[derive(Clone)]
struct Tls(TlsConnector);

impl Tls {
    fn new(path: &PathBuf) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("there is none".to_owned());
        }
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Encrypted<S>;
    type TlsConnect = Named;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Named> {
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        Ok(Named(self.0.clone(), name))
    }
}

struct Named(TlsConnector, ServerName<'static>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Named {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.0.connect(self.1, stream).await.map(Encrypted) })
    }
}

struct Encrypted<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    // The certificate itself is checked.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
