//! Evidence that the guarantees of PROTOCOL.md hold, on the code that runs in
//! production.
//!
//! | module | what it holds |
//! |---|---|
//! | [`deployment`] | whole deployments under one seed, with faults |
//! | [`history`] | what clients did and saw, and the judges of it: a crate of its own |
//! | [`oracle`] | the judge that knows the queues and the copies too |
//! | [`recipes`] | recipes in such deployments, and the judges of their promises |
//! | [`exploration`] | thousands of random histories of the core |
//! | [`model`] | exhaustive checks of the core, in small worlds |

pub mod deployment;
pub mod exploration;
pub mod model;
pub mod oracle;
pub mod recipes;

pub use music_history as history;
