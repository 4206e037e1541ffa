//! Why a demonstration could not go on.

use music_placement::{CatalogueError, FolderError, service};
use music_server::dev::ControlError;
use music_server::serve;

use crate::exit::Exit;

/// A demonstration that came to no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The catalogue is faulty.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The folder of templates cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The placement service failed.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// A fault could not be brought about.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A node could not be started again.
    #[error(transparent)]
    Serve(#[from] serve::Error),
    /// A worker's thread cannot be started.
    #[error("no thread can be started for a worker")]
    Thread(#[source] std::io::Error),
    /// The audit did not come to its end.
    #[error("the sites could not be compared with the mapping in time")]
    NoVerdict,
}

impl Error {
    /// The code to exit with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Catalogue(_) => Exit::Configuration,
            Self::Folder(_) | Self::Thread(_) => Exit::Io,
            Self::Service(_) | Self::Control(_) | Self::Serve(_) | Self::NoVerdict => {
                Exit::Unavailable
            }
        }
    }
}
