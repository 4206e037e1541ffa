//! One client critical section over a key set, as a machine.

mod error;

pub use error::{Error, Lost};
