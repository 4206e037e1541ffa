/*
 * The guarantees, as assertions. Nothing here is part of the protocol: these
 * variables only remember what the guarantees speak of.
 *
 * Values are numbers that grow in the order of lockRefs, incarnations and
 * puts, so "the last acknowledged put or a later one" is "at least".
 */

byte floor_a, floor_b;        /* the last acknowledged or observed value */
byte granted_to;              /* the holding of the last grant */
byte observed_a, observed_b;  /* what that grant observed */

bool exclusion = true, majority_holds_value = true, latest_state = true;
bool no_corruption = true, confirmed_counts = true;
hidden byte first_a, first_b, each;

/* Guarantee 4: written by the last grant's holding or later, or observed by it. */
#define ALLOWED(value, observed, holding) \
    ((value) == (observed) || ((value) > 0 && HOLDING_OF(value) >= (holding)))

/* Whether a put that has reached a majority just now is acknowledged. */
#ifdef BREAK_FORMER_OWNER_ACKNOWLEDGES
#define COUNTS(w) THERE(LOCK_REF(WRITER(w)))
#else
#define COUNTS(w) PRESENT(LOCK_REF(WRITER(w)), INCARNATION(WRITER(w)))
#endif

/* A replica takes writes in; what a majority has by now is acknowledged. */
inline take_in(k, writes)
{
    replica[k] = replica[k] | (writes);
    for (each : 0 .. WRITES - 1) {
        if
        :: !IS_TRY(each) && HAS(sent, each) && AT_MAJORITY(each) && COUNTS(each) ->
            floor_a = MAX(floor_a, value_a[each]);
            floor_b = MAX(floor_b, value_b[each])
        :: else
        fi
    }
}

/* Guarantees 2 and 4, for whoever reads two replicas at once. */
inline check_read(j, k)
{
    look(replica[j] | replica[k]);
    latest_state = shown_a >= floor_a && shown_b >= floor_b;
    assert(latest_state);
    no_corruption = ALLOWED(shown_a, observed_a, granted_to) &&
                    ALLOWED(shown_b, observed_b, granted_to);
    assert(no_corruption)
}

inline check_reads()
{
    check_read(0, 1);
    check_read(0, 2);
    check_read(1, 2)
}

/* Holding h is granted: guarantees 1 and 2. If each pair of replicas shows the
 * same value, then two replicas hold it. */
inline grant(h)
{
    exclusion = HEAD == LOCK_REF(h) && h >= granted_to &&
                PRESENT(LOCK_REF(h), INCARNATION(h));
    assert(exclusion);
    check_reads();
    first_a = shown_a;
    first_b = shown_b;
    look(replica[0] | replica[1]);
    majority_holds_value = first_a == shown_a && first_b == shown_b;
    look(replica[0] | replica[2]);
    majority_holds_value = majority_holds_value && first_a == shown_a && first_b == shown_b;
    assert(majority_holds_value);
    printf("(%d,%d) is granted: a = %d, b = %d\n",
           LOCK_REF(h), INCARNATION(h), shown_a, shown_b);
    granted_to = h;
    observed_a = shown_a;
    observed_b = shown_b;
    floor_a = MAX(floor_a, shown_a);
    floor_b = MAX(floor_b, shown_b);
#ifdef LIVENESS
    granted = granted | 1 << LOCK_REF(h)
#endif
}

/* A get begins: what it may find is judged by what was so then. */
inline remember_floor(h)
{
    since = granted_to;
    old_a = observed_a;
    old_b = observed_b;
    low_a = floor_a;
    low_b = floor_b
}

/* It has read two replicas, one after the other. */
inline check_get(h)
{
    look(seen);
    printf("(%d,%d) gets a = %d, b = %d\n", LOCK_REF(h), INCARNATION(h), shown_a, shown_b);
    latest_state = shown_a >= low_a && shown_b >= low_b;
    assert(latest_state);
    no_corruption = ALLOWED(shown_a, old_a, since) && ALLOWED(shown_b, old_b, since);
    assert(no_corruption)
}

/* It answers. If the section goes on, no get to come may answer less. */
inline answer_get(h)
{
    if
    :: PRESENT(LOCK_REF(h), INCARNATION(h)) ->
        look(seen);
        floor_a = MAX(floor_a, shown_a);
        floor_b = MAX(floor_b, shown_b);
        check_reads()
    :: else
    fi;
    seen = 0;
    since = 0; old_a = 0; old_b = 0; low_a = 0; low_b = 0
}

/* A confirmed release found its ticket: nobody was granted in between, and
 * every put of the section counts. */
inline check_confirmed(h)
{
    confirmed_counts = granted_to == h &&
        floor_a >= value_a[PUT(h, 0)] && floor_a >= value_a[PUT(h, PUTS - 1)] &&
        floor_b >= value_b[PUT(h, 0)] && floor_b >= value_b[PUT(h, PUTS - 1)];
    assert(confirmed_counts)
}
