//! `POST /v1/run`: a whole small critical section in one request.
//!
//! A run goes on when its client has left, so that its lock is always
//! released.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use futures_util::future::try_join_all;
use music_api::code::Code;
use music_api::lock::StepResult;
use music_api::problem::Outcome;
use music_api::problem::Problem;
use music_api::run::{Compare, Run, RunResult};
use music_core::id::{Field, Moves, RecordId};
use music_core::lock_queue::Mode;
use music_core::record::Record;

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{IdempotencyHeader, Problems};
use crate::http::problem::{self, Failure};
use crate::http::repeat::Repeat;
use crate::http::request::{Idempotency, JsonBody, Query};
use crate::http::respond::Answer;
use crate::http::v1::batch::{self, Planned};
use crate::http::v1::locks;
use crate::node::{self, SectionRef, SectionView, State as Section};

/// How long a run waits for its grant where the client does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// The most comparisons of a run.
const COMPARISONS_MAX: usize = 128;

/// Locks, compares, performs, releases.
#[utoipa::path(
    post,
    path = "/v1/run",
    tag = "run",
    description = "Steps are performed in order; the first that fails ends the run, and what it \
        had written stays. A repeated request with the same Idempotency-Key at the same node gets \
        the first one's answer.",
    params(IdempotencyHeader),
    request_body = Run,
    responses(
        (
            status = OK,
            body = RunResult,
            description = "Whether all comparisons held, and a result for each step performed.",
        ),
        (
            status = CONFLICT,
            body = Problem,
            content_type = "application/problem+json",
            description = "Not granted in time: nothing was done.",
        ),
        Problems,
    )
)]
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    query: Query,
    idempotency: Idempotency,
    repeat: Repeat,
    JsonBody(body): JsonBody<Run>,
) -> Answer {
    query.only(&[])?;
    let plan = Plan::new(&app, &body, idempotency)?;
    let own = Arc::clone(&app);
    let run = async move { plan.execute(&own).await };
    Box::pin(repeat.once(&app, &body, run)).await
}

/// A run that was checked.
struct Plan {
    section: SectionRef,
    wait: Duration,
    compare: Vec<Comparison>,
    then: Vec<Planned>,
    otherwise: Vec<Planned>,
}

struct Comparison {
    id: RecordId,
    field: Field,
    equals: Option<music_api::name::Value>,
}

impl Plan {
    fn new(app: &App, body: &Run, idempotency: Idempotency) -> Result<Self, Failure> {
        if body.compare.len() > COMPARISONS_MAX {
            let detail = format!("A run has at most {COMPARISONS_MAX} comparisons.");
            return Err(Failure::new(Code::TooManySteps, detail));
        }
        let wait = match body.wait_ms {
            None => WAIT_DEFAULT.min(app.config.limits.wait_max),
            asked => app.wait(asked)?,
        };
        let section = SectionRef {
            request: locks::request_id(idempotency),
            keys: convert::key_set(app, &body.keys)?,
            mode: Mode::Exclusive,
            lease: app.config.cluster.client_lease_default,
            moves: Moves::default(),
        };
        let compare = body
            .compare
            .iter()
            .map(|compare| Comparison::new(app, compare));
        let plan = Self {
            wait,
            compare: compare.collect::<Result<_, _>>()?,
            then: batch::plan(app, &body.then, idempotency, 0)?,
            otherwise: batch::plan(app, &body.otherwise, idempotency, batch::STEPS_MAX)?,
            section,
        };
        plan.covers_its_keys().map(|()| plan)
    }

    /// A key outside the set would fail in the middle: better before.
    fn covers_its_keys(&self) -> Result<(), Failure> {
        let steps = self
            .then
            .iter()
            .chain(&self.otherwise)
            .map(|step| match step {
                Planned::Get(id) | Planned::Put(id, ..) => id,
            });
        let mut named = self.compare.iter().map(|compare| &compare.id).chain(steps);
        if named.all(|id| self.section.keys.contains(id)) {
            return Ok(());
        }
        Err(node::Error::Section(music_core::critical_section::Error::KeyNotInSet).into())
    }

    /// Performs the run from lock to release.
    async fn execute(self, app: &App) -> Result<RunResult, Failure> {
        let (request, lease) = (self.section.request, self.section.lease);
        let creation = app.node.create_lock_ref(self.section.clone(), self.wait);
        let view = match app.hear_wait(request, lease, creation).await {
            Ok(view) if view.state == Section::Granted => view,
            Ok(view) => {
                self.give_up(app).await;
                return Err(not_granted(&view));
            }
            Err(failure) => {
                self.give_up(app).await;
                return Err(not_begun(failure));
            }
        };
        let section = self.section.clone();
        let tokens = convert::tokens(app, &view);
        // Goes on where the node stops: what was sent out must be answered
        // for, and takes no longer than the engine's own limit.
        let performed = app.hear(request, lease, self.perform(app)).await;
        // A put whose outcome is unknown makes the node force the section.
        if let Err(error) = app.node.release(&section, false).await {
            // What was written stands; the section ends by its lease.
            tracing::debug!(%error, "a run's release failed");
        }
        let (compared, results) = performed?;
        Ok(RunResult {
            compared,
            results,
            tokens,
        })
    }

    async fn give_up(&self, app: &App) {
        if let Err(error) = app.node.release(&self.section, false).await {
            tracing::debug!(%error, "a run that was not granted could not leave its queue");
        }
    }

    async fn perform(self, app: &App) -> Result<(bool, Vec<StepResult>), Failure> {
        let compared = self.compare_all(app).await?;
        let steps = if compared { self.then } else { self.otherwise };
        let mut results = Vec::with_capacity(steps.len());
        for group in groups(steps) {
            let done = batch::perform(app, self.section.request, group).await;
            let failed = done.iter().any(Result::is_err);
            results.extend(done.into_iter().map(batch::result));
            if failed {
                break;
            }
        }
        Ok((compared, results))
    }

    async fn compare_all(&self, app: &App) -> Result<bool, Failure> {
        let ids: BTreeSet<&RecordId> = self.compare.iter().map(|one| &one.id).collect();
        let reads = ids.into_iter().map(|id| async move {
            let record = app.node.critical_get(self.section.request, id).await?;
            Ok::<_, node::Error>((id, record))
        });
        let records: BTreeMap<&RecordId, Record> = try_join_all(reads).await?.into_iter().collect();
        for Comparison { id, field, equals } in &self.compare {
            let held = records.get(id).and_then(|record| record.value(field));
            if !convert::equals(held, equals.as_ref())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Comparison {
    fn new(app: &App, compare: &Compare) -> Result<Self, Failure> {
        let (_, id) = convert::json_record(app, &compare.table, &compare.key)?;
        let field = convert::field(&compare.field)?;
        Ok(Self {
            id,
            field,
            equals: compare.equals.clone(),
        })
    }
}

/// Adjacent steps of one kind go out together; a get waits for the puts
/// before it, and reads them.
fn groups(steps: Vec<Planned>) -> Vec<Vec<Planned>> {
    let mut groups: Vec<Vec<Planned>> = Vec::new();
    for step in steps {
        match groups.last_mut() {
            Some(group)
                if group
                    .last()
                    .is_some_and(|last| last.is_put() == step.is_put()) =>
            {
                group.push(step);
            }
            _ => groups.push(vec![step]),
        }
    }
    groups
}

/// Why a run ended before its first step, and so without effect: a ticket of
/// unknown outcome is taken back, and is no effect that its client asked for.
fn not_begun(failure: Failure) -> Failure {
    match failure.outcome() {
        Outcome::NotApplied => failure,
        Outcome::Unknown => Failure::new(
            Code::Unavailable,
            "The lock store did not answer in time: nothing was done. Try again later, or at \
             another site.",
        ),
    }
}

fn not_granted(view: &SectionView) -> Failure {
    match view.state {
        Section::Lost(lost) => problem::lost(lost),
        _ => Failure::new(
            Code::NotGranted,
            "The keys were not free in time: nothing was done. Try again, or wait longer with \
             `wait_ms`.",
        ),
    }
}
