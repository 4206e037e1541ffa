"""MUSIC's client: critical sections over replicated state at several sites.

::

    import music

    with music.Client("http://127.0.0.1:7701", "http://127.0.0.1:7702") as client:
        with client.lock([("locks", "alice")]) as section:  # waits for its turn
            balance = section.get("locks", "alice")         # what the last holder put
            section.put("locks", "alice", "70")             # a majority of sites has it now

Every call says in its documentation what it promises, what it costs and what it raises; each
:class:`music.Error` says whether its effect may have happened (``outcome``), and whether the same
call may succeed later (``retryable``). For asyncio there is the same API in :mod:`music.aio`.
"""

from music import aio, errors, values
from music._core.changes import (
    Arrivals,
    Change,
    GroupEvent,
    Leader,
    Member,
    Reset,
    WatchEvent,
)
from music._core.records import Delete, Get, Put, PutFields, Step, StepResult
from music._core.request import Keys, RecordKey
from music._core.tables import Table, TableMode
from music._sync.client import Client
from music._sync.held import Active, Item, Leadership, Membership, Permit
from music._sync.recipes import (
    ActivePassive,
    Barrier,
    Counter,
    DoubleBarrier,
    Election,
    Group,
    Latch,
    Once,
    Queue,
    Register,
    Semaphore,
)
from music._sync.same import Events
from music._sync.section import Guard, Lock, MultiLock, Mutex, ReadGuard, RwLock, Section
from music.aio.recipes.active_passive import Replica
from music.aio.recipes.barrier import Crossing
from music.aio.recipes.counter import CounterSet
from music.aio.recipes.once import OnceState
from music.aio.recipes.queue import Push
from music.errors import (
    BadAnswer,
    BadRequest,
    ClaimLost,
    Error,
    Interrupted,
    Invalid,
    LockLost,
    Lost,
    LostReason,
    NameInUse,
    NoSuchTable,
    NotGranted,
    Outcome,
    Problem,
    QueueFull,
    Timeout,
    Unanswered,
    Unavailable,
    WrongMode,
)
from music.values import Key, Record, Storable, Token, Value

__all__ = [
    "Active",
    "ActivePassive",
    "Arrivals",
    "BadAnswer",
    "BadRequest",
    "Barrier",
    "Change",
    "ClaimLost",
    "Client",
    "Counter",
    "CounterSet",
    "Crossing",
    "Delete",
    "DoubleBarrier",
    "Election",
    "Error",
    "Events",
    "Get",
    "Group",
    "GroupEvent",
    "Guard",
    "Interrupted",
    "Invalid",
    "Item",
    "Key",
    "Keys",
    "Latch",
    "Leader",
    "Leadership",
    "Lock",
    "LockLost",
    "Lost",
    "LostReason",
    "Member",
    "Membership",
    "MultiLock",
    "Mutex",
    "NameInUse",
    "NoSuchTable",
    "NotGranted",
    "Once",
    "OnceState",
    "Outcome",
    "Permit",
    "Problem",
    "Push",
    "Put",
    "PutFields",
    "Queue",
    "QueueFull",
    "ReadGuard",
    "Record",
    "RecordKey",
    "Register",
    "Replica",
    "Reset",
    "RwLock",
    "Section",
    "Semaphore",
    "Step",
    "StepResult",
    "Storable",
    "Table",
    "TableMode",
    "Timeout",
    "Token",
    "Unanswered",
    "Unavailable",
    "Value",
    "WatchEvent",
    "WrongMode",
    "aio",
    "errors",
    "values",
]
