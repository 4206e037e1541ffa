"""MUSIC's client for asyncio: the API of :mod:`music`, to be awaited.

What ``music.Client`` does in a ``with``, this one does in an ``async with``::

    async with music.aio.Client("http://127.0.0.1:7701") as client:
        async with client.lock([("locks", "alice")]) as section:
            await section.put("locks", "alice", "70")

Where the lock is lost in the middle of a block, the block's task is cancelled at once, and the
``async with`` raises :class:`music.LockLost`. A client belongs to the loop in which it is used
first.
"""

from music.aio.client import Client
from music.aio.events import Events
from music.aio.held import Acquiring
from music.aio.locks import Guard, Lock, MultiLock, Mutex, ReadGuard, RwLock
from music.aio.recipes import (
    Active,
    ActivePassive,
    Barrier,
    Counter,
    DoubleBarrier,
    Election,
    Group,
    Item,
    Latch,
    Leadership,
    Membership,
    Once,
    Permit,
    Queue,
    Register,
    Semaphore,
)
from music.aio.section import Section

__all__ = [
    "Acquiring",
    "Active",
    "ActivePassive",
    "Barrier",
    "Client",
    "Counter",
    "DoubleBarrier",
    "Election",
    "Events",
    "Group",
    "Guard",
    "Item",
    "Latch",
    "Leadership",
    "Lock",
    "Membership",
    "MultiLock",
    "Mutex",
    "Once",
    "Permit",
    "Queue",
    "ReadGuard",
    "Register",
    "RwLock",
    "Section",
    "Semaphore",
]
