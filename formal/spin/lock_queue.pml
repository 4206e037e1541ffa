/*
 * The lock queue of the key: one linearizable object. Every inline here is
 * used inside one indivisible step.
 */

byte last;      /* highest lockRef issued */
byte tickets;   /* bit r: ticket r is in the queue */
byte adopted;   /* bit r: ticket r is in incarnation 1 */
byte released;  /* 2r + i of the highest (r, i) released; 0: none */
byte forced;    /* highest lockRef removed by force */
byte synced;    /* highest lockRef that has synchronised the key */

/* A ticket (r, i) is gone when it is not in `tickets` or released >= (r, i). */
#define THERE(r) (HAS(tickets, r) && released < 2 * (r) + HAS(adopted, r))
#define PRESENT(r, i) (THERE(r) && HAS(adopted, r) == (i))

#define HEAD (THERE(1) -> 1 : (THERE(2) -> 2 : (THERE(3) -> 3 : 0)))

/* The synchronization flag. */
#define FLAG (forced > 0 && forced >= synced && !THERE(synced))

/* What a peek of the node that has ticket (r, i) answers. */
#ifdef BREAK_PEEK_ONE_REPLICA
/* One copy of the queue knows the node's own ticket, if not what came before. */
#define SEES_ITSELF_FIRST(r) (true)
#define SEES_FLAG            (false)
#else
#define SEES_ITSELF_FIRST(r) (HEAD == (r))
#define SEES_FLAG            FLAG
#endif

inline enqueue(r)
{
    printf("lockRef %d is issued\n", r);
    last = r;
    tickets = tickets | 1 << (r)
}

/* withdraw(r) and confirm(r, i): by consensus, without `forced`. */
inline remove(r)
{
    printf("ticket %d is removed\n", r);
    tickets = tickets & ~(1 << (r))
}

inline force(r)
{
    printf("ticket %d is forced out\n", r);
#ifndef BREAK_FORCE_SETS_NO_FLAG
    forced = (forced > (r) -> forced : (r));
#endif
    remove(r)
}

inline adopt(r)
{
    printf("ticket %d is adopted\n", r);
    adopted = adopted | 1 << (r)
}

/* A clean release; it carries its incarnation, so that a late one of the node
 * that the client has left does not end what goes on elsewhere. */
inline release(r, i)
{
    printf("(%d,%d) is released\n", r, i);
#ifdef BREAK_RELEASE_WITHOUT_INCARNATION
    released = (released > 2 * (r) + 1 -> released : 2 * (r) + 1)
#else
    released = (released > 2 * (r) + (i) -> released : 2 * (r) + (i))
#endif
}

inline mark_synced(r)
{
    printf("lockRef %d has synchronised\n", r);
    synced = (synced > (r) -> synced : (r))
}

/*
 * Who may be forced. For safety: anyone at any time. For liveness: whose owner
 * has fallen silent, whether it has stopped or goes on unaware.
 */
#ifdef LIVENESS
byte silent;   /* bit h: nobody hears the owner of holding h any more */
byte granted;  /* bit r: lockRef r was granted */
#define HOLDING(r) ((r) <= ADOPTED -> 2 * (r) - 2 + HAS(adopted, r) : (r) - 1 + ADOPTED)
#ifdef BREAK_ONLY_HOLDERS_ARE_FORCED
#define MAY_FORCE(r) (THERE(r) && HAS(silent, HOLDING(r)) && HAS(granted, r))
#else
#define MAY_FORCE(r) (THERE(r) && HAS(silent, HOLDING(r)))
#endif
#else
#define MAY_FORCE(r) THERE(r)
#endif
