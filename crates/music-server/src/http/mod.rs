//! The HTTP side of a node.
//!
//! ```text
//!  connection → front (gate, limits, request id, metrics, problems, log) → router → handler
//! ```
//!
//! [`front`] is the one middleware; it is a plain function around the router,
//! for a boxed layer on each route would cost more than a local get. [`own`] is
//! the way by which the node asks itself, for recipes.

pub(crate) mod app;
pub(crate) mod convert;
pub(crate) mod describe;
pub(crate) mod envelope;
pub(crate) mod front;
pub(crate) mod linger;
pub(crate) mod metrics;
pub(crate) mod own;
pub(crate) mod pages;
pub(crate) mod problem;
pub(crate) mod repeat;
pub(crate) mod request;
pub(crate) mod respond;
pub(crate) mod route;
pub(crate) mod router;
pub(crate) mod spans;
pub(crate) mod sse;
pub(crate) mod stopwatch;
pub(crate) mod v1;
