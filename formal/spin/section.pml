/*
 * A node that keeps one section in one incarnation: (LOCK_REF(h),
 * INCARNATION(h)). It may stop at any step, and if it was forced or adopted
 * it goes on unaware.
 */

/* Holding h reads a replica that it has not read yet. */
#define CHOOSE_UNREAD(h) \
    if \
    :: !HAS(replica[0], READ(h)) -> target = 0 \
    :: !HAS(replica[1], READ(h)) && replica[1] != replica[0] -> target = 1 \
    :: !HAS(replica[2], READ(h)) && replica[2] != replica[1] -> target = 2 \
    fi

inline read_replica(h)
{
    printf("(%d,%d) reads a replica\n", LOCK_REF(h), INCARNATION(h));
    seen = seen | (replica[target] % ALL);
    replica[target] = replica[target] | 1 << READ(h);
    order_replicas()
}

inline end_read(h)
{
    replica[0] = replica[0] & ~(1 << READ(h));
    replica[1] = replica[1] & ~(1 << READ(h));
    replica[2] = replica[2] & ~(1 << READ(h));
    order_replicas()
}

/* A replica that holding h has read takes in all that the reader has seen. */
#define CHOOSE_READ(h) \
    if \
    :: HAS(replica[0], READ(h)) -> target = 0 \
    :: HAS(replica[1], READ(h)) -> target = 1 \
    :: HAS(replica[2], READ(h)) -> target = 2 \
    fi

inline repair(h)
{
    replica[target] = replica[target] & ~(1 << READ(h));
#ifndef BREAK_GET_WITHOUT_REPAIR
    take_in(target, seen);
#endif
    order_replicas();
    check_reads()
}

/* The synchronising write: a deletion, and the fields as they were read. */
inline send_try(h)
{
    look(seen);
    value_a[TRY(h, tries)] = shown_a;
    value_b[TRY(h, tries)] = shown_b;
    printf("(%d,%d) sends write %d: deletion, then a = %d, b = %d\n",
           LOCK_REF(h), INCARNATION(h), TRY(h, tries), shown_a, shown_b);
    sent = sent | 1 << TRY(h, tries);
    tries++;
    seen = 0
}

inline send_put(h, a, b)
{
    value_a[PUT(h, puts)] = (a -> VALUE_OF(PUT(h, puts)) : 0);
    value_b[PUT(h, puts)] = (b -> VALUE_OF(PUT(h, puts)) : 0);
    printf("(%d,%d) sends write %d: a = %d, b = %d\n", LOCK_REF(h), INCARNATION(h),
           PUT(h, puts), value_a[PUT(h, puts)], value_b[PUT(h, puts)]);
    sent = sent | 1 << PUT(h, puts);
    puts++
}

/* Every write that this holding sent is at a majority. */
#define SETTLED(w) (!HAS(sent, w) || AT_MAJORITY(w))
#define PUTS_SETTLED(h) (SETTLED(PUT(h, 0)) && SETTLED(PUT(h, PUTS - 1)))
#define TRIES_SETTLED(h) (SETTLED(TRY(h, 0)) && SETTLED(TRY(h, TRIES - 1)))
#ifdef BREAK_RELEASE_WITH_PUT_UNDER_WAY
#define CLEAN(h) TRIES_SETTLED(h)
#else
#define CLEAN(h) (TRIES_SETTLED(h) && PUTS_SETTLED(h))
#endif

/* A waiter leaves by withdrawal if nothing is under way, or else is forced; an
 * adopter that has not synchronised can only be forced. */
#ifdef BREAK_LEAVE_WITH_SYNC_UNDER_WAY
#define MAY_WITHDRAW true
#else
#define MAY_WITHDRAW (i == 0 && TRIES_SETTLED(h))
#endif

/* An adopter synchronises whether or not the flag is set. */
#ifdef BREAK_ADOPTION_WITHOUT_SYNC
#define MUST_SYNCHRONISE SEES_FLAG
#else
#define MUST_SYNCHRONISE (SEES_FLAG || i > 0)
#endif
#ifdef BREAK_FUSED_GRANT_IGNORES_FLAG
#define MAY_FUSE true
#else
#define MAY_FUSE !FLAG
#endif
#ifdef BREAK_SYNCED_BEFORE_ACKNOWLEDGED
#define SYNC_DONE true
#else
#define SYNC_DONE AT_MAJORITY(TRY(h, tries - 1))
#endif

#ifdef LIVENESS
#define STOP :: atomic { HAS(silent, h) -> goto done }
#else
#define STOP
#endif

proctype Section(byte h)
{
    byte r = LOCK_REF(h);
    byte i = INCARNATION(h);
    byte tries, puts, gets;  /* how many were sent */
    int seen;                /* what the read under way has found */
#if GETS > 0
    byte since, low_a, low_b, old_a, old_b;  /* the ghosts as a get began */
#endif

    if
    :: i == 0 ->
        atomic {
            last == r - 1 ->
            d_step { enqueue(r) };
            if
            :: HEAD == r && MAY_FUSE -> d_step { grant(h) }; goto held
            :: else -> goto waiting
            fi
        }
    :: i > 0 ->
        d_step { PRESENT(r, 0) -> adopt(r) }
    fi;

waiting:
    if
    :: atomic { !PRESENT(r, i) -> goto done }
    :: atomic {
        PRESENT(r, i) && SEES_ITSELF_FIRST(r) && MUST_SYNCHRONISE -> goto reading
       }
    :: atomic {
        PRESENT(r, i) && SEES_ITSELF_FIRST(r) && !MUST_SYNCHRONISE ->
        d_step { grant(h) };
        goto held
       }
    :: atomic { i == 0 && PRESENT(r, i) -> remove(r); goto done }
#ifdef BREAK_ADOPTER_RELEASES_EARLY
    :: atomic { i > 0 && PRESENT(r, i) && HEAD == r -> release(r, i); goto done }
#endif
    STOP
    fi;

reading:
    atomic { CHOOSE_UNREAD(h); d_step { read_replica(h) } };
    atomic {
        CHOOSE_UNREAD(h);
        d_step { read_replica(h); end_read(h); send_try(h); target = 0 }
    };

    if
    :: atomic { SYNC_DONE && PRESENT(r, i) ->
        d_step { mark_synced(r); grant(h) };
        goto held
       }
    :: atomic { SYNC_DONE && !PRESENT(r, i) -> goto done }
    /* The write timed out; it may still arrive. */
    :: tries < TRIES -> goto reading
    /* The client gives up. */
    :: atomic { MAY_WITHDRAW && PRESENT(r, i) -> remove(r); goto done }
    STOP
    fi;

held:
    if
    :: atomic { puts < PUTS -> d_step { send_put(h, true, false) }; goto held }
    :: atomic { puts < PUTS && FIELDS > 1 -> d_step { send_put(h, false, true) }; goto held }
    :: atomic { puts < PUTS && FIELDS > 1 -> d_step { send_put(h, true, true) }; goto held }
#if GETS > 0
    :: gets < GETS -> gets++; goto getting
#endif
    :: atomic { CLEAN(h) -> release(r, i); goto done }
    :: atomic { CLEAN(h) && PRESENT(r, i) -> d_step { check_confirmed(h); remove(r) }; goto done }
    STOP
    fi;

#if GETS > 0
getting:
    atomic { CHOOSE_UNREAD(h); d_step { remember_floor(h); read_replica(h) } };
    atomic { CHOOSE_UNREAD(h); d_step { read_replica(h); check_get(h) } };
    /* What a get has seen is at a majority before it answers. */
    atomic { CHOOSE_READ(h); d_step { repair(h) } };
    atomic { CHOOSE_READ(h); d_step { repair(h); answer_get(h) } };
    goto held;
#endif

done:
    skip
}
