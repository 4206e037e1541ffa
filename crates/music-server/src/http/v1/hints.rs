//! `POST /v1/hints`: other nodes tell of queues that are worth a look.

use std::sync::Arc;

use axum::extract::State;
use hyper::StatusCode;
use music_api::code::Code;
use music_api::hint::{HINTS_MAX, Hints};
use music_api::name::KeyRef;
use music_core::id::{RecordId, SessionId};

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::Problems;
use crate::http::problem::Failure;
use crate::http::request::JsonBody;
use crate::http::respond::{self, Answer};

/// Tells a node of queues that are worth a look.
///
/// Nodes ask this of each other where the lock engine has no watches. It causes looks at these
/// queues and nothing else; what is lost costs time. Programs have no use for it.
#[utoipa::path(
    post,
    path = "/v1/hints",
    tag = "node",
    request_body = Hints,
    responses(
        (status = NO_CONTENT, description = "It was heard."),
        Problems,
    )
)]
pub(crate) async fn hint(State(app): State<Arc<App>>, JsonBody(hints): JsonBody<Hints>) -> Answer {
    if hints.wanted.len() > HINTS_MAX || hints.changed.len() > HINTS_MAX {
        let text = format!("At most {HINTS_MAX} keys are told of at once.");
        return Err(Failure::new(Code::BadRequest, text));
    }
    let from = session(&hints.from)?;
    app.node
        .hear_hints(
            from,
            known(&app, &hints.wanted),
            known(&app, &hints.changed),
        )
        .await;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

fn session(text: &str) -> Result<SessionId, Failure> {
    let number = u128::from_str_radix(text, 16).ok();
    let number = number.filter(|_| text.len() == 32 && !text.starts_with('+'));
    number.map(SessionId).ok_or_else(|| {
        let text = "A node session is 32 hexadecimal digits.";
        Failure::new(Code::BadRequest, text.to_owned())
    })
}

/// Those of tables that are known here: a hint about another one says nothing.
fn known(app: &App, keys: &[KeyRef]) -> Vec<RecordId> {
    let records = keys
        .iter()
        .map(|key| convert::json_record(app, &key.table, &key.key));
    records.flatten().map(|(_, id)| id).collect()
}
