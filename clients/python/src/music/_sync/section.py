"""Critical sections, and the locks that are sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType

from music import aio
from music._core.records import Step, StepResult
from music._core.runtime import run
from music._sync.same import Held, same_as
from music.aio.section import Records as AioRecords
from music.values import Key, Record, Storable, Token, Value


class Records:
    """Reading and writing records, outside of sections as inside."""

    _records: AioRecords

    @same_as(AioRecords.get)
    def get(self, table: str, key: Key, field: str = "") -> Value | None:
        return run(self._records.get(table, key, field))

    @same_as(AioRecords.fields)
    def fields(self, table: str, key: Key) -> Record | None:
        return run(self._records.fields(table, key))

    @same_as(AioRecords.put)
    def put(self, table: str, key: Key, value: Storable, field: str = "") -> int:
        return run(self._records.put(table, key, value, field))

    @same_as(AioRecords.put_fields)
    def put_fields(self, table: str, key: Key, fields: Mapping[str, Storable]) -> int:
        return run(self._records.put_fields(table, key, fields))

    @same_as(AioRecords.delete)
    def delete(self, table: str, key: Key, field: str | None = None) -> int:
        return run(self._records.delete(table, key, field))


class Section(Held, Records):
    __doc__ = aio.Section.__doc__

    def __init__(self, twin: aio.Section) -> None:
        Held.__init__(self, twin)
        self._section = twin
        self._records = twin

    @property
    def lock_ref(self) -> str:
        """The lockRef, for another process or an administrator."""
        return self._section.lock_ref

    @property
    def endpoint(self) -> str:
        """The address of the node that keeps the section at present."""
        return self._section.endpoint

    @property
    def token(self) -> int:
        """The fencing token of the first key: greater than those of all earlier sections on that
        key. Give it to other systems, and let them refuse lower ones."""
        return self._section.token

    @property
    def tokens(self) -> list[Token]:
        """A fencing token for each key, in the order in which the keys were given."""
        return self._section.tokens

    @same_as(aio.Section.batch)
    def batch(self, steps: Iterable[Step]) -> list[StepResult]:
        return run(self._section.batch(steps))

    @same_as(aio.Section.release)
    def release(self) -> None:
        run(self._section.release())

    @same_as(aio.Section.confirm)
    def confirm(self) -> None:
        run(self._section.confirm())


class ReadGuard(Section):
    __doc__ = aio.ReadGuard.__doc__

    def __init__(self, twin: aio.ReadGuard) -> None:
        super().__init__(twin)
        self._reader = twin

    @same_as(aio.ReadGuard.load)
    def load(self) -> Value | None:
        return run(self._reader.load())


class Guard(ReadGuard):
    __doc__ = aio.Guard.__doc__

    def __init__(self, twin: aio.Guard) -> None:
        super().__init__(twin)
        self._writer = twin

    @same_as(aio.Guard.store)
    def store(self, state: Storable) -> int:
        return run(self._writer.store(state))


class Lock:
    __doc__ = aio.Lock.__doc__

    def __init__(self, twin: aio.Lock) -> None:
        self._lock = twin

    @same_as(aio.Lock.acquire)
    def acquire(self) -> Section:
        return Section(run(self._lock.acquire()))

    def __enter__(self) -> Section:
        return Section(run(self._lock.__aenter__()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run(self._lock.__aexit__(kind, error, trace))


class Mutex:
    __doc__ = aio.Mutex.__doc__

    def __init__(self, twin: aio.Mutex) -> None:
        self._mutex = twin

    @same_as(aio.Mutex.lock)
    def lock(self, wait: float | None = None) -> Guard:
        return Guard(run(self._mutex.lock(wait)))

    @same_as(aio.Mutex.try_lock)
    def try_lock(self) -> Guard | None:
        guard = run(self._mutex.try_lock())
        return None if guard is None else Guard(guard)

    def __enter__(self) -> Guard:
        return Guard(run(self._mutex.__aenter__()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run(self._mutex.__aexit__(kind, error, trace))


class MultiLock(Mutex):
    __doc__ = aio.MultiLock.__doc__


class RwLock:
    __doc__ = aio.RwLock.__doc__

    def __init__(self, twin: aio.RwLock) -> None:
        self._lock = twin

    @same_as(aio.RwLock.read)
    def read(self, wait: float | None = None) -> ReadGuard:
        return ReadGuard(run(self._lock.read(wait)))

    @same_as(aio.RwLock.write)
    def write(self, wait: float | None = None) -> Guard:
        return Guard(run(self._lock.write(wait)))
