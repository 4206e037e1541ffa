//! Who may connect: SCRAM-SHA-256.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pgwire::api::auth::sasl::scram::{ScramAuth, ScramSecret, gen_salted_password};
use pgwire::api::auth::{AuthSource, LoginInfo, Password};
use pgwire::error::{PgWireError, PgWireResult};

use crate::config::UserConfig;
use crate::dice;

/// Rounds of hashing, as in PostgreSQL.
const ITERATIONS: usize = 4096;

/// Why a user's password cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The file cannot be read.
    #[error("the password of {user} cannot be read")]
    Unreadable {
        /// The user.
        user: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file's first line is empty.
    #[error("the password of {0} is empty")]
    Empty(String),
    /// What `scram` says is not what PostgreSQL writes.
    #[error("the SCRAM secret of {0} is none")]
    Secret(String),
    /// The certificate cannot be bound to.
    #[error("the certificate cannot be used for channel binding: {0}")]
    Certificate(String),
}

/// What is kept of a password.
#[derive(Clone)]
struct Verifier {
    salt: Vec<u8>,
    iterations: usize,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Verifier {
    fn of_password(password: &str) -> Option<Self> {
        let salt = dice::bytes::<16>().to_vec();
        let salted = gen_salted_password(password, &salt, ITERATIONS);
        Self::of_secret(ScramSecret::verifier_from_salted_password(
            salt, salted, ITERATIONS,
        ))
    }

    fn of_secret(secret: ScramSecret) -> Option<Self> {
        match secret {
            ScramSecret::Verifier {
                salt,
                iterations,
                stored_key,
                server_key,
            } => Some(Self {
                salt,
                iterations,
                stored_key,
                server_key,
            }),
            ScramSecret::SaltedPassword { .. } => None,
        }
    }

    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    fn parse(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let decode = |text: &str| BASE64.decode(text).ok();
        Some(Self {
            salt: decode(salt)?,
            iterations: iterations.parse().ok().filter(|count| *count > 0)?,
            stored_key: decode(stored_key).filter(|key| key.len() == 32)?,
            server_key: decode(server_key).filter(|key| key.len() == 32)?,
        })
    }
}

/// Those who may connect.
pub(super) struct Users {
    scram: Option<ScramAuth>,
}

impl Users {
    pub(super) fn new(users: &[UserConfig], certificate: Option<&[u8]>) -> Result<Self, UserError> {
        if users.is_empty() {
            return Ok(Self { scram: None });
        }
        let mut verifiers = HashMap::new();
        for user in users {
            verifiers.insert(user.name.clone(), verifier(user)?);
        }
        let mut scram = ScramAuth::new(Arc::new(Source { verifiers }));
        scram.set_iterations(ITERATIONS);
        if let Some(certificate) = certificate {
            scram
                .configure_certificate(certificate)
                .map_err(|error| UserError::Certificate(error.to_string()))?;
        }
        Ok(Self { scram: Some(scram) })
    }

    /// How they prove it; none where everybody may.
    pub(super) fn scram(&self) -> Option<ScramAuth> {
        self.scram.clone()
    }
}

fn verifier(user: &UserConfig) -> Result<Verifier, UserError> {
    let name = || user.name.clone();
    if let Some(secret) = &user.scram {
        return Verifier::parse(secret).ok_or_else(|| UserError::Secret(name()));
    }
    let path = user.password_file.clone().unwrap_or_default();
    let text = fs::read_to_string(path).map_err(|source| UserError::Unreadable {
        user: name(),
        source,
    })?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(UserError::Empty(name()));
    }
    Verifier::of_password(password).ok_or_else(|| UserError::Secret(name()))
}

struct Source {
    verifiers: HashMap<String, Verifier>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

#[allow(elided_lifetimes_in_paths, reason = "the trait is written so")]
#[async_trait]
impl AuthSource for Source {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let user = login.user().unwrap_or_default().to_owned();
        Err(PgWireError::InvalidPassword(user))
    }

    async fn get_scram_secret(&self, login: &LoginInfo) -> PgWireResult<(ScramSecret, Option<()>)> {
        let user = login.user().unwrap_or_default();
        let verifier = self.verifiers.get(user).cloned();
        let verifier = verifier.ok_or_else(|| PgWireError::InvalidPassword(user.to_owned()))?;
        let Verifier {
            salt,
            iterations,
            stored_key,
            server_key,
        } = verifier;
        Ok((
            ScramSecret::Verifier {
                salt,
                iterations,
                stored_key,
                server_key,
            },
            None,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_postgresql_writes_it() {
        let key = BASE64.encode([7; 32]);
        let secret = format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}");
        let verifier = Verifier::parse(&secret).unwrap();
        assert_eq!(
            (verifier.iterations, verifier.salt.as_slice()),
            (4096, &b"salt"[..])
        );
        for wrong in [
            "md5abc",
            "SCRAM-SHA-256$0:c2FsdA==$x:y",
            &secret.replace(&key, "AA=="),
        ] {
            assert!(Verifier::parse(wrong).is_none(), "{wrong}");
        }
    }
}
