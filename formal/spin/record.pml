/*
 * The replicated record, as sets of writes.
 *
 * A replica's record is a function of which writes have reached it, in any
 * order: the highest stamp wins. So a replica is kept as that set, and a
 * reader as the set of all that it has seen. Replicas are alike, so they are
 * kept in the order of their sets: one state stands for all six namings.
 *
 * Write w of holding h: h's tries to synchronise come first, then its puts.
 * Higher numbers are later, by lockRef, then incarnation, then tick.
 */

#define SLOTS        (TRIES + PUTS)
#define WRITES       (HOLDINGS * SLOTS)
#define WRITER(w)    ((w) / SLOTS)
#define IS_TRY(w)    ((w) % SLOTS < TRIES)
#define TRY(h, n)    ((h) * SLOTS + (n))
#define PUT(h, n)    ((h) * SLOTS + TRIES + (n))

/* The order of stamps. A synchronisation takes two ticks. */
#ifdef BREAK_TICK_BEFORE_LOCK_REF
#define ORDER(w) ((w) % SLOTS * HOLDINGS + WRITER(w))
#elif defined(BREAK_RETRY_KEEPS_STAMPS)
#define ORDER(w) (IS_TRY(w) -> TRY(WRITER(w), 0) : (w))
#else
#define ORDER(w) (w)
#endif
#ifdef BREAK_NO_DELETION
#define DELETION(w) 0
#else
#define DELETION(w) (2 * ORDER(w) + 1)
#endif
#define STAMP(w) (2 * ORDER(w) + 2)

/* A value is known by the put that it comes from: PUT + 1; 0 is "absent". */
#define VALUE_OF(w)  ((w) + 1)
#define HOLDING_OF(v) (((v) - 1) / SLOTS)

int  replica[REPLICAS];  /* bit w: write w is there; bit READ(h): h reads it */
int  sent;               /* bit w: write w is on its way, or there */
byte value_a[WRITES];    /* what write w says of field a; 0: nothing */
byte value_b[WRITES];

#define READ(h) (24 + (h))
#define ALL     (1 << 24)  /* above the bits of writes */
#define COPIES(w) (HAS(replica[0], w) + HAS(replica[1], w) + HAS(replica[2], w))
#define AT_MAJORITY(w) (COPIES(w) >= 2)

hidden byte target;  /* the replica of a step */
hidden byte n, deletion, best_a, best_b, shown_a, shown_b;
hidden int  swap;

/* Last writer wins; of equal stamps, the larger value. */
#define WINS(value, best, shown) \
    (value > 0 && (STAMP(n) > best || (STAMP(n) == best && value > shown)))

/* What a copy that has these writes shows: shown_a and shown_b. */
inline look(set)
{
    deletion = 0;
    for (n : 0 .. WRITES - 1) {
        if
        :: HAS(set, n) && IS_TRY(n) -> deletion = MAX(deletion, DELETION(n))
        :: else
        fi
    }
    best_a = deletion; best_b = deletion;
    shown_a = 0; shown_b = 0;
    for (n : 0 .. WRITES - 1) {
        if
        :: HAS(set, n) && WINS(value_a[n], best_a, shown_a) ->
            best_a = STAMP(n); shown_a = value_a[n]
        :: else
        fi;
        if
        :: HAS(set, n) && WINS(value_b[n], best_b, shown_b) ->
            best_b = STAMP(n); shown_b = value_b[n]
        :: else
        fi
    }
    n = 0
}

inline exchange(j, k)
{
    if
    :: replica[j] > replica[k] ->
        swap = replica[j];
        replica[j] = replica[k];
        replica[k] = swap
    :: else
    fi
}

inline order_replicas()
{
    exchange(0, 1);
    exchange(1, 2);
    exchange(0, 1)
}
