//! Recipes whose short sections are forced in the middle, as those of one that
//! was taken for dead; and whose nodes are gone when they want to withdraw.

#![allow(
    clippy::unwrap_used,
    reason = "what does not go as planned ends the test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use futures_util::future::{join, try_join};
use music_client::error::FaultKind;
use music_client::in_process::{Answer, Nodes};
use music_client::recipes::{Barrier, Counter};
use music_client::{Client, Options, Outcome};
use music_server::config::{Config, Overrides};
use music_server::node::World;
use music_server::simulated::SimulatedNode;
use music_store::simulated::Deployment;
use music_store::simulated::network::Network;

/// A node that does harm.
#[derive(Clone, Debug)]
struct Harm(Arc<Inner>);

struct Inner {
    node: SimulatedNode,
    /// How many sections are forced at their next get.
    forces: AtomicUsize,
    /// Whether nobody reaches the node.
    is_down: AtomicBool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

impl Nodes for Harm {
    fn carry(&self, request: reqwest::Request) -> Answer {
        let harm = Arc::clone(&self.0);
        Box::pin(async move {
            if harm.is_down.load(Ordering::Relaxed) {
                return Err(FaultKind::NotConnected);
            }
            if request.method() == Method::GET
                && let Some(lock_ref) = section(request.url().path())
                && harm.forces.load(Ordering::Relaxed) > 0
            {
                harm.forces.fetch_sub(1, Ordering::Relaxed);
                let force = Request::post(format!("/v1/locks/{lock_ref}/force"));
                harm.node.answer(force.body(Body::empty()).unwrap()).await;
                // Until the node knows: before, it would answer the get.
                pass(1).await;
            }
            let request: Request<reqwest::Body> = request.try_into().unwrap();
            let (head, body) = harm.node.answer(request.map(Body::new)).await.into_parts();
            let body = reqwest::Body::wrap_stream(body.into_data_stream());
            Ok(Response::from_parts(head, body).into())
        })
    }
}

/// The lockRef of a section whose record is asked for.
fn section(path: &str) -> Option<&str> {
    let (lock_ref, rest) = path.strip_prefix("/v1/locks/")?.split_once('/')?;
    rest.starts_with("tables/").then_some(lock_ref)
}

async fn start() -> (Deployment, Harm, Client) {
    let network = Network::new(3, 1, |_, _| Duration::from_millis(1));
    let deployment = Deployment::start(3, network);
    let text = "node = 'n0'\nsite = 's0'\n";
    let config = Config::parse(text, |_| None, &Overrides::default()).unwrap();
    let world = World::simulated(1, 1.0, 1_700_000_000_000_000, None);
    let node = SimulatedNode::start(config, world, deployment.site(0)).await;
    let harm = Harm(Arc::new(Inner {
        node: node.unwrap(),
        forces: AtomicUsize::new(0),
        is_down: AtomicBool::new(false),
    }));
    let nodes = Arc::new(harm.clone());
    let client = Client::in_process(["http://n0"], Options::default(), nodes).unwrap();
    (deployment, harm, client)
}

/// Lets virtual time pass.
async fn pass(seconds: u64) {
    let never = std::future::pending::<()>();
    let passed = tokio::time::timeout(Duration::from_secs(seconds), never).await;
    assert!(passed.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_lost_its_lock_before_its_put_is_made_anew() {
    let (_deployment, harm, client) = start().await;
    let counter = Counter::new(&client, "c").unwrap();
    counter.add(1).await.unwrap();
    harm.0.forces.store(2, Ordering::Relaxed);
    assert_eq!(counter.add(1).await.unwrap(), 1);
    assert_eq!(harm.0.forces.load(Ordering::Relaxed), 0);
    assert_eq!(counter.add(1).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_a_barrier_looks_again_when_its_look_was_lost() {
    let (_deployment, harm, client) = start().await;
    let barrier = Barrier::new(&client, "b", 2).unwrap();
    let other = async {
        pass(5).await;
        harm.0.forces.store(1, Ordering::Relaxed);
        // By then the first one has looked by itself.
        pass(20).await;
        assert_eq!(harm.0.forces.load(Ordering::Relaxed), 0);
        barrier.wait_as("other").await
    };
    // Without the one that was lost, the other one would wait for ever.
    let (one, other) = try_join(barrier.wait_as("one"), other).await.unwrap();
    assert_eq!(one.number, other.number);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_withdraw_may_have_arrived() {
    let (_deployment, harm, client) = start().await;
    let barrier = Barrier::new(&client, "b", 2).unwrap();
    let down = async {
        pass(1).await;
        harm.0.is_down.store(true, Ordering::Relaxed);
    };
    let wait = Duration::from_secs(3);
    let (waited, ()) = join(barrier.wait_as_within("one", wait), down).await;
    assert_eq!(waited.unwrap_err().outcome(), Outcome::Unknown);
}
