"""The client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import TracebackType

from music._core import records, tables
from music._core.call import Call, Footprint
from music._core.changes import Change, Reset, WatchEvent, read_change
from music._core.kernel import Kernel
from music._core.options import Options
from music._core.request import Keys, key_list
from music._core.tables import Table, TableMode
from music._core.tasks import TaskRuntime
from music._core.transport import Answer
from music.aio.events import Events
from music.aio.locks import Lock, MultiLock, Mutex, RwLock, named
from music.aio.recipes import (
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
from music.aio.section import Records
from music.errors import Invalid
from music.values import Key, Record, record_from_api


class Client(Records):
    """A client of these nodes, the one of its own site first. It asks the others only while those
    before them fail. It opens no connection before it is asked for something.

    ``lease`` is how many seconds this client may go unheard before what it holds is ended, where
    nothing else is said; ``timeout`` how many one attempt of a request may take, beside a wait.

    Raises:
        Invalid: there is no endpoint, or one is no ``http://HOST:PORT``.
    """

    _base = "/v1"

    def __init__(self, *endpoints: str, lease: float = 10.0, timeout: float = 12.0) -> None:
        options = Options(lease=lease, timeout=timeout)
        self._kernel = Kernel(TaskRuntime(options), endpoints, options)

    @classmethod
    def _of(cls, kernel: Kernel) -> Client:
        client = object.__new__(cls)
        client._kernel = kernel
        return client

    @property
    def endpoints(self) -> list[str]:
        """The addresses of the nodes, in the order of preference."""
        return list(self._kernel.endpoints.urls)

    async def _perform(self, call: Call, writes: list[Footprint]) -> Answer:  # noqa: ARG002
        return await self._kernel.request(call)

    async def scan(
        self, table: str, prefix: Key = "", page_size: int | None = None
    ) -> AsyncIterator[Record]:
        """Reads the records of a table whose keys begin so, in the order of their bytes. What is
        written meanwhile may be among them or not.

        Cost: a request to the own site for each page.

        Raises:
            NoSuchTable, Unavailable, Problem.
        """
        cursor: str | None = None
        while True:
            call = records.scan(table, prefix, page_size, cursor)
            page, cursor = (await self._kernel.request(call)).parse(
                lambda body: ([record_from_api(r) for r in body["records"]], body.get("cursor"))
            )
            for record in page:
                yield record
            if cursor is None:
                return

    async def tables(self) -> list[Table]:
        """All tables, in the order of their names.

        Cost: a request to the own site.

        Raises:
            Unavailable.
        """
        found: list[Table] = []
        cursor: str | None = None
        while True:
            page, cursor = (await self._kernel.request(tables.page(cursor))).parse(
                lambda body: (
                    [tables.table_from_api(table) for table in body["tables"]],
                    body.get("cursor"),
                )
            )
            found += page
            if cursor is None:
                return found

    async def table(self, name: str) -> Table:
        """The table of that name.

        Cost: a request to the own site.

        Raises:
            NoSuchTable, Unavailable.
        """
        return (await self._kernel.request(tables.look(name))).parse(tables.table_from_api)

    async def create_table(self, name: str, mode: TableMode) -> Table:
        """Creates a table, "critical" or "eventual" for ever, or finds it.

        Cost: one consensus where it is new.

        Raises:
            WrongMode: there is one in the other mode.
            BadRequest: the name is not allowed.
        """
        if mode not in ("critical", "eventual"):
            raise Invalid(f"a table is 'critical' or 'eventual', not {mode!r}")
        answer = await self._kernel.request(tables.create(name, mode))
        return answer.parse(tables.table_from_api)

    async def drop_table(self, name: str) -> None:
        """Drops a table with all its records.

        Cost: one consensus.

        Raises:
            NoSuchTable.
        """
        await self._kernel.request(tables.drop(name))

    def watch(self, table: str, prefix: Key = "", key: Key | None = None) -> Events[WatchEvent]:
        """Watches the records of a table whose keys begin so, or one record, which is told as it
        is at first. After a gap a :class:`music.Reset` comes, and the records as they are.

        Cost and errors: as :class:`Events`.
        """
        if key is not None and prefix:
            raise Invalid("a watch is of a key, or of a prefix")

        async def again() -> list[WatchEvent]:
            events: list[WatchEvent] = [Reset()]
            # One record is told by the node itself.
            if key is None:
                events += [Change(table, record) async for record in self.scan(table, prefix)]
            return events

        return Events(self._kernel, records.watch(table, prefix, key), read_change, again)

    def lock(
        self,
        keys: Keys,
        shared: bool = False,
        lease: float | None = None,
        wait: float | None = None,
    ) -> Lock:
        """A lock of a key, ``("table", "key")``, or of several together, of critical tables: to
        be entered, or acquired by :meth:`Lock.acquire`.

        ``shared`` to read beside others; ``lease`` how many seconds this client may go unheard
        before its section is ended; ``wait`` how many to wait for the grant at most, 0 to take a
        free lock or none. Nothing is asked yet.
        """
        kernel = self._kernel.with_lease(lease)
        return Lock(kernel, key_list(keys), shared=shared, wait=wait)

    def mutex(self, name: Key) -> Mutex:
        """The mutex of that name."""
        return Mutex(self._kernel, named([name]))

    def rw_lock(self, name: Key) -> RwLock:
        """The reader-writer lock of that name."""
        return RwLock(self._kernel, named([name]))

    def multi_lock(self, names: Iterable[Key]) -> MultiLock:
        """The lock of all these names together."""
        return MultiLock(self._kernel, named(names))

    def semaphore(self, name: str, permits: int) -> Semaphore:
        """The semaphore of that name, with so many permits: all name the same number."""
        return Semaphore(self._kernel, name, permits)

    def election(self, name: str) -> Election:
        """The election of that name."""
        return Election(self._kernel, name)

    def active_passive(
        self, name: str, active: int = 1, sites: Iterable[str] = ()
    ) -> ActivePassive:
        """The service of that name, of whose replicas so many are active: all name the same
        number. ``sites`` are where they had better be, the best first."""
        return ActivePassive(self._kernel, name, active, sites)

    def barrier(self, name: str, parties: int) -> Barrier:
        """The barrier of that name, for so many parties: all name the same number."""
        return Barrier(self._kernel, name, parties)

    def double_barrier(self, name: str, parties: int, party: str | None = None) -> DoubleBarrier:
        """The double barrier of that name, for so many parties, of which this one is ``party``:
        one of its own if it has no name."""
        return DoubleBarrier(self._kernel, name, parties, party)

    def latch(self, name: str, count: int) -> Latch:
        """The latch of that name, which opens after so many counts: all name the same number."""
        return Latch(self._kernel, name, count)

    def counter(self, name: str) -> Counter:
        """The counter of that name."""
        return Counter(self._kernel, name)

    def register(self, name: str) -> Register:
        """The register of that name."""
        return Register(self._kernel, name)

    def queue(self, name: str) -> Queue:
        """The work queue of that name."""
        return Queue(self._kernel, name)

    def group(self, name: str) -> Group:
        """The group of that name."""
        return Group(self._kernel, name)

    def once(self, name: str) -> Once:
        """The step of that name, which is done once."""
        return Once(self._kernel, name)

    async def close(self) -> None:
        """Waits for the release of what was given up, and closes all connections. What is held
        still is not kept alive any more."""
        await self._kernel.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
