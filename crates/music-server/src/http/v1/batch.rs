//! `POST /v1/locks/{lock_ref}/batch`, and steps as runs have them too.

use std::sync::Arc;

use axum::extract::State;
use futures_util::future::join_all;
use music_api::code::Code;
use music_api::lock::{Batch, BatchResult, Step, StepResult};
use music_core::id::{IdempotencyKey, RecordId, RequestId};
use music_core::stamp::Stamp;

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{IdempotencyHeader, LockPath, Problems};
use crate::http::problem::Failure;
use crate::http::request::{Idempotency, JsonBody, LockAt, Query};
use crate::http::respond::{self, Answer};
use crate::node::{self, BatchPut, Change};

/// The most steps of a batch, or of one branch of a run.
pub(crate) const STEPS_MAX: usize = 128;

/// A step that can be performed.
pub(crate) enum Planned {
    /// Reads a record.
    Get(RecordId),
    /// Writes a record.
    Put(RecordId, Change, Option<IdempotencyKey>),
}

impl Planned {
    /// Whether it writes.
    pub(crate) fn is_put(&self) -> bool {
        matches!(self, Self::Put(..))
    }
}

/// Checks all steps before the first is performed. `first` numbers them
/// within their request, so that each has an idempotency key of its own.
pub(crate) fn plan(
    app: &App,
    steps: &[Step],
    idempotency: Idempotency,
    first: usize,
) -> Result<Vec<Planned>, Failure> {
    if steps.len() > STEPS_MAX {
        return Err(Failure::new(
            Code::TooManySteps,
            format!("At most {STEPS_MAX} steps are taken at once. Split them up."),
        ));
    }
    let numbered = steps.iter().zip(first..);
    let planned = numbered.map(|(step, number)| {
        let key = idempotency.step(number);
        Ok(match step {
            Step::Get { table, key } => Planned::Get(convert::json_record(app, table, key)?.1),
            Step::Put {
                table,
                key: name,
                fields,
            } => {
                let (_, id) = convert::json_record(app, table, name)?;
                let max = app.config.cluster.value_bytes_max;
                Planned::Put(id, convert::change(fields, max)?, key)
            }
            Step::Delete { table, key: name } => Planned::Put(
                convert::json_record(app, table, name)?.1,
                Change::Delete,
                key,
            ),
        })
    });
    planned.collect()
}

/// Sends steps out together, in their order; a result each. The puts are one
/// request to the node, which makes one write a key of them.
pub(crate) async fn perform(
    app: &App,
    request: RequestId,
    steps: impl IntoIterator<Item = Planned>,
) -> Vec<Result<StepResult, Failure>> {
    let (mut puts, mut gets, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        kinds.push(step.is_put());
        match step {
            Planned::Get(id) => gets.push(id),
            Planned::Put(id, change, key) => puts.push(BatchPut { id, change, key }),
        }
    }
    let gets = gets.iter().map(|id| async move {
        let record = app.node.critical_get(request, id).await?;
        Ok(StepResult::Record(convert::record(&id.key, &record)))
    });
    let (put, got) = tokio::join!(put_all(app, request, puts), join_all(gets));
    let (mut put, mut got) = (put.into_iter(), got.into_iter());
    let in_order = |is_put| if is_put { put.next() } else { got.next() };
    let results: Vec<Result<StepResult, Failure>> =
        kinds.into_iter().filter_map(in_order).collect();
    for failure in results.iter().filter_map(|result| result.as_ref().err()) {
        app.metrics.failed(failure);
    }
    results
}

async fn put_all(
    app: &App,
    request: RequestId,
    puts: Vec<BatchPut>,
) -> Vec<Result<StepResult, Failure>> {
    if puts.is_empty() {
        return Vec::new();
    }
    let count = puts.len();
    let written = |stamp: Result<Stamp, node::Error>| {
        let stamp = stamp?.get();
        Ok(StepResult::Written { stamp })
    };
    match app.node.critical_puts(request, puts).await {
        Ok(stamps) => stamps.into_iter().map(written).collect(),
        Err(error) => vec![Err(error.into()); count],
    }
}

/// A failed step among the results.
pub(crate) fn result(result: Result<StepResult, Failure>) -> StepResult {
    result.unwrap_or_else(|failure| StepResult::Problem(failure.problem(None)))
}

/// Performs several operations of a section at once.
#[utoipa::path(
    post,
    path = "/v1/locks/{lock_ref}/batch",
    tag = "critical",
    description = "All steps are checked before the first is sent out; then they go out together, \
        and each has its own result. Puts on one key keep their order, and are one write; a get \
        beside a put of its key may read either value.",
    params(
        LockPath,
        IdempotencyHeader,
    ),
    request_body = Batch,
    responses(
        (
            status = OK,
            body = BatchResult,
            description = "A result a step, in the same order; some may be problems.",
        ),
        Problems,
    )
)]
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    lock: LockAt,
    query: Query,
    idempotency: Idempotency,
    JsonBody(body): JsonBody<Batch>,
) -> Answer {
    query.only(&[])?;
    let steps = plan(&app, &body.steps, idempotency, 0)?;
    // A section that this node does not keep is one problem, not a problem a
    // step.
    app.node.section(lock.section.request)?;
    let results = perform(&app, lock.section.request, steps).await;
    respond::ok(&BatchResult {
        results: results.into_iter().map(result).collect(),
    })
}
