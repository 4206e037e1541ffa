/*
 * Stamps, replicas and majorities: why a synchronisation settles a key.
 *
 * What is modelled
 *   Writes of one record, any number
 *   of fields, deletions of the whole record; replicas as the sets of writes
 *   that have reached them, at two moments: when a majority is read, and later.
 *   A holder synchronises in up to two tries, the first of which timed out.
 *   Any older write may reach any replica between the two moments.
 *
 * What is left out
 *   Who may synchronise when: that is lock_queue.als. Steps in between: that
 *   is formal/spin. Here any number of late writes land at once.
 *
 * Where each rule of the protocol is
 *   the order of stamps ............. stamp.als
 *   last writer wins, deletion ...... winner
 *   synchronise ..................... fact synchronisation
 *   critical get that repairs ....... sig Get
 *
 * Commands named `x_breaks_y` break rule x and expect a counterexample to y;
 * the other checks expect none. `cargo xtask verify` runs them all.
 */
module record

open stamp

sig Field, Value {}

/* The rules that a command may break. */
one sig NoDeletion, RetryKeepsStamps, WriteAtOneReplica, ReadOfOneReplica,
        GetWithoutRepair extends Rule {}

/* A deletion of the whole record, or a value of one field. */
abstract sig Write { stamp: Stamp }
sig Deletion extends Write {}
sig Cell extends Write { field: Field, value: Value }

/* The cells that win in a copy that has these writes. */
fun winner[writes: set Write, f: Field]: set Cell {
  { c: writes & Cell | c.field = f
    and (all d: writes & Deletion | older[d.stamp, c.stamp])
    and (no other: writes & Cell | other.field = f and older[c.stamp, other.stamp]) }
}

fun shown[writes: set Write, f: Field]: set Value { winner[writes, f].value }

/* What has reached a replica when a majority is read, and later. */
sig Replica { early, late: set Write }

fact replicas_forget_nothing { all r: Replica | r.early in r.late }

pred majority[replicas: set Replica] { #replicas > #(Replica - replicas) }

/* An attempt of the holder to synchronise: what it writes. */
abstract sig Try { deletion: lone Deletion, cells: set Cell }
one sig First extends Try {}
one sig Last extends Try { asked: set Replica }

fun written[t: Try]: set Write { t.deletion + t.cells }
fun of_tries: set Write { written[First] + written[Last] }

/* What the last try read; some of the first one may have been there. */
fun seen: set Write { Last.asked.early }

/* A majority read, then a deletion and the fields as they were read. The first
 * try read at another moment: it may have found and written anything. */
fact synchronisation {
  ReadOfOneReplica in Broken.rules implies one Last.asked else majority[Last.asked]
  no written[Last] & Replica.early
  all f: Field, v: Value | v in shown[seen, f] iff some c: Last.cells | c.field = f and c.value = v
  all t: Try {
    NoDeletion in Broken.rules implies no t.deletion else one t.deletion
    all disj c, d: t.cells | c.field != d.field
    all c, d: t.cells | c.stamp = d.stamp
    all c: t.cells, d: t.deletion | same_section[d.stamp, c.stamp] and earlier_tick[d.stamp, c.stamp]
  }
}

/* A try that follows another takes new ticks. */
fact tries_take_new_ticks {
  no written[First] & written[Last]
  all v: written[First], w: written[Last] {
    same_section[v.stamp, w.stamp]
    RetryKeepsStamps in Broken.rules
      implies ((v in Deletion iff w in Deletion) implies v.stamp = w.stamp)
      else earlier_tick[v.stamp, w.stamp]
  }
}

/* Whatever else there is was written in an earlier section. */
fact other_writes_are_older {
  all w: Write - of_tries, v: of_tries | earlier_section[w.stamp, v.stamp]
}

/* Each write has a stamp of its own, but fields put together share one. */
fact writes_have_stamps_of_their_own {
  all disj w, v: Write - of_tries | w.stamp = v.stamp implies
    w in Cell and v in Cell and w.field != v.field
  all w: Write - of_tries, v: of_tries | w.stamp != v.stamp
}

/* The last try is acknowledged. */
pred acknowledged[t: Try] {
  let there = { r: Replica | written[t] in r.late } |
    WriteAtOneReplica in Broken.rules implies some there else majority[there]
}

/* A critical get: what it saw is at a majority older it answers. */
one sig Get { from, repaired: set Replica }

fact get_repairs {
  majority[Get.from]
  majority[Get.repaired]
  GetWithoutRepair not in Broken.rules implies
    all r: Get.repaired | Get.from.early in r.late
}

/* ---- What must hold ---- */

pred majorities_intersect {
  all p, q: set Replica | majority[p] and majority[q] implies some p & q
}

/* Whatever lands late, a majority shows what the last try read: all of it, and
 * nothing where there was nothing. */
pred synchronisation_settles {
  acknowledged[Last] implies all q: set Replica, f: Field | majority[q] implies
    shown[q.late, f] = shown[seen, f]
}

/* A put that a majority had when the holder read, at its only try, is not lost. */
pred acknowledged_put_survives {
  (acknowledged[Last] and no written[First] & Replica.late) implies all c: Cell - of_tries |
    (majority[{ r: Replica | c in r.early }] and
     no d: Deletion - of_tries | older[c.stamp, d.stamp]) implies
      all q: set Replica | majority[q] implies
        some v: Cell - of_tries | v.field = c.field and not older[v.stamp, c.stamp]
          and shown[q.late, c.field] = v.value
}

/* What one get has answered, the next one finds, or something later. */
pred get_never_goes_back {
  all q: set Replica | majority[q] implies Get.from.early in q.late
}

/* ---- Commands ---- */

run a_history_exists {
  intact and acknowledged[Last] and some Cell - of_tries and some First.cells
  and some f: Field | no shown[seen, f] and some c: Replica.late & Cell | c.field = f
} for 5 but exactly 3 Replica, 9 Stamp, 9 Write expect 1

check two_majorities_intersect { majorities_intersect } for 3 but 7 Replica, 5 Int expect 0
check a_synchronisation_settles_the_key { intact implies synchronisation_settles }
  for 4 but exactly 3 Replica, 2 Field, 8 Stamp, 8 Write expect 0
check of_five_replicas_too { intact implies synchronisation_settles }
  for 3 but exactly 5 Replica, 2 Field, 7 Stamp, 7 Write expect 0
check an_acknowledged_put_survives { intact implies acknowledged_put_survives }
  for 3 but exactly 3 Replica, 2 Field, 7 Stamp, 7 Write expect 0
check a_get_never_goes_back { intact implies get_never_goes_back }
  for 4 but exactly 5 Replica, 6 Stamp, 6 Write expect 0

check tick_before_lock_ref_breaks_synchronisation {
  broken[TickBeforeLockRef] implies synchronisation_settles }
  for 4 but exactly 3 Replica, 7 Stamp, 7 Write expect 1
check no_deletion_breaks_synchronisation {
  broken[NoDeletion] implies synchronisation_settles }
  for 4 but exactly 3 Replica, 7 Stamp, 7 Write expect 1
check retry_keeps_stamps_breaks_synchronisation {
  broken[RetryKeepsStamps] implies synchronisation_settles }
  for 4 but exactly 3 Replica, 7 Stamp, 7 Write expect 1
check write_at_one_replica_breaks_synchronisation {
  broken[WriteAtOneReplica] implies synchronisation_settles }
  for 4 but exactly 3 Replica, 7 Stamp, 7 Write expect 1
check read_of_one_replica_breaks_acknowledged_put {
  broken[ReadOfOneReplica] implies acknowledged_put_survives }
  for 4 but exactly 3 Replica, 7 Stamp, 7 Write expect 1
check get_without_repair_breaks_never_going_back {
  broken[GetWithoutRepair] implies get_never_goes_back }
  for 4 but exactly 3 Replica, 7 Stamp, 7 Write expect 1
