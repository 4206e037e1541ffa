//! Evidence that the guarantees of PROTOCOL.md hold, on the code that runs in
//! production.
//!
//! | module | what it holds |
//! |---|---|
//! | [`deployment`] | whole deployments under one seed, with faults |
//! | [`history`] | what clients did and saw, and the judges of it: one a guarantee |

pub mod deployment;
pub mod history;
