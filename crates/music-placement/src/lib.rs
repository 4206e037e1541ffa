//! The placement service: application templates placed exactly once over several sites.
//!
//! Two halves. The one decides without talking to anyone: what a template
//! needs ([`Reader`], [`load_dir`], [`built_in`]), what a site has
//! ([`Catalogue`]), and whether the one fits into the other ([`Demand`],
//! [`Capacity`]). It knows nothing of locks, workers or the network. The other,
//! [`service`], is the program that a reader can learn MUSIC from.
//!
//! ```
//! use music_placement::{Catalogue, Reader, built_in};
//!
//! let catalogue = Catalogue::built_in()?;
//! let room = catalogue.capacity("ohio").ok_or("no such site")?;
//! for template in built_in(&Reader::new(&catalogue)) {
//!     match template {
//!         Ok(template) => assert!(template.demand.fits(room)),
//!         Err(unreadable) => assert_eq!(unreadable.name, "unreadable.yaml"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod catalogue;
pub mod demand;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod hot;
pub mod load;
pub mod service;

pub use catalogue::{Catalogue, CatalogueError, CatalogueFault, Flavor};
pub use demand::{Capacity, Demand, Dimension, Shortage};
pub use hot::{
    Assumption, Environment, EnvironmentError, Files, Folder, Reader, Reason, Server, Source,
    Template, Unreadable, Unresolved, Volume,
};
pub use load::{FolderError, built_in, built_in_files, load_dir};
