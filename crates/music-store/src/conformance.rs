//! What every engine must promise, as tests.
//!
//! Each function checks one sentence of PROTOCOL.md or of the ports; its
//! comment names it. An engine implements [`Harness`] and runs them all by
//! [`conformance_tests!`](crate::conformance_tests). What a harness cannot do,
//! such as cutting a site off, makes the tests that need it pass at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "these are tests, compiled for engines of other crates too"
)]

pub mod bounds;
pub mod halves;
pub mod locks;
pub mod partitions;
pub mod peeks;
pub mod races;
pub mod restarts;
pub mod state;
pub mod tables;
pub mod tombstones;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use music_core::id::{Field, Key, Moves, RecordId, RequestId, SessionId, TableId};
use music_core::lock_queue::{Command, LockQueue, Mode, NewTicket, Outcome};
use music_core::lock_ref::{Holding, LockRef};
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_core::time::{Lease, WallTime};

use crate::table::SYSTEM_TABLE;
use crate::{Applied, LockStore, StateStore, error};

/// How many steps of a call are told apart before time is.
const STEPS: u32 = 16;

/// A deployment of three or more sites, fresh for one test.
pub trait Harness: Send + Sync {
    /// A site's view: both ports.
    type Store: StateStore + LockStore;

    /// The sites' views.
    fn sites(&self) -> Vec<Self::Store>;

    /// Waits until all replicas that hear each other have heard all.
    fn settled(&self) -> impl Future<Output = ()> + Send;

    /// Cuts a site off from all others, or connects it again. Returns whether
    /// the harness can do that.
    fn set_isolated(&self, _site: usize, _isolated: bool) -> bool {
        false
    }

    /// Whether the engine tells of records that change at its replica.
    fn tells_of_changes(&self) -> bool {
        true
    }

    /// Skips all lockRefs of a key up to this one. Returns whether the
    /// harness can do that.
    fn advance(&self, _id: &RecordId, _lock_ref: LockRef) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }

    /// Ends what serves a site, as a crash would, and starts it again with
    /// what is on its disk. Returns whether the harness can do that.
    fn restart(&self, _site: usize) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }

    /// How many waiters one key gets in the test that queues many: fewer
    /// where an engine takes its time on purpose.
    fn waiters(&self) -> usize {
        10_000
    }
}

/// Runs the whole suite; `$open` is a future that makes a fresh [`Harness`].
///
/// ```text
/// music_store::conformance_tests!(async { MyHarness::open() });
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($open:expr) => {
        $crate::conformance_tests! { @list $open;
            state::a_majority_write_is_read_by_a_majority_at_every_site
            state::a_local_write_reaches_every_site
            state::the_highest_stamp_wins_wherever_and_whenever_it_lands
            state::equal_stamps_end_with_the_larger_value_at_every_site
            state::the_fields_of_one_write_are_seen_together
            state::a_deletion_covers_older_puts_that_land_later
            state::a_deleted_field_stays_deleted_and_others_stay
            state::keys_may_hold_every_byte
            state::a_scan_keeps_to_order_prefix_start_and_limit
            state::a_scan_leaves_out_what_does_not_exist
            state::a_value_of_a_mebibyte_comes_back
            state::listeners_hear_of_a_change_at_their_replica
            state::the_system_table_is_always_there
            tables::a_table_keeps_the_mode_it_was_created_with
            tables::every_site_knows_the_tables
            tables::a_dropped_table_is_gone_and_can_be_dropped_once
            tables::a_table_created_again_does_not_show_old_values
            tables::an_old_write_that_lands_late_does_not_show_in_a_table_created_again
            locks::an_enqueue_is_idempotent_by_its_request
            locks::concurrent_enqueues_from_all_sites_get_distinct_dense_numbers
            locks::an_answer_carries_the_queue_that_the_command_left
            locks::a_release_is_seen_by_every_later_peek_and_command
            locks::a_late_release_of_an_earlier_incarnation_ends_nothing
            locks::of_racing_commands_that_end_a_ticket_one_does
            locks::an_adopted_ticket_is_confirmed_by_its_adopter_only
            locks::synced_counts_only_while_its_ticket_is_there
            locks::a_call_given_up_has_happened_by_the_next_answer_or_never
            locks::queues_of_different_keys_and_tables_are_different
            locks::lock_refs_go_past_31_bits
            locks::hints_arrive_at_every_site_that_watches
            locks::queues_survive_their_table
            partitions::a_minority_answers_unavailable_and_a_majority_goes_on
            partitions::local_operations_go_on_at_a_site_that_is_cut_off
            partitions::after_healing_all_replicas_agree
            partitions::what_a_majority_read_returned_is_at_a_majority
            partitions::a_get_that_saw_one_field_repairs_those_put_together
            partitions::a_release_that_one_peek_saw_is_seen_without_its_witness
            partitions::no_ticket_is_an_orphan_after_a_lost_answer
            peeks::what_was_answered_at_one_site_is_seen_at_every_other
            peeks::no_peek_goes_back_while_all_sites_write
            races::an_enqueue_given_up_left_one_ticket_or_none
            races::of_a_forced_release_an_adoption_and_a_confirmed_release_one_counts
            races::a_forced_release_ends_the_ticket_before_or_after_an_adoption
            races::a_release_that_races_brings_no_ticket_back
            tombstones::a_gone_ticket_stays_gone
            tombstones::an_attempt_of_an_older_ballot_brings_no_ticket_back
            tombstones::a_deletion_covers_what_one_replica_kept
            bounds::every_name_that_a_key_may_have_has_a_queue_of_its_own
            bounds::sections_past_32_bits_are_as_any_other
            bounds::many_waiters_keep_their_order_and_leave
            restarts::acknowledged_commands_survive_a_restart_under_load
            restarts::acknowledged_writes_survive_a_restart_under_load
        }
    };
    (@list $open:expr; $($module:ident :: $test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let harness = $open.await;
                let test = $crate::conformance::$module::$test(&harness);
                // Enough for a busy machine; only a test that hangs needs more.
                let patience = std::time::Duration::from_mins(5);
                tokio::time::timeout(patience, test).await.expect("the test hangs");
            }
        )*
    };
}

/// A record's id from a readable key.
pub(crate) fn id(table: TableId, key: impl Into<Bytes>) -> RecordId {
    RecordId {
        table,
        key: Key::new(key.into()).unwrap(),
    }
}

pub(crate) fn field(name: &str) -> Field {
    Field::new(name).unwrap()
}

pub(crate) fn at(time: u64) -> Stamp {
    Stamp::eventual(WallTime(time))
}

/// A put of the default field.
pub(crate) fn put(time: u64, value: impl Into<Bytes>) -> Record {
    Record::write(at(time), [(Field::DEFAULT, Some(value.into()))])
}

/// The default field's value as text; empty where there is none.
pub(crate) fn text(record: &Record) -> String {
    let value = record.value(&Field::DEFAULT).map(|value| value.to_vec());
    String::from_utf8(value.unwrap_or_default()).unwrap()
}

pub(crate) fn new_ticket(request: u128) -> NewTicket {
    let (owner, request) = (SessionId(request), RequestId(request));
    NewTicket {
        owner,
        mode: Mode::Exclusive,
        lease: Lease::MAX,
        request,
        moves: Moves::default(),
    }
}

pub(crate) fn enqueue(request: u128) -> Command {
    Command::Enqueue(new_ticket(request))
}

/// Enqueues and returns the ticket.
pub(crate) async fn ticket(store: &impl LockStore, id: &RecordId, request: u128) -> Holding {
    match store.apply(id, enqueue(request)).await.unwrap().outcome {
        Outcome::Done(holding) => holding,
        outcome => panic!("{outcome:?}"),
    }
}

/// A key of the system table.
pub(crate) fn key(name: impl Into<Bytes>) -> RecordId {
    id(SYSTEM_TABLE, name)
}

/// Takes a ticket over for another session.
pub(crate) fn adopt(holding: Holding) -> Command {
    Command::Adopt {
        holding,
        owner: SessionId(77),
        lease: Lease::MIN,
        moves: Moves::default(),
    }
}

/// Removes a ticket, whoever owns it.
pub(crate) fn force(lock_ref: LockRef) -> Command {
    Command::Force {
        lock_ref,
        owner: None,
    }
}

/// Performs a command; again where it had no effect. `None` where nobody can
/// tell whether it had.
pub(crate) async fn attempt(
    store: &impl LockStore,
    id: &RecordId,
    command: Command,
) -> Option<Applied> {
    loop {
        match store.apply(id, command).await {
            Ok(applied) => return Some(applied),
            Err(error) if error.outcome() == error::Outcome::Unknown => return None,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Performs a command that may be performed twice, until it is known what the
/// last time did.
pub(crate) async fn until_known(
    store: &impl LockStore,
    id: &RecordId,
    command: Command,
) -> Applied {
    loop {
        if let Some(applied) = attempt(store, id, command).await {
            return applied;
        }
    }
}

/// Enqueues, again and again until there is a ticket.
pub(crate) async fn ticket_at_last(
    store: &impl LockStore,
    id: &RecordId,
    request: u128,
) -> Holding {
    match until_known(store, id, enqueue(request)).await.outcome {
        Outcome::Done(holding) => holding,
        outcome => panic!("{outcome:?}"),
    }
}

/// Reads a queue, again and again until there is an answer.
pub(crate) async fn look(store: &impl LockStore, id: &RecordId) -> Arc<LockQueue> {
    loop {
        match store.peek(id).await {
            Ok(queue) => return queue,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Ends a ticket by a release, again and again until a majority was told.
pub(crate) async fn release_at_last(store: &impl LockStore, id: &RecordId, holding: Holding) {
    while let Err(error) = store.release(id, holding).await {
        assert!(error.is_retryable(), "{error}");
        tokio::task::yield_now().await;
    }
}

/// Begins a call and gives it up: after so many of its steps, the first
/// [`STEPS`] times, then after so many milliseconds.
pub(crate) async fn give_up_at<T>(moment: u32, call: impl Future<Output = T>) {
    tokio::pin!(call);
    for _ in 0..moment.min(STEPS) {
        tokio::select! {
            biased;
            _ = &mut call => return,
            () = tokio::task::yield_now() => {}
        }
    }
    if let Some(millis) = moment.checked_sub(STEPS) {
        let time = Duration::from_millis(millis.into());
        // Either way it is over.
        let _answer = tokio::time::timeout(time, call).await;
    }
}

/// A table for a test.
pub(crate) async fn table(store: &impl StateStore, mode: crate::TableMode) -> TableId {
    let name = crate::TableName::new("conformance").unwrap();
    store.create_table(&name, mode).await.unwrap().id
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// A test that nobody runs cannot fail.
    #[test]
    fn every_test_of_the_suite_is_listed() {
        let list = include_str!("conformance.rs");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/conformance");
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let module = path.file_stem().unwrap().to_str().unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("\npub async fn ").skip(1);
            for function in functions {
                let name = function.split_once('<').unwrap().0;
                let listed = format!(" {module}::{name}\n");
                assert!(list.contains(&listed), "not listed:{listed}");
            }
        }
    }
}
