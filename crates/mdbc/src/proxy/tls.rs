//! TLS.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use pgwire::tokio::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsConfig;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not there, or no PEM.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not go together.
    #[error("the certificate and the key do not go together")]
    Mismatch(#[source] rustls::Error),
}

/// The name of the protocol within TLS.
const PROTOCOL: &[u8] = b"postgresql";

pub(super) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let unreadable = |path: &PathBuf, reason: &dyn std::fmt::Display| TlsError::Unreadable {
        path: path.clone(),
        reason: reason.to_string(),
    };
    let certificates: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(&config.certificate)
            .map_err(|error| unreadable(&config.certificate, &error))?
            .collect();
    let certificates = certificates.map_err(|error| unreadable(&config.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| unreadable(&config.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Mismatch)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(TlsError::Mismatch)?;
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// The certificate in PEM, to which passwords are bound.
pub(super) fn certificate(config: &TlsConfig) -> Result<Vec<u8>, TlsError> {
    fs::read(&config.certificate).map_err(|error| TlsError::Unreadable {
        path: config.certificate.clone(),
        reason: error.to_string(),
    })
}
