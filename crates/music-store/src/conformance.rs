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

pub mod halves;
pub mod locks;
pub mod partitions;
pub mod state;
pub mod tables;

use bytes::Bytes;
use music_core::id::{Field, Key, Moves, RecordId, RequestId, SessionId, TableId};
use music_core::lock_queue::{Command, Mode, NewTicket, Outcome};
use music_core::lock_ref::{Holding, LockRef};
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_core::time::{Lease, WallTime};

use crate::{LockStore, StateStore};

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

    /// Whether the engine tells of changes: hints and changed records. One
    /// that has no watches stays silent.
    fn gives_hints(&self) -> bool {
        true
    }

    /// Skips all lockRefs of a key up to this one. Returns whether the
    /// harness can do that.
    fn advance(&self, _id: &RecordId, _lock_ref: LockRef) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
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
        }
    };
    (@list $open:expr; $($module:ident :: $test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let harness = $open.await;
                let test = $crate::conformance::$module::$test(&harness);
                let patience = std::time::Duration::from_mins(2);
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

/// A table for a test.
pub(crate) async fn table(store: &impl StateStore, mode: crate::TableMode) -> TableId {
    let name = crate::TableName::new("conformance").unwrap();
    store.create_table(&name, mode).await.unwrap().id
}
