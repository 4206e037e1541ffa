/*
 * The lock queue of one key, with exclusive and shared tickets, and the
 * synchronization flag.
 *
 * What is modelled
 *   Every operation of the queue as one step, in any order; forced releases
 *   at any time; adoption of a holder; a synchronisation as its begin and its
 *   `synced`. What a write does to the replicas is record.als: here a
 *   synchronisation of a higher lockRef settles whatever lower ones may still
 *   have on their way.
 *
 * What is left out
 *   Replicas and values; incarnations, but for what an adopter must do: both
 *   are in formal/spin. Key sets; how a store comes to be linearizable.
 *
 * Where each rule of the protocol is
 *   gone, head ..................... there, at_head
 *   synchronization flag ........... flag
 *   lock operations ................ enqueue, release, withdraw, force, adopt
 *   acquire, synchronise, synced ... grant, begin, finish
 *
 * Bounds: three or four lockRefs, histories of eight to eleven steps (and, if
 * a history loops, of any length).
 *
 * Commands named `x_breaks_y` break rule x and expect a counterexample to y;
 * the other checks expect none. `cargo xtask verify` runs them all.
 */
module lock_queue

open util/ordering[Ticket] as lock_refs

/* The order of tickets is that of their lockRefs. */
sig Ticket {}
sig Shared in Ticket {}
fun Exclusive: set Ticket { Ticket - Shared }

abstract sig Rule {}
one sig PeekAtOneReplica, ForceSetsNoFlag, FusedGrantIgnoresFlag, AnySharedSynchronises,
        SyncedByFormerOwner, AdopterDoesNotSynchronise, FlagComparesHead extends Rule {}
one sig Broken { rules: set Rule }

pred intact { no Broken.rules }
pred broken[rule: Rule] { Broken.rules = rule }

/* The lock record of the key. */
one sig Queue {
  var issued: lone Ticket,
  var tickets: set Ticket,
  var released: lone Ticket,
  var forced: lone Ticket,
  var synced: lone Ticket
}

/* Who was granted, and who has a synchronising write under way. */
var sig Granted, Synchronising in Ticket {}

/* For the guarantees only. Whose writes, if they land late, could change what
 * later holders read; and who of them was removed with no settlement since. */
var sig Writer, Unsettled in Ticket {}

fun there: set Ticket { Queue.tickets - Queue.released - prevs[Queue.released] }

fun first_there: set Ticket { { t: there | no there & prevs[t] } }

pred at_head[t: Ticket] {
  t in there
  no there & prevs[t] or (t in Shared and there & prevs[t] in Shared)
}

/* The synchronization flag. */
pred flag {
  some Queue.forced
  no Queue.synced or Queue.forced in Queue.synced.*next
  FlagComparesHead in Broken.rules implies head_is_above_synced else no Queue.synced & there
}

/* The weaker test, in place of "ticket `synced` is not in the queue". */
pred head_is_above_synced {
  no Queue.synced or no first_there or first_there in nexts[Queue.synced]
}

/* What a peek of t's node says. */
pred sees_itself_at_head[t: Ticket] {
  t in there
  PeekAtOneReplica in Broken.rules or at_head[t]
}

fun higher[t, u: Ticket]: set Ticket { { x: t + u | no (t + u) & nexts[x] } }

/* ---- What does not change in a step ---- */

pred same_record { issued' = issued and tickets' = tickets and released' = released
                   and forced' = forced and synced' = synced }
pred same_holders { Granted' = Granted and Synchronising' = Synchronising and Writer' = Writer }
pred same_writes { Unsettled' = Unsettled }

/* ---- Steps ---- */

pred enqueue[t: Ticket] {
  t = (some Queue.issued implies next[Queue.issued] else lock_refs/first)
  issued' = Queue -> t
  tickets' = tickets + Queue -> t
  released' = released and forced' = forced and synced' = synced
  same_holders and same_writes
}

/* A clean release: only of an exclusive holder, none of whose writes is under way. */
pred release[t: Ticket] {
  t in Exclusive & Granted and at_head[t]
  released' = Queue -> higher[t, Queue.released]
  issued' = issued and tickets' = tickets and forced' = forced and synced' = synced
  same_holders and same_writes
}

/* A waiter or a shared holder that has no write under way. */
pred withdraw[t: Ticket] {
  t in there - Synchronising
  t in Granted implies t in Shared
  tickets' = tickets - Queue -> t
  issued' = issued and released' = released and forced' = forced and synced' = synced
  same_holders and same_writes
}

pred force[t: Ticket] {
  t in there
  tickets' = tickets - Queue -> t
  ForceSetsNoFlag in Broken.rules
    implies forced' = forced
    else forced' = Queue -> higher[t, Queue.forced]
  issued' = issued and released' = released and synced' = synced
  same_holders
  Unsettled' = Unsettled + (t & Writer)
}

/* Another node takes a held ticket over; it synchronises whatever the flag says. */
pred adopt[t: Ticket] {
  t in there & Granted
  same_record and Writer' = Writer
  AdopterDoesNotSynchronise in Broken.rules implies {
    Granted' = Granted and Synchronising' = Synchronising
    /* The former owner's writes may land at any time. */
    Unsettled' = Unsettled + (t & Exclusive)
  } else {
    Granted' = Granted - t and Synchronising' = Synchronising + t
    same_writes
  }
}

/* Granted without more: at the head, and the flag is unset. */
pred grant[t: Ticket] {
  t not in Granted + Synchronising
  sees_itself_at_head[t]
  FusedGrantIgnoresFlag in Broken.rules or not flag
  Granted' = Granted + t
  Synchronising' = Synchronising
  Writer' = Writer + (t & Exclusive)
  same_record and same_writes
}

/* The flag is set: the first ticket synchronises, others beside it wait. */
pred begin[t: Ticket] {
  t not in Granted + Synchronising
  sees_itself_at_head[t]
  AnySharedSynchronises in Broken.rules or t in first_there
  flag
  Synchronising' = Synchronising + t
  Granted' = Granted
  /* What it writes back may be a value that nobody has settled yet. */
  Writer' = Writer + (some Unsettled implies t else none)
  same_record and same_writes
}

/* The synchronising write is acknowledged, and `synced` finds the ticket there. */
pred finish[t: Ticket] {
  t in Synchronising & there
  synced' = Queue -> higher[t, Queue.synced]
  issued' = issued and tickets' = tickets and released' = released and forced' = forced
  Synchronising' = Synchronising - t
  Granted' = Granted + t
  /* A shared holder that synchronises again writes what is settled by now. */
  Writer' = Writer - t + (t & Exclusive)
  Unsettled' = Unsettled - prevs[t]
}

/* `synced` of the former owner, while the adopter synchronises: it is refused. */
pred finish_as_former_owner[t: Ticket] {
  SyncedByFormerOwner in Broken.rules
  t in Synchronising & there
  synced' = Queue -> higher[t, Queue.synced]
  issued' = issued and tickets' = tickets and released' = released and forced' = forced
  same_holders and same_writes
}

pred nothing { same_record and same_holders and same_writes }

fact histories {
  no issued and no tickets and no released and no forced and no synced
  no Granted and no Synchronising and no Writer and no Unsettled
  always (nothing or some t: Ticket |
    enqueue[t] or release[t] or withdraw[t] or force[t] or adopt[t] or
    grant[t] or begin[t] or finish[t] or finish_as_former_owner[t])
}

/* ---- What must hold ---- */

/* Guarantee 1: an exclusive ticket is alone at the head. */
pred head_is_unique {
  always all disj t, u: Ticket | at_head[t] and at_head[u] implies t + u in Shared
}

/* Guarantee 1, for those that were granted and are still in the queue. */
pred holders_exclude_each_other {
  always all disj t, u: Granted & there | t + u in Shared
}

/* Guarantees 2 and 4, as far as the queue goes: a grant finds the key settled,
 * and nobody beside it about to write what it has not seen. */
pred grants_find_the_key_settled {
  always all t: Ticket | t not in Granted and t in Granted' and t in there implies
    no Unsettled' and no Writer & Synchronising' & there - t
}

/* The rule behind it: while anything is unsettled the flag is set. */
pred unsettled_means_flag {
  always (some Unsettled implies flag)
}

/* Whether "the head is not above `synced`" would do. */
pred weaker_test_is_the_same {
  always (some Queue.synced implies (head_is_above_synced iff no Queue.synced & there))
}

/* ---- Commands ---- */

run a_key_is_settled_and_released {
  intact and eventually (some Unsettled and eventually (no Unsettled and some Queue.released))
} for 3 but 1..11 steps expect 1

check head_has_one_exclusive { intact implies head_is_unique } for 4 but 1..9 steps expect 0
check holders_are_alone { intact implies holders_exclude_each_other } for 3 but 1..9 steps expect 0
check a_grant_finds_the_key_settled { intact implies grants_find_the_key_settled }
  for 3 but 1..10 steps expect 0
check what_is_unsettled_sets_the_flag { intact implies unsettled_means_flag }
  for 3 but 1..10 steps expect 0

/* Without shared tickets the two tests of the flag are one; with them they differ. */
check the_weaker_test_is_the_same_for_exclusive_tickets {
  intact and no Shared implies weaker_test_is_the_same } for 3 but 1..10 steps expect 0
run the_tests_differ_with_shared_tickets {
  intact and not weaker_test_is_the_same } for 3 but 1..10 steps expect 1

/* Where they differ, nothing that is modelled here is lost by the weaker one. */
check the_weaker_test_would_do_here { broken[FlagComparesHead] implies grants_find_the_key_settled }
  for 4 but 1..10 steps expect 0

check peek_at_one_replica_breaks_holders_are_alone {
  broken[PeekAtOneReplica] implies holders_exclude_each_other } for 3 but 1..8 steps expect 1
check force_sets_no_flag_breaks_a_grant_finds_the_key_settled {
  broken[ForceSetsNoFlag] implies grants_find_the_key_settled } for 3 but 1..8 steps expect 1
check fused_grant_ignores_flag_breaks_a_grant_finds_the_key_settled {
  broken[FusedGrantIgnoresFlag] implies grants_find_the_key_settled } for 3 but 1..8 steps expect 1
check adopter_does_not_synchronise_breaks_what_is_unsettled_sets_the_flag {
  broken[AdopterDoesNotSynchronise] implies unsettled_means_flag } for 3 but 1..8 steps expect 1
check synced_by_former_owner_breaks_a_grant_finds_the_key_settled {
  broken[SyncedByFormerOwner] implies grants_find_the_key_settled } for 3 but 1..10 steps expect 1
check any_shared_synchronises_breaks_a_grant_finds_the_key_settled {
  broken[AnySharedSynchronises] implies grants_find_the_key_settled } for 3 but 1..10 steps expect 1
