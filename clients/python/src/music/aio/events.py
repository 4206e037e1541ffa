"""Being told of changes as they reach the nearest replica."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Generic, TypeVar

from music import errors
from music._core.call import Call
from music._core.judge import Verdict, judge
from music._core.kernel import Kernel
from music._core.runtime import Fault
from music._core.sse import Parser, TooLong
from music.errors import BadAnswer, Error, Problem, Unavailable

T = TypeVar("T")

Reader = Callable[[str, Any], list[T]]
"""What an event says, by its name and its data."""


class Events(Generic[T]):
    """What happens, without an end: an iterator, and a block at whose end it is over.

    Nothing is asked before the first event is, or the block is entered: what changes after that is
    told. Where the connection breaks another one is opened, and what was missed meanwhile is told.

    Cost: a connection to the own site, kept open; no majority.

    Raises:
        Unavailable: no node serves. Asking again goes on.
        Problem: a node refuses.
    """

    def __init__(
        self,
        kernel: Kernel,
        call: Call,
        reader: Reader[T],
        again: Callable[[], Awaitable[list[T]]] | None = None,
    ) -> None:
        self._kernel = kernel
        self._call = call
        self._reader = reader
        # What bridges the gap after a connection that broke.
        self._again = again
        self._stack: AsyncExitStack | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._parser = Parser()
        self._ready: deque[T] = deque()
        self._connections = 0
        self._failures = 0
        self._is_closed = False

    def __aiter__(self) -> Events[T]:
        return self

    async def __anext__(self) -> T:
        """The next event."""
        while not self._ready:
            if self._is_closed:
                raise StopAsyncIteration
            if self._chunks is None:
                await self.begin()
            else:
                await self._listen(self._chunks)
        return self._ready.popleft()

    async def begin(self) -> None:
        """Connects, if it is not: what changes afterwards is told."""
        if self._chunks is not None or self._is_closed:
            return None
        attempts = 0
        last: Error | None = None
        for _ in range(self._kernel.options.attempts):
            if self._failures:
                await self._kernel.pause(self._failures)
            self._failures += 1
            for at in self._kernel.endpoints.order(self._kernel.options.avoid_failed):
                attempts += 1
                try:
                    return await self._connect(at)
                except Error as error:
                    if judge(error) is Verdict.STOP:
                        raise
                    self._kernel.endpoints.note(at, failed=True)
                    last = error
        assert last is not None
        raise Unavailable(attempts, last, "not_applied") from last

    async def _connect(self, at: int) -> None:
        stack = AsyncExitStack()
        opening = self._kernel.transport.open(self._kernel.endpoints.urls[at], self._call)
        stream = await stack.enter_async_context(opening)
        self._stack, self._chunks, self._parser = stack, stream.chunks(), Parser()
        self._connections += 1
        if self._connections > 1 and self._again is not None:
            try:
                self._ready.extend(await self._again())
            except BaseException:
                await self._disconnect()
                raise

    async def _listen(self, chunks: AsyncIterator[bytes]) -> None:
        """Takes what comes next from the connection."""
        try:
            chunk = await chunks.__anext__()
        except (Fault, StopAsyncIteration):
            # Broken or ended: another connection tells why, if there is a reason.
            await self._disconnect()
            return
        try:
            for event in self._parser.push(chunk):
                self._failures = 0
                if event.name == "problem":
                    await self._end_by(errors.problem(json.loads(event.data), changes=False))
                    return
                self._ready.extend(self._reader(event.name, json.loads(event.data)))
        except (TooLong, KeyError, TypeError, ValueError) as error:
            await self._disconnect()
            why = f"an event cannot be read: {error!r}"
            raise BadAnswer(self._kernel.endpoints.urls[0], 200, why, "not_applied") from error

    async def _end_by(self, problem: Problem) -> None:
        await self._disconnect()
        if not problem.retryable:
            raise problem

    async def _disconnect(self) -> None:
        stack, self._stack, self._chunks = self._stack, None, None
        if stack is not None:
            await stack.aclose()

    async def close(self) -> None:
        """Ends it."""
        self._is_closed = True
        await self._disconnect()

    async def __aenter__(self) -> Events[T]:
        await self.begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
