/*
 * MUSIC in Promela: one key, its lock queue, its stamps, and how a later
 * holder synchronises what an earlier one left behind.
 *
 * What is modelled
 *   three replicas of a record with two fields; every write to them, each
 *   message of which may arrive at any time, or never; the lock queue with
 *   its forced releases, which may come at any time (a suspicion may be
 *   false, so the holder may go on); adoption by another node; time-outs of a
 *   synchronisation; clean and confirmed releases; gets that read one replica
 *   after the other and repair.
 *
 * What is left out
 *   key sets, shared tickets, site affinity, clocks. The lock queue is one
 *   object and each operation on it one step: it stands for the linearizable
 *   lock store, not for how a store comes to be linearizable. A write of two
 *   fields arrives whole or not at all.
 *
 * The lease is an assumption, as in the protocol: a put counts as acknowledged
 * if its ticket was still in the queue, in the incarnation that wrote, when
 * the second of three replicas took it in. That is what leases and clock rates
 * give, and nothing else here rests on them.
 *
 * Where each rule of the protocol is
 *   stamps, deletion, last writer wins ......... record.pml
 *   enqueue, force, adopt, flag ................ lock_queue.pml
 *   guarantees 1 to 4 as assertions ............ guarantees.pml
 *   acquire, synchronise, put, get, release .... section.pml
 *   late messages, false suspicion, liveness ... this file
 *
 * Bounds are macros, set by `cargo xtask verify`: see docs/evidence/formal.md.
 * A rule that is broken on purpose is a macro `BREAK_...`.
 */

#ifndef LOCK_REFS
#define LOCK_REFS 2  /* lockRefs 1 to LOCK_REFS */
#endif
#ifndef ADOPTED
#define ADOPTED   1  /* the first so many of them may be adopted, once */
#endif
#ifndef TRIES
#define TRIES     2  /* synchronising writes of a holding */
#endif
#ifndef PUTS
#define PUTS      1  /* puts of a holding, not waiting for each other */
#endif
#ifndef GETS
#define GETS      0  /* gets of a holding */
#endif
#ifndef FIELDS
#define FIELDS    2  /* 1: every put writes field a; 2: a, b or both */
#endif

#if LOCK_REFS > 3 || TRIES > 2 || PUTS > 2
#error "the model counts no further than 3 lockRefs, 2 tries and 2 puts"
#endif

#define REPLICAS 3

/*
 * A holding is a lockRef with an incarnation, (r, i). Numbers keep the order:
 * with one adoption (1,0) (1,1) (2,0) (3,0) are holdings 0, 1, 2, 3.
 */
#define HOLDINGS       (LOCK_REFS + ADOPTED)
#define LOCK_REF(h)    ((h) < 2 * ADOPTED -> (h) / 2 + 1 : (h) - ADOPTED + 1)
#define INCARNATION(h) ((h) < 2 * ADOPTED -> (h) % 2 : 0)

#define HAS(set, n) ((set) >> (n) & 1)
#define MAX(x, y)   ((x) > (y) -> (x) : (y))

#include "lock_queue.pml"
#include "record.pml"
#include "guarantees.pml"
#include "section.pml"

/* Every message arrives at some time, or never: whatever its writer does. */
#define MAY_REACH(w, k) (w < WRITES && HAS(sent, w) && !HAS(replica[k], w))
/* Of replicas that are alike one is enough. */
#define TO_EACH(w) \
    :: MAY_REACH(w, 0) -> message = w; target = 0 \
    :: MAY_REACH(w, 1) && replica[1] != replica[0] -> message = w; target = 1 \
    :: MAY_REACH(w, 2) && replica[2] != replica[1] -> message = w; target = 2

hidden byte message;

active proctype Network()
{
    do
    :: atomic {
        if
        TO_EACH(0)  TO_EACH(1)  TO_EACH(2)  TO_EACH(3)  TO_EACH(4)  TO_EACH(5)
        TO_EACH(6)  TO_EACH(7)  TO_EACH(8)  TO_EACH(9)  TO_EACH(10) TO_EACH(11)
        TO_EACH(12) TO_EACH(13) TO_EACH(14) TO_EACH(15) TO_EACH(16) TO_EACH(17)
        TO_EACH(18) TO_EACH(19) TO_EACH(20) TO_EACH(21) TO_EACH(22) TO_EACH(23)
        fi;
        d_step {
            printf("write %d reaches a replica\n", message);
            take_in(target, 1 << message);
            order_replicas();
            check_reads()
        }
       }
    od
}

/* A ticket is forced out: rightly, or because its owner was slow. */
active proctype Suspicion()
{
    do
    :: d_step { MAY_FORCE(1) -> force(1) }
    :: d_step { LOCK_REFS >= 2 && MAY_FORCE(2) -> force(2) }
    :: d_step { LOCK_REFS >= 3 && MAY_FORCE(3) -> force(3) }
    od
}

#ifdef LIVENESS
/* One node, at some time, is not heard any more. */
active proctype Silence()
{
    if
    :: silent = 1
    :: HOLDINGS > 1 -> silent = 2
    :: HOLDINGS > 2 -> silent = 4
    :: HOLDINGS > 3 -> silent = 8
    fi
}

/* Guarantee 6: who is in the queue is granted, or its ticket goes. */
#define SERVED(r) (HAS(granted, r) || !THERE(r))
#define IS_SERVED(r) [] (last >= r -> <> SERVED(r))
#if LOCK_REFS > 2
ltl liveness { (IS_SERVED(1)) && (IS_SERVED(2)) && (IS_SERVED(3)) }
#else
ltl liveness { (IS_SERVED(1)) && (IS_SERVED(2)) }
#endif
#endif

init
{
    byte h;
    atomic {
        for (h : 0 .. HOLDINGS - 1) {
            run Section(h)
        }
    }
}
