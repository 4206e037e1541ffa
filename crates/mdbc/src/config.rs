//! The configuration of the process at one site.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::engine::{Options, PostgresOptions, TableKind};

/// The longest name of a database that other sites have too, in bytes.
const DATABASE_BYTES_MAX: usize = 40;

/// What `mdbc.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where counts and times are told to Prometheus, at `/metrics`; nowhere
    /// without it. Everybody who reaches it may read them.
    #[serde(default)]
    pub metrics_listen: Option<SocketAddr>,
    /// The name of the database, as clients give it.
    #[serde(default = "database_name")]
    pub database: String,
    /// The file of the local database, whose engine is SQLite then; its folder
    /// must be there.
    #[serde(default)]
    pub path: PathBuf,
    /// The site's own PostgreSQL, which is the local database then.
    #[serde(default)]
    pub postgres: Option<PostgresConfig>,
    /// The number of this site, from 1, unlike that of every other.
    pub site: u16,
    /// How many sites there may be, the same at all of them. Values of a
    /// sequence at one site are so far apart; it can never be changed.
    #[serde(default = "sites_max")]
    pub sites_max: u16,
    /// What tables are that do not say: strong, eventual or local. The same at
    /// all sites.
    #[serde(default = "default_kind")]
    pub default_kind: TableKind,
    /// Clients at a time.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// Bytes that a result may take in memory.
    #[serde(default = "result_bytes_max")]
    pub result_bytes_max: usize,
    /// Where MUSIC is; without it the database is at this site alone.
    #[serde(default)]
    pub music: Option<MusicConfig>,
    /// The certificate; without one, connections are not encrypted.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Who may connect. With none, everybody may, from this machine alone.
    #[serde(default)]
    pub users: Vec<UserConfig>,
}

/// The site's own PostgreSQL.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Where it is, as `postgres://user@host:port/database`. The user is a
    /// superuser there, and nobody but mdbc writes the database.
    pub url: String,
}

impl fmt::Debug for PostgresConfig {
    // There may be a password in the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").finish_non_exhaustive()
    }
}

/// Where MUSIC is, and which sites there are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MusicConfig {
    /// The nodes, as `http://host:port`; those of this site first.
    pub nodes: Vec<String>,
    /// The name of this site.
    pub site: String,
    /// The names of all sites with this database, the same at all of them.
    pub sites: Vec<String>,
    /// Goes up whenever `sites` changes.
    #[serde(default = "sites_version")]
    pub sites_version: u64,
    /// Who gives a snapshot where this site is new, or was away for too long.
    #[serde(default)]
    pub restore: Option<RestoreConfig>,
    /// How many entries a log keeps for sites that are away, the same at all of them,
    /// for ever: no file can say it, but tests, which have no time to fill a log.
    #[serde(skip, default = "log_slots")]
    pub log_slots: u64,
}

/// How many entries a log keeps.
pub fn log_slots() -> u64 {
    1024
}

/// Who gives snapshots.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreConfig {
    /// Where other sites listen, as `host:port`; they are asked in this order.
    pub from: Vec<String>,
    /// A user of theirs.
    #[serde(default = "restore_user")]
    pub user: String,
    /// A file with the password on its first line, where the user needs one.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Certificates, in PEM, of whom theirs are; without them the connection is not
    /// encrypted.
    #[serde(default)]
    pub authority: Option<PathBuf>,
}

fn restore_user() -> String {
    "mdbc".to_owned()
}

fn sites_version() -> u64 {
    1
}

/// The certificate of the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and those that it rests on, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Somebody who may connect.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The name.
    pub name: String,
    /// What PostgreSQL keeps of a password:
    /// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    #[serde(default)]
    pub scram: Option<String>,
    /// A file with the password on its first line.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

impl fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            password_file,
            ..
        } = self;
        f.debug_struct("UserConfig")
            .field("name", name)
            .field("password_file", password_file)
            .finish_non_exhaustive()
    }
}

fn database_name() -> String {
    "music".to_owned()
}

fn sites_max() -> u16 {
    16
}

fn default_kind() -> TableKind {
    TableKind::Strong
}

fn connections_max() -> usize {
    100
}

fn result_bytes_max() -> usize {
    256 << 20
}

/// Why a configuration is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML, or has other names.
    #[error("the configuration is wrong: {0}")]
    Syntax(#[from] toml::de::Error),
    /// Values that cannot be, all of them.
    #[error("the configuration is wrong:\n{}", .0.join("\n"))]
    Values(Vec<String>),
}

impl Config {
    /// What a file says that has nothing but what it must.
    pub fn new(listen: SocketAddr, path: impl Into<PathBuf>, site: u16) -> Self {
        Self {
            listen,
            metrics_listen: None,
            database: database_name(),
            path: path.into(),
            postgres: None,
            site,
            sites_max: sites_max(),
            default_kind: default_kind(),
            connections_max: connections_max(),
            result_bytes_max: result_bytes_max(),
            music: None,
            tls: None,
            users: Vec::new(),
        }
    }

    /// Reads a file and checks what it says.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with every wrong value named.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads a text and checks what it says.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Syntax`], or [`ConfigError::Values`] with every wrong value named.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Values(problems))
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.problems_of_numbers();
        problems.extend(self.problems_of_music());
        problems.extend(self.problems_of_users());
        problems
    }

    fn problems_of_numbers(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = checker(&mut problems);
        check(
            !self.database.is_empty(),
            "database: a name is needed".to_owned(),
        );
        check(
            self.path.as_os_str().is_empty() == self.postgres.is_some(),
            "path, postgres: one of them is needed, and not both".to_owned(),
        );
        check(
            (1..=1024).contains(&self.sites_max),
            format!("sites_max: {} is not one of 1 to 1024", self.sites_max),
        );
        check(
            self.site >= 1 && self.site <= self.sites_max,
            format!(
                "site: {} is not one of 1 to sites_max, {}",
                self.site, self.sites_max
            ),
        );
        check(
            (1..=10_000).contains(&self.connections_max),
            format!(
                "connections_max: {} is not one of 1 to 10000",
                self.connections_max
            ),
        );
        check(
            self.result_bytes_max >= 1 << 16,
            format!(
                "result_bytes_max: {} is less than 65536",
                self.result_bytes_max
            ),
        );
        drop(check);
        problems
    }

    fn problems_of_music(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = checker(&mut problems);
        if let Some(music) = &self.music {
            check(
                !music.nodes.is_empty(),
                "music.nodes: a node is needed".to_owned(),
            );
            check(
                music.sites.contains(&music.site),
                format!("music.site: {} is not in music.sites", music.site),
            );
            let is_name = |character: char| {
                character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
            };
            check(
                self.database.len() <= DATABASE_BYTES_MAX && self.database.chars().all(is_name),
                format!(
                    "database: {}, as tables of MUSIC are named after it, must have at most \
                     {DATABASE_BYTES_MAX} lower-case letters, digits and underscores",
                    self.database
                ),
            );
            let from = music.restore.as_ref().map(|restore| &restore.from);
            check(
                from.is_none_or(|from| !from.is_empty()),
                "music.restore.from: a site is needed".to_owned(),
            );
            let wrong = from.into_iter().flatten().find(|address| {
                let port = address
                    .rsplit_once(':')
                    .map(|(_, port)| port.parse::<u16>());
                !matches!(port, Some(Ok(_)))
            });
            check(
                wrong.is_none(),
                format!(
                    "music.restore.from: {} is not host:port",
                    wrong.map_or("", String::as_str)
                ),
            );
        }
        drop(check);
        problems
    }

    fn problems_of_users(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = checker(&mut problems);
        check(
            !self.users.is_empty() || self.listen.ip().is_loopback(),
            format!(
                "users: without any, listen must be of this machine, and {} is not",
                self.listen
            ),
        );
        for (number, user) in self.users.iter().enumerate() {
            let name = &user.name;
            check(
                !name.is_empty(),
                format!("users[{number}].name: a name is needed"),
            );
            let is_twice = self
                .users
                .iter()
                .take(number)
                .any(|other| other.name == *name);
            check(
                !is_twice,
                format!("users[{number}].name: {name} is there twice"),
            );
            check(
                user.scram.is_some() != user.password_file.is_some(),
                format!("users[{number}]: {name} needs either scram or password_file"),
            );
        }
        drop(check);
        problems
    }

    /// How the local database is opened where it is the site's own PostgreSQL.
    pub fn postgres_options(&self) -> Option<PostgresOptions> {
        let postgres = self.postgres.as_ref()?;
        Some(PostgresOptions {
            url: postgres.url.clone(),
            site: self.site,
            sites_max: self.sites_max,
            default_kind: self.default_kind,
        })
    }

    /// How the local database is opened where it is a file.
    pub fn options(&self) -> Options {
        Options {
            path: self.path.clone(),
            site: self.site,
            sites_max: self.sites_max,
            default_kind: self.default_kind,
        }
    }
}

/// Notes a problem where something is not right.
fn checker(problems: &mut Vec<String>) -> impl FnMut(bool, String) {
    |is_right, problem| {
        if !is_right {
            problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "listen = \"127.0.0.1:5432\"\npath = \"site.db\"\nsite = 1\n";

    #[test]
    fn little_need_be_said() {
        let config = Config::parse(LEAST).unwrap();
        assert_eq!(config.database, "music");
        assert_eq!(config.default_kind, TableKind::Strong);
    }

    #[test]
    fn every_wrong_value_is_named() {
        let text =
            "listen = \"0.0.0.0:5432\"\npath = \"site.db\"\nsite = 20\nconnections_max = 0\n";
        let error = Config::parse(text).unwrap_err().to_string();
        for name in ["site:", "connections_max:", "users:"] {
            assert!(error.contains(name), "{error}");
        }
        let text =
            format!("{LEAST}[[users]]\nname = \"a\"\n[[users]]\nname = \"a\"\nscram = \"x\"\n");
        let error = Config::parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("users[0]: a needs") && error.contains("is there twice"),
            "{error}"
        );
    }

    #[test]
    fn the_local_database_is_a_file_or_a_server() {
        let postgres = "[postgres]\nurl = \"postgres://mdbc@127.0.0.1/site\"\n";
        let neither = "listen = \"127.0.0.1:5432\"\nsite = 1\n";
        for text in [neither.to_owned(), format!("{LEAST}{postgres}")] {
            let error = Config::parse(&text).unwrap_err().to_string();
            assert!(error.contains("path, postgres: one of them"), "{error}");
        }
        let config = Config::parse(&format!("{neither}{postgres}")).unwrap();
        assert_eq!(config.postgres_options().unwrap().site, 1);
    }

    #[test]
    fn unknown_names_and_kinds_are_refused() {
        for line in ["colour = 1", "default_kind = \"weak\""] {
            assert!(matches!(
                Config::parse(&format!("{LEAST}{line}")),
                Err(ConfigError::Syntax(_))
            ));
        }
    }
}
