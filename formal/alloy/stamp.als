/*
 * Stamps: lockRef, incarnation, tick, compared in this order.
 *
 * A later section's stamp is higher whatever its ticks, so what a preempted
 * holder still has on its way loses, whenever it lands. Bits and their limits
 * are left out: see crates/music-core/src/stamp.rs.
 *
 * Commands named `x_breaks_y` break rule x and expect a counterexample to y;
 * the other checks expect none. `cargo xtask verify` runs them all.
 */
module stamp

open util/ordering[LockRef] as lock_refs
open util/ordering[Incarnation] as incarnations
open util/ordering[Tick] as ticks

sig LockRef, Incarnation, Tick {}

/* The rules that a command may break, here and in modules that open this. */
abstract sig Rule {}
one sig TickBeforeLockRef extends Rule {}
one sig Broken { rules: set Rule }

pred intact { no Broken.rules }
pred broken[rule: Rule] { Broken.rules = rule }

sig Stamp { lock_ref: LockRef, incarnation: Incarnation, tick: Tick }

fact stamps_are_their_parts {
  all s, t: Stamp | s.lock_ref = t.lock_ref and s.incarnation = t.incarnation
    and s.tick = t.tick implies s = t
}

/* The order of stamps: lockRef, then incarnation, then tick. */
pred older[s, t: Stamp] {
  TickBeforeLockRef in Broken.rules
    implies (lt[s.tick, t.tick] or (s.tick = t.tick and earlier_section[s, t]))
    else (earlier_section[s, t] or (same_section[s, t] and lt[s.tick, t.tick]))
}

pred earlier_section[s, t: Stamp] {
  lt[s.lock_ref, t.lock_ref] or
  (s.lock_ref = t.lock_ref and lt[s.incarnation, t.incarnation])
}

pred earlier_tick[s, t: Stamp] { lt[s.tick, t.tick] }

pred same_section[s, t: Stamp] {
  s.lock_ref = t.lock_ref and s.incarnation = t.incarnation
}

pred order_is_total {
  all disj s, t: Stamp | older[s, t] or older[t, s]
  no s, t: Stamp | older[s, t] and older[t, s]
  all s, t, u: Stamp | older[s, t] and older[t, u] implies older[s, u]
}

/* A later section's stamp is higher, whatever the ticks. */
pred order_is_lexicographic {
  all s, t: Stamp | earlier_section[s, t] implies older[s, t]
}

check stamps_are_totally_ordered { intact implies order_is_total } for 3 expect 0
check a_later_section_wins { intact implies order_is_lexicographic } for 4 but 2 Stamp expect 0
check tick_before_lock_ref_breaks_a_later_section_wins {
  broken[TickBeforeLockRef] implies order_is_lexicographic } for 4 but 2 Stamp expect 1
