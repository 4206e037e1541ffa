//! Evidence that the guarantees of PROTOCOL.md hold, on the code that runs in
//! production.
//!
//! | module | what it holds |
//! |---|---|
//! | [`history`] | what clients did and saw, and the judges of it: one a guarantee |
//! | [`oracle`] | the judge that knows the queues and the copies too |
//! | [`exploration`] | thousands of random histories of the core |
//! | [`model`] | exhaustive checks of the core, in small worlds |

pub mod exploration;
pub mod history;
pub mod model;
pub mod oracle;
