//! `/v1/recipes`: the recipes of the client library, for any language. The node
//! runs them itself, as a client of its own: nothing of a recipe is written here.
//!
//! | route does | and is |
//! |---|---|
//! | a change | carried out to its end though its client leaves, once for an idempotency key |
//! | a wait | given up when its client leaves, or the node stops; so are its places in queues |
//! | hold something | answered with its lockRef, which the client renews from then on |

pub(crate) mod active_passive;
pub(crate) mod barriers;
pub(crate) mod counters;
pub(crate) mod double_barriers;
pub(crate) mod elections;
pub(crate) mod groups;
pub(crate) mod latches;
pub(crate) mod once;
pub(crate) mod queues;
pub(crate) mod registers;
pub(crate) mod semaphores;

use std::sync::Arc;
use std::time::Duration;

use music_api::code::Code;
use music_api::name::{self, Value};
use music_client::{Client, Content, Error};
use serde::Serialize;

use crate::http::app::App;
use crate::http::convert;
use crate::http::problem::{self, Failure};
use crate::http::repeat::Repeat;
use crate::http::respond::Answer;

/// How long a recipe waits where its client does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// The largest value that a leader or a member says of itself, in bytes: it is
/// told to all who look.
const WORD_BYTES_MAX: usize = 64 * 1024;

/// The largest value of a register, and the largest result of a step, in bytes.
const VALUE_BYTES_MAX: usize = 256 * 1024;

/// The wait that a client asks for, within bounds.
fn wait_of(app: &App, wait_ms: Option<u64>) -> Result<Duration, Failure> {
    match wait_ms {
        None => Ok(WAIT_DEFAULT.min(app.config.limits.wait_max)),
        asked => app.wait(asked),
    }
}

/// The node's own client, whose sections have the lease that a client asks for.
fn client_of(app: &App, lease_ms: Option<u64>) -> Result<Client, Failure> {
    Ok(match lease_ms {
        None => app.client.clone(),
        asked => app.client.with_lease(app.lease(asked)?.get()),
    })
}

/// What a leader or a member says of itself; JSON `null` if absent.
fn word(app: &App, value: Option<&Value>) -> Result<Content, Failure> {
    let max = WORD_BYTES_MAX.min(app.config.cluster.value_bytes_max);
    match value {
        None => convert::content(&Value::Json(serde_json::Value::Null), max),
        Some(value) => convert::content(value, max),
    }
}

/// Checks the result of a step.
fn check_result(result: &serde_json::Value) -> Result<(), Failure> {
    if !name::is_shallow(result) {
        return Err(Failure::new(
            Code::BadValue,
            "A result has at most 100 arrays and objects in each other. Keep it elsewhere, and \
             its place here.",
        ));
    }
    if result.to_string().len() > VALUE_BYTES_MAX {
        return Err(Failure::new(
            Code::ValueTooLarge,
            format!(
                "A result has at most {VALUE_BYTES_MAX} bytes. Keep it elsewhere, and its place \
                 here."
            ),
        ));
    }
    Ok(())
}

/// Waits for a recipe, or reads from one: ends early where the node stops, as
/// where the client leaves.
async fn wait<T>(
    app: &App,
    work: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        // On the heap: a recipe is a large state machine.
        done = Box::pin(work) => Ok(done?),
        () = app.stopping.cancelled() => Err(problem::shutting_down()),
    }
}

/// Changes something by a recipe, once for an idempotency key. Where the node
/// stops, it may still end what is under way.
async fn change<T: Serialize + Send>(
    app: &Arc<App>,
    repeat: Repeat,
    body: &impl Serialize,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Answer {
    let own = Arc::clone(app);
    let work = async move {
        tokio::select! {
            biased;
            done = Box::pin(work) => Ok(done?),
            () = out_of_time(&own) => Err(Failure::new(
                Code::OutcomeUnknown,
                "The node is shutting down in the middle of the request: read what there is at \
                 another one.",
            )),
        }
    };
    repeat.once(app, body, work).await
}

/// Waits until the node stops, and then for as long as a change may take.
async fn out_of_time(app: &App) {
    app.stopping.cancelled().await;
    tokio::time::sleep(app.config.shutdown_timeout / 4).await;
}
