//! Nodes of the same process: asked by calls, not over sockets.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::{Request, Response};

use crate::fault::{FaultKind, TransportFault};

/// An answer that may not come.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response, FaultKind>> + Send>>;

/// What answers requests in the place of sockets.
pub trait Nodes: fmt::Debug + Send + Sync {
    /// Carries a request to the node that its address names, and the head of
    /// the answer back; the body follows as it comes.
    fn carry(&self, request: Request) -> Answer;
}

/// Carries a request, for no longer than it may take.
pub(crate) async fn carry(
    nodes: &Arc<dyn Nodes>,
    request: Request,
) -> Result<Response, TransportFault> {
    let limit = request.timeout().copied();
    let answer = nodes.carry(request);
    let answer = match limit {
        Some(limit) => tokio::time::timeout(limit, answer).await,
        None => Ok(answer.await),
    };
    let answer = answer.unwrap_or(Err(FaultKind::TimedOut));
    answer.map_err(|kind| TransportFault { kind, cause: None })
}
