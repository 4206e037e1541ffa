//! The data directory: whose it is, and who may open it.
//!
//! ```text
//! DIR/lock      held by the process that has it open
//! DIR/format    version and sites, written when the directory is made
//! DIR/store/    the store's own files
//! ```

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::profile::Profile;

/// The version of the directory's layout that this code writes.
const VERSION: u32 = 1;
const MAGIC: &str = "music-store";

/// Why an engine cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory open.
    #[error(
        "{} is in use by another process; stop that one, or choose another directory",
        directory.display()
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory is that of something else.
    #[error(
        "{} is not empty and not a MUSIC data directory; choose an empty or new one",
        directory.display()
    )]
    NotOurs {
        /// The directory.
        directory: PathBuf,
    },
    /// The files cannot be read as what they should be.
    #[error(
        "the data in {} is damaged: {source}; restore it from a backup, or move it away and \
         start with an empty directory",
        directory.display()
    )]
    Damaged {
        /// The directory.
        directory: PathBuf,
        /// What was found.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A later program wrote the directory.
    #[error(
        "the data in {} has format {found}, this program reads up to {VERSION}; use the program \
         that wrote it, or a later one",
        directory.display()
    )]
    Newer {
        /// The directory.
        directory: PathBuf,
        /// The version of its format.
        found: u32,
    },
    /// The directory holds other sites than the profile has.
    #[error(
        "{} holds the sites {}, the profile has {}; use the profile that it was made with, or \
         another directory",
        directory.display(), found.join(", "), wanted.join(", ")
    )]
    OtherSites {
        /// The directory.
        directory: PathBuf,
        /// The sites in it.
        found: Vec<String>,
        /// The sites of the profile.
        wanted: Vec<String>,
    },
    /// The operating system refused something.
    #[error(
        "cannot use {}: {source}; see that it can be written and has room",
        directory.display()
    )]
    Io {
        /// The directory.
        directory: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The engine needs threads, and an async runtime for its tasks.
    #[error("cannot start the engine's threads and tasks: {0}")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A directory that this process has open.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked while this lives.
    _lock: File,
}

impl Directory {
    /// Takes a directory, or makes it; returns the profile with its sites in
    /// the order of the directory's replicas.
    pub(super) fn take(path: &Path, profile: &Profile) -> Result<(Self, Profile), OpenError> {
        let io = |source| OpenError::Io {
            directory: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(io)?;
        let format = path.join("format");
        if !format.exists() && !is_fresh(path).map_err(io)? {
            return Err(OpenError::NotOurs {
                directory: path.to_owned(),
            });
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    directory: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let profile = if format.exists() {
            let text = fs::read_to_string(&format).map_err(io)?;
            check(path, &text, profile)?
        } else {
            let sites = profile.sites().join(" ");
            write_durably(path, &format!("{MAGIC} {VERSION}\nsites {sites}\n")).map_err(io)?;
            profile.clone()
        };
        Ok((
            Self {
                path: path.to_owned(),
                _lock: lock,
            },
            profile,
        ))
    }

    /// Where the store's files are.
    pub(super) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether there is nothing in it, or only what a crash right at the
/// beginning leaves.
fn is_fresh(path: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != "lock" && name != "format.new" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The whole file is there after a crash, or none.
fn write_durably(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.join("format.new");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path.join("format"))?;
    File::open(path)?.sync_all()
}

#[derive(Debug, thiserror::Error)]
#[error("the file 'format' does not say what it should")]
struct BadFormat;

fn check(path: &Path, text: &str, profile: &Profile) -> Result<Profile, OpenError> {
    let directory = path.to_owned();
    let mut words = text.split_whitespace();
    let header = (
        words.next(),
        words.next().and_then(|word| word.parse::<u32>().ok()),
    );
    match header {
        (Some(MAGIC), Some(found)) if found > VERSION => {
            return Err(OpenError::Newer { directory, found });
        }
        (Some(MAGIC), Some(VERSION)) if words.next() == Some("sites") => {}
        _ => {
            return Err(OpenError::Damaged {
                directory,
                source: Box::new(BadFormat),
            });
        }
    }
    let found: Vec<String> = words.map(str::to_owned).collect();
    if let Some(profile) = profile.in_order(&found) {
        return Ok(profile);
    }
    let wanted = profile.sites().to_vec();
    Err(OpenError::OtherSites {
        directory,
        found,
        wanted,
    })
}
