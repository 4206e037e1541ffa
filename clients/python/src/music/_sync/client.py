"""The client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType

from music import aio
from music._core.blocking import BlockingRuntime
from music._core.changes import WatchEvent
from music._core.kernel import Kernel
from music._core.options import Options
from music._core.request import Keys
from music._core.runtime import run
from music._core.tables import Table, TableMode
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
from music._sync.same import Events, iterate, same_as
from music._sync.section import Lock, MultiLock, Mutex, Records, RwLock
from music.values import Key, Record


class Client(Records):
    __doc__ = aio.Client.__doc__

    def __init__(self, *endpoints: str, lease: float = 10.0, timeout: float = 12.0) -> None:
        options = Options(lease=lease, timeout=timeout)
        kernel = Kernel(BlockingRuntime(options), endpoints, options)
        self._twin = aio.Client._of(kernel)
        self._records = self._twin

    @property
    def endpoints(self) -> list[str]:
        """The addresses of the nodes, in the order of preference."""
        return self._twin.endpoints

    @same_as(aio.Client.scan)
    def scan(self, table: str, prefix: Key = "", page_size: int | None = None) -> Iterator[Record]:
        return iterate(self._twin.scan(table, prefix, page_size))

    @same_as(aio.Client.tables)
    def tables(self) -> list[Table]:
        return run(self._twin.tables())

    @same_as(aio.Client.table)
    def table(self, name: str) -> Table:
        return run(self._twin.table(name))

    @same_as(aio.Client.create_table)
    def create_table(self, name: str, mode: TableMode) -> Table:
        return run(self._twin.create_table(name, mode))

    @same_as(aio.Client.drop_table)
    def drop_table(self, name: str) -> None:
        run(self._twin.drop_table(name))

    @same_as(aio.Client.watch)
    def watch(self, table: str, prefix: Key = "", key: Key | None = None) -> Events[WatchEvent]:
        return Events(self._twin.watch(table, prefix, key))

    @same_as(aio.Client.lock)
    def lock(
        self,
        keys: Keys,
        shared: bool = False,
        lease: float | None = None,
        wait: float | None = None,
    ) -> Lock:
        return Lock(self._twin.lock(keys, shared, lease, wait))

    @same_as(aio.Client.mutex)
    def mutex(self, name: Key) -> Mutex:
        return Mutex(self._twin.mutex(name))

    @same_as(aio.Client.rw_lock)
    def rw_lock(self, name: Key) -> RwLock:
        return RwLock(self._twin.rw_lock(name))

    @same_as(aio.Client.multi_lock)
    def multi_lock(self, names: Iterable[Key]) -> MultiLock:
        return MultiLock(self._twin.multi_lock(names))

    @same_as(aio.Client.semaphore)
    def semaphore(self, name: str, permits: int) -> Semaphore:
        return Semaphore(self._twin.semaphore(name, permits))

    @same_as(aio.Client.election)
    def election(self, name: str) -> Election:
        return Election(self._twin.election(name))

    @same_as(aio.Client.active_passive)
    def active_passive(
        self, name: str, active: int = 1, sites: Iterable[str] = ()
    ) -> ActivePassive:
        return ActivePassive(self._twin.active_passive(name, active, sites))

    @same_as(aio.Client.barrier)
    def barrier(self, name: str, parties: int) -> Barrier:
        return Barrier(self._twin.barrier(name, parties))

    @same_as(aio.Client.double_barrier)
    def double_barrier(self, name: str, parties: int, party: str | None = None) -> DoubleBarrier:
        return DoubleBarrier(self._twin.double_barrier(name, parties, party))

    @same_as(aio.Client.latch)
    def latch(self, name: str, count: int) -> Latch:
        return Latch(self._twin.latch(name, count))

    @same_as(aio.Client.counter)
    def counter(self, name: str) -> Counter:
        return Counter(self._twin.counter(name))

    @same_as(aio.Client.register)
    def register(self, name: str) -> Register:
        return Register(self._twin.register(name))

    @same_as(aio.Client.queue)
    def queue(self, name: str) -> Queue:
        return Queue(self._twin.queue(name))

    @same_as(aio.Client.group)
    def group(self, name: str) -> Group:
        return Group(self._twin.group(name))

    @same_as(aio.Client.once)
    def once(self, name: str) -> Once:
        return Once(self._twin.once(name))

    @same_as(aio.Client.close)
    def close(self) -> None:
        run(self._twin.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
