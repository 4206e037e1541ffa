"""Locks: of any keys, and the recipes that are sections on table ``locks``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from music._core.kernel import Kernel
from music._core.request import RecordKey, acquire
from music._core.seat import Seat
from music._core.tables import create_critical
from music.aio.held import Acquiring, Enterable
from music.aio.section import Section
from music.errors import NoSuchTable, NotGranted
from music.values import Key, Storable, Token, Value

LOCKS = "locks"

G = TypeVar("G", bound="ReadGuard")


class Lock(Enterable[Section]):
    """A lock of keys, held together or not at all; made by :meth:`Client.lock`."""

    def __init__(
        self, kernel: Kernel, keys: list[RecordKey], *, shared: bool, wait: float | None
    ) -> None:
        super().__init__(kernel)
        self._keys = keys
        self._shared = shared
        self._wait = wait

    def acquire(self) -> Acquiring[Section]:
        """Queues for the lock and waits for the grant. Without a block of code around it, it is
        the caller's to release.

        Cost: one enqueue's rounds where the lock is free; a request to the own site for each third
        of the lease while it waits.

        Raises:
            NotGranted: it was not granted within the wait; the place in the queue is given up.
            LockLost: the place in the queue was taken away by force.
            WrongMode: a key's table is not critical.
            Unavailable: no node serves.
        """
        return Acquiring(self._enter)

    async def _enter(self) -> Section:
        seat, tokens = await acquire(self._kernel, self._keys, shared=self._shared, wait=self._wait)
        return Section(self._kernel, seat, tokens)


class ReadGuard(Section):
    """A lock that is held, and the state that it protects, to be read."""

    def __init__(self, kernel: Kernel, seat: Seat, tokens: list[Token], record: RecordKey) -> None:
        self._record = record
        super().__init__(kernel, seat, tokens)

    async def load(self) -> Value | None:
        """The state: what the last holder that stored something stored.

        Cost and errors: as :meth:`Section.get`.
        """
        return await self.get(*self._record)


class Guard(ReadGuard):
    """A lock that is held alone, and the state that it protects."""

    async def store(self, state: Storable) -> int:
        """Stores the state.

        Cost and errors: as :meth:`Section.put`.
        """
        return await self.put(*self._record, state)


class Mutex(Enterable[Guard]):
    """A lock with one holder at a time, and the state that it protects.

    Promise: at most one guard is valid at a time, in the order of the lock store; who holds it
    reads what the last holder stored. A holder that was preempted is told, and what it stores
    afterwards is never seen. It is a key of table ``locks``, as ``music lock`` takes it.

    Cost: one section. On failure: a holder that dies is forced out after at most two leases;
    waiters are served in the order in which they came; a node that dies is left for another one,
    with the lock kept.
    """

    def __init__(self, kernel: Kernel, keys: list[RecordKey]) -> None:
        super().__init__(kernel)
        self._keys = keys

    def lock(self, wait: float | None = None) -> Acquiring[Guard]:
        """Waits for the lock, for so many seconds at most if it is said.

        Cost: an enqueue, where the lock is free.

        Raises:
            NotGranted: it was not granted within the wait.
            LockLost, Unavailable: as :meth:`Lock.acquire`.
        """
        return Acquiring(lambda: _acquire(self._kernel, self._keys, Guard, wait))

    async def try_lock(self) -> Guard | None:
        """Takes the lock if it is free; None if it is not.

        Cost and errors: as :meth:`lock`.
        """
        try:
            return await self.lock(wait=0)
        except NotGranted:
            return None

    async def _enter(self) -> Guard:
        return await self.lock()


class MultiLock(Mutex):
    """A lock of several keys, held together or not at all.

    Promise: that of a :class:`Mutex`, for each of the keys; who asks for overlapping sets never
    deadlocks, in whatever order it names them. It is lost as a whole.

    Cost: that of a mutex where all are free: the enqueues go out together. Where some are not, the
    keys behind the first one that is taken are asked for again when it is held.
    """


class RwLock:
    """A lock with many readers or one writer, and the state that it protects.

    Promise: while a write guard is valid no other guard is. Readers that are next to each other in
    the queue hold the lock together; a writer that waits is not overtaken by readers that come
    after it.

    Cost and failure: as for a :class:`Mutex`, whose keys it shares: a mutex is a reader-writer
    lock without readers.
    """

    def __init__(self, kernel: Kernel, keys: list[RecordKey]) -> None:
        self._kernel = kernel
        self._keys = keys

    def read(self, wait: float | None = None) -> Acquiring[ReadGuard]:
        """Waits to read, for so many seconds at most if it is said.

        Cost and errors: as :meth:`Mutex.lock`.
        """
        return Acquiring(lambda: _acquire(self._kernel, self._keys, ReadGuard, wait))

    def write(self, wait: float | None = None) -> Acquiring[Guard]:
        """Waits to write, for so many seconds at most if it is said.

        Cost and errors: as :meth:`Mutex.lock`.
        """
        return Acquiring(lambda: _acquire(self._kernel, self._keys, Guard, wait))


def named(names: Iterable[Key]) -> list[RecordKey]:
    """The locks of these names."""
    return [(LOCKS, name) for name in names]


async def _acquire(kernel: Kernel, keys: list[RecordKey], kind: type[G], wait: float | None) -> G:
    """Acquires locks; their tables are created where they are missing."""
    shared = not issubclass(kind, Guard)
    try:
        seat, tokens = await acquire(kernel, keys, shared=shared, wait=wait)
    except NoSuchTable:
        for table in {table for table, _ in keys}:
            await create_critical(kernel, table)
        seat, tokens = await acquire(kernel, keys, shared=shared, wait=wait)
    return kind(kernel, seat, tokens, keys[0])
