//! `POST /v1/relay`: another node asks for a ticket in a queue that both want.

use std::sync::Arc;

use axum::extract::State;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use music_api::code::Code;

use crate::http::app::App;
use crate::http::describe::Problems;
use crate::http::problem::Failure;
use crate::http::request::OctetsBody;
use crate::http::respond::{self, Answer};
use crate::node::{RelayedEnqueue, encode_answer};

/// Enqueues for another node.
///
/// Nodes ask this of each other where the transactions of the lock engine get in each other's
/// way, and only of one that has to do with the key. What they say is their own; programs create
/// lockRefs.
#[utoipa::path(
    post,
    path = "/v1/relay",
    tag = "node",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (
            status = OK,
            description = "The ticket, and the queue with it.",
            content_type = "application/octet-stream",
            body = Vec<u8>,
        ),
        Problems,
    )
)]
pub(crate) async fn relay(State(app): State<Arc<App>>, OctetsBody(message): OctetsBody) -> Answer {
    let asked = RelayedEnqueue::decode(&message).ok_or_else(|| {
        let text = "This is not what nodes of this version ask of each other.";
        Failure::new(Code::MalformedBody, text)
    })?;
    let applied = app.node.enqueue_for(asked).await?;
    let answer = encode_answer(&applied)
        .ok_or_else(|| Failure::new(Code::Internal, "The queue cannot be written."))?;
    let mut response = respond::with(StatusCode::OK, answer);
    let octets = "application/octet-stream";
    respond::set(response.headers_mut(), CONTENT_TYPE.as_str(), octets);
    Ok(response)
}
