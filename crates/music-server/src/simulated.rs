//! A node without sockets, for a simulation: requests are handed to it, its
//! clock runs on the runtime's time, and its engine is simulated.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use music_store::engine::{LockEngine, StateEngine};
use music_store::simulated::Site;

use crate::config::Config;
use crate::http::app::App;
use crate::http::front::Front;
use crate::node::{Node, World};
use crate::serve::{self, Error};

/// A node that is reached by calls.
pub struct SimulatedNode {
    app: Arc<App>,
    front: Arc<Front>,
}

impl SimulatedNode {
    /// Starts a node on a site's view. Must be called within a runtime.
    ///
    /// # Errors
    /// Where a table of the configuration exists in the other mode.
    pub async fn start(config: Config, world: World, site: Site) -> Result<Self, Error> {
        let ports = (StateEngine::from(site.clone()), LockEngine::from(site));
        let engine = (None, ports);
        let (app, front) = serve::assemble(Arc::new(config), world, engine).await?;
        Ok(Self { app, front })
    }

    /// Answers a request, as it would over a connection.
    pub fn answer(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        Arc::clone(&self.front).answer(request)
    }

    /// The node itself.
    pub fn node(&self) -> &Node {
        &self.app.node
    }

    /// Ends the node at once, as a crash would: nothing is released.
    pub fn kill(&self) {
        self.app.node.kill();
        self.app.killed.cancel();
        self.app.tasks.close();
    }
}
