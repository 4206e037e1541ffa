"""Critical sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from music._core import records
from music._core.call import Call, Footprint
from music._core.kernel import Kernel
from music._core.puts import PutLog
from music._core.records import Step, StepResult
from music._core.release import confirm
from music._core.seat import Seat
from music._core.transport import Answer
from music.aio.held import HeldLock
from music.errors import Problem
from music.values import Key, Record, Storable, Token, Value, record_from_api

# How many puts and gets of a section are sent at a time; more wait here. The node refuses a
# section's 257th put under way.
_UNDER_WAY_MAX = 128


class Records:
    """Reading and writing records, outside of sections as inside."""

    _base: str

    async def _perform(self, call: Call, writes: list[Footprint]) -> Answer:
        raise NotImplementedError

    async def get(self, table: str, key: Key, field: str = "") -> Value | None:
        """Reads a value; None where there is none.

        Outside of a section it is what the nearest replica has, which may be older than what a
        section would read. Inside, it is what the last holder was acknowledged, wherever.

        Cost: a request to the own site. Inside, one round to a majority for the first read of a
        key, then none.

        Raises:
            LockLost: inside, where the lock is lost.
            NoSuchTable, Unavailable, Problem.
        """
        call = records.get(self._base, table, key, field)
        try:
            return records.read_value(await self._perform(call, []))
        except Problem as problem:
            if problem.code == records.NO_VALUE:
                return None
            raise

    async def fields(self, table: str, key: Key) -> Record | None:
        """Reads all fields of a record; None where it has none.

        Cost and errors: as :meth:`get`.
        """
        try:
            answer = await self._perform(records.get_fields(self._base, table, key), [])
        except Problem as problem:
            if problem.code == records.NO_VALUE:
                return None
            raise
        return answer.parse(record_from_api)

    async def put(self, table: str, key: Key, value: Storable, field: str = "") -> int:
        """Writes a value, and returns the stamp of the write.

        Text, bytes and :class:`music.Value` are stored as they are, anything else as JSON. Where a
        node did not answer, the put is made again where that is sure to be the same put: at that
        node; inside a section also at the next one, after the section has moved there, unless a
        later put to the same field was begun.

        Cost: a request to the own site. Inside a section, one round to a majority; puts under way
        at once share it.

        Raises:
            LockLost: inside, where the lock is lost.
            WrongMode: outside, for a critical table.
            Error: ``outcome`` says whether the put may have taken effect.
        """
        call = records.put(self._base, table, key, value, field)
        return await self._write(call, [records.footprint(table, key, [field])])

    async def put_fields(self, table: str, key: Key, fields: Mapping[str, Storable]) -> int:
        """Writes fields of a record together: all or none of them take effect. None deletes one.

        Cost and errors: as :meth:`put`.
        """
        call = records.put_fields(self._base, table, key, fields)
        return await self._write(call, [records.footprint(table, key, fields)])

    async def delete(self, table: str, key: Key, field: str | None = None) -> int:
        """Deletes a record with all its fields, or one field.

        Cost and errors: as :meth:`put`.
        """
        if field is not None:
            return await self.put_fields(table, key, {field: None})
        call = records.delete(self._base, table, key)
        return await self._write(call, [records.footprint(table, key, None)])

    async def _write(self, call: Call, writes: list[Footprint]) -> int:
        return (await self._perform(call, writes)).parse(records.read_stamp)


class Section(HeldLock, Records):
    """A critical section: from the grant of its lock to its release.

    While it exists it is kept alive. When the lock is lost, every operation raises
    :class:`music.LockLost`, and so do :meth:`check` and the end of the block; with asyncio the
    block's task is cancelled at once. A section that another node had to take over is not lost.
    """

    def __init__(self, kernel: Kernel, seat: Seat, tokens: Sequence[Token]) -> None:
        self._seat = seat
        self._base = seat.path("")
        self._puts = PutLog()
        self._slots = kernel.runtime.turns(_UNDER_WAY_MAX)
        self._tokens = list(tokens)
        HeldLock.__init__(self, kernel, [seat])

    @property
    def token(self) -> int:
        """The fencing token of the first key: greater than those of all earlier sections on that
        key. Give it to other systems, and let them refuse lower ones."""
        return self._tokens[0].token

    @property
    def tokens(self) -> list[Token]:
        """A fencing token for each key, in the order in which the keys were given."""
        return list(self._tokens)

    async def batch(self, steps: Iterable[Step]) -> list[StepResult]:
        """Does several operations in one request, all at once. Each has its own result: a batch
        is no transaction.

        Cost: as the slowest of its steps.

        Raises:
            LockLost, Error: where the batch as a whole failed; see also each step's result.
        """
        steps = list(steps)
        call = records.batch(self._base, steps)
        answer = await self._perform(call, records.footprints(steps))
        results = answer.parse(records.read_results)
        if any(isinstance(step, Problem) and step.code == "MUSIC-3002" for step in results):
            self._seat.lose("preempted")
        return results

    async def release(self) -> None:
        """Ends the section. What was acknowledged in it stays, whatever comes of this.

        Cost: a request to the own site. The node does not wait for its majority.

        Raises:
            LockLost: the lock had been lost before.
            Unavailable: no node answers; then the lease ends it.
        """
        self.check()
        await self._end(self._release)

    async def confirm(self) -> None:
        """Ends the section and finds out whether the whole of it counts: whether nobody else was
        granted since it was.

        Cost: one consensus of the lock store.

        Raises:
            LockLost: somebody was granted, or may have been.
            Unavailable: it cannot be found out.
        """
        self.check()
        await self._end(lambda: confirm(self._seat))

    async def _perform(self, call: Call, writes: list[Footprint]) -> Answer:
        call = replace(call, wide=True)
        if not call.changes:
            async with self._slots:
                return await self._seat.perform(call)
        put = self._puts.begin(writes)
        try:
            async with self._slots:
                return await self._seat.perform(call, put)
        finally:
            put.end()
