//! `/v1/queues/{table}/{key}`: who holds, who waits.

use std::sync::Arc;

use axum::extract::State;
use hyper::StatusCode;
use music_api::code::Code;
use music_api::problem::Problem;
use music_api::queue::{Queue, Ticket};
use music_core::lock_queue::LockQueue;
use music_core::lock_ref::LockRef;
use music_store::TableMode;

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{PageQuery, Problems, RecordPath};
use crate::http::problem::Failure;
use crate::http::request::{Query, RecordAt, TicketAt};
use crate::http::respond::{self, Answer};
use crate::http::v1::tables::limit;
use crate::node;

/// Reads a key's queue, linearizable.
#[utoipa::path(
    get,
    path = "/v1/queues/{table}/{key}",
    tag = "queues",
    params(
        RecordPath,
        PageQuery,
    ),
    responses(
        (status = OK, body = Queue, description = "The tickets, the head first."),
        Problems,
    )
)]
pub(crate) async fn get_queue(State(app): State<Arc<App>>, at: RecordAt, query: Query) -> Answer {
    respond::ok(&read(&app, &at, query).await?)
}

/// The page of a queue that a request asks for.
pub(crate) async fn read(app: &App, at: &RecordAt, query: Query) -> Result<Queue, Failure> {
    let query = query.only(&["limit", "cursor"])?;
    let limit = limit(&query)?;
    let after = match query.text("cursor")? {
        None => LockRef::NONE,
        Some(text) => text
            .parse()
            .ok()
            .and_then(LockRef::new)
            .ok_or_else(convert::bad_cursor)?,
    };
    critical(at)?;
    let queue = app.node.queue(&at.id).await?;
    let in_line = app.node.in_line(&at.id);
    Ok(page((&queue, in_line), after, limit))
}

/// Refuses a key of an eventual table, which has no queue.
pub(crate) fn critical(at: &RecordAt) -> Result<(), Failure> {
    match at.table.mode {
        TableMode::Critical => Ok(()),
        mode @ TableMode::Eventual => Err(node::Error::WrongMode { mode }.into()),
    }
}

/// A page of a queue's tickets, those after `after`.
pub(crate) fn page((queue, in_line): (&LockQueue, usize), after: LockRef, limit: usize) -> Queue {
    let rest = queue.tickets().filter(|(number, _)| *number > after);
    let mut tickets: Vec<Ticket> = rest
        .take(limit.saturating_add(1))
        .map(|(number, ticket)| Ticket {
            number: number.get(),
            incarnation: ticket.incarnation.0,
            mode: convert::api_mode(ticket.mode),
            holds: queue.is_at_head(number),
            kept: ticket.is_kept(),
            owner: format!("{:032x}", ticket.owner.0),
            request: format!("{:032x}", ticket.request.0),
        })
        .collect();
    let more = tickets.len() > limit;
    tickets.truncate(limit);
    let cursor = tickets
        .last()
        .filter(|_| more)
        .map(|last| last.number.to_string());
    Queue {
        length: u64::try_from(queue.tickets().count()).unwrap_or(u64::MAX),
        in_line: u64::try_from(in_line).unwrap_or(u64::MAX),
        tickets,
        last: queue.last().get(),
        forced: queue.forced().get(),
        needs_synchronization: queue.needs_synchronization(),
        cursor,
    }
}

/// Removes a ticket that is taken for dead.
#[utoipa::path(
    delete,
    path = "/v1/queues/{table}/{key}/{number}",
    tag = "queues",
    description = "A holder it happens to has lost its lock, and may go on unaware: what it \
        writes is never seen.",
    params(
        RecordPath,
        ("number" = u64, Path, description = "The ticket's number."),
    ),
    responses(
        (status = NO_CONTENT, description = "It was there, and was removed."),
        (
            status = NOT_FOUND,
            body = Problem,
            content_type = "application/problem+json",
            description = "It was not there.",
        ),
        Problems,
    )
)]
pub(crate) async fn force_ticket(
    State(app): State<Arc<App>>,
    at: TicketAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    if !app.node.force_ticket(&at.id, at.number).await? {
        return Err(Failure::new(
            Code::NoSuchTicket,
            "The ticket is not in the queue (any more): see GET /v1/queues/{table}/{key}.",
        ));
    }
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use music_core::id::{Moves, RequestId, SessionId};
    use music_core::lock_queue::{Command, Mode, NewTicket};
    use music_core::time::Lease;

    use super::*;

    #[test]
    fn a_long_queue_is_read_page_by_page() {
        let mut queue = LockQueue::default();
        for number in 1..=5 {
            let (owner, request) = (SessionId(1), RequestId(number));
            let lease = Lease::new(Duration::from_secs(1)).unwrap();
            queue.apply(Command::Enqueue(NewTicket {
                owner,
                mode: Mode::Exclusive,
                lease,
                request,
                moves: Moves::default(),
            }));
        }
        let (mut after, mut numbers) = (LockRef::NONE, Vec::new());
        loop {
            let page = page((&queue, 0), after, 2);
            assert_eq!(page.length, 5);
            numbers.extend(
                page.tickets
                    .iter()
                    .map(|ticket| (ticket.number, ticket.holds)),
            );
            let Some(cursor) = page.cursor else { break };
            after = LockRef::new(cursor.parse().unwrap()).unwrap();
        }
        let expected = [(1, true), (2, false), (3, false), (4, false), (5, false)];
        assert_eq!(numbers, expected);
    }
}
