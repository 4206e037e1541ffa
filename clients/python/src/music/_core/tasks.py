"""The runtime of :mod:`music.aio`: asyncio's tasks."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx

from music._core import http
from music._core.options import Options
from music._core.runtime import Background, Fault, Flag, Interrupted, Request, Response, Watchdog

T = TypeVar("T")


class TaskFlag:
    """Something that happens once, in one loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_set = False
        self._calls: dict[object, Callable[[], object]] = {}

    def set(self) -> None:
        """It has happened."""
        if self._is_set:
            return
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            self._happen()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._happen)

    def _happen(self) -> None:
        self._is_set = True
        calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._is_set

    def on_set(self, call: Callable[[], object]) -> Callable[[], object]:
        """Calls when it happens; returns what takes that back."""
        if self._is_set:
            call()
            return lambda: None
        key = object()
        self._calls[key] = call
        return lambda: self._calls.pop(key, None)

    async def wait(self, timeout: float | None = None) -> bool:
        """Waits until it has happened."""
        if not self._is_set:
            future: asyncio.Future[None] = self._loop.create_future()
            forget = self.on_set(lambda: None if future.done() else future.set_result(None))
            try:
                await asyncio.wait({future}, timeout=timeout)
            finally:
                forget()
        return self._is_set


class _Stream:
    """A response whose body has no end."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise http.fault(error) from error

    async def read(self) -> bytes:
        """The body to its end."""
        try:
            return await self._response.aread()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise http.fault(error) from error


class _Watchdog:
    """Cancels the task of a block of code, as :func:`asyncio.timeout` does."""

    def __init__(self, lost: TaskFlag) -> None:
        self._task = asyncio.current_task()
        self._cancelling = _cancelling(self._task)
        self._has_bitten = False
        self._forget = lost.on_set(self._bite)

    def _bite(self) -> None:
        # Where the block's own call has found it out, that call raises.
        if self._task is not None and self._task is not asyncio.current_task():
            self._has_bitten = True
            self._task.cancel("the lock is lost")

    def close(self, error: BaseException | None) -> bool:
        """The block has ended; whether it was this one that ended it."""
        self._forget()
        if not self._has_bitten:
            return False
        # Somebody else who cancelled the task as well must have their way.
        alone = _uncancel(self._task) <= self._cancelling
        return alone and isinstance(error, asyncio.CancelledError)


class TaskRuntime:
    """Tasks of the loop that runs when something is asked first."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client: httpx.AsyncClient | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self._unfinished: set[asyncio.Task[None]] = set()

    @property
    def _http(self) -> httpx.AsyncClient:
        # Not before a loop runs.
        if self._client is None:
            self._client = httpx.AsyncClient(**http.settings())
        return self._client

    async def send(self, request: Request) -> Response:
        """Sends a request once."""
        timeout = http.timeouts(self._options, request)
        sending = self._http.request(**http.arguments(request), timeout=timeout)
        try:
            # The times of httpx are those of single steps; this is of all.
            answer = await self.unless(sending, timeout=request.timeout + 0.25)
        except Interrupted as error:
            raise Fault("timed_out") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise http.fault(error) from error
        except RuntimeError as error:
            raise _closed(error) from error
        return Response(answer.status_code, answer.headers, answer.content)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[_Stream]:
        """Sends a request once, whose answer has no end."""
        timeout = http.timeouts(self._options, request, is_stream=True)
        sending = self._http.stream(**http.arguments(request), timeout=timeout)
        try:
            response = await sending.__aenter__()
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise http.fault(error) from error
        except RuntimeError as error:
            raise _closed(error) from error
        try:
            yield _Stream(response)
        finally:
            await sending.__aexit__(None, None, None)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    def flag(self) -> TaskFlag:
        """A new flag."""
        return TaskFlag()

    def turns(self, number: int) -> asyncio.Semaphore:
        """Lets so many in at a time."""
        return asyncio.Semaphore(number)

    async def unless(
        self, work: Coroutine[Any, Any, T], flag: Flag | None = None, timeout: float | None = None
    ) -> T:
        """Does some work, and gives it up when a flag is set, or after so many seconds."""
        task = asyncio.ensure_future(work)
        forget = flag.on_set(task.cancel) if isinstance(flag, TaskFlag) else None
        try:
            await asyncio.wait({task}, timeout=timeout)
        finally:
            if forget is not None:
                forget()
            if not task.done():
                task.cancel()
        if not task.done() or task.cancelled():
            raise Interrupted
        return task.result()

    def spawn(self, work: Coroutine[Any, Any, None]) -> Background:
        """Does something that nobody waits for."""
        return _start(work, self._spawned)

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something that close waits for."""
        _start(work, self._unfinished)

    def current(self) -> Hashable:
        """The task."""
        return asyncio.current_task()

    def watchdog(self, lost: Flag) -> Watchdog:
        """Watches over the task that calls."""
        assert isinstance(lost, TaskFlag)
        return _Watchdog(lost)

    async def call(self, function: Callable[..., T | Awaitable[T]], *arguments: Any) -> T:
        """Calls a user's function, which may be async."""
        value = function(*arguments)
        return await value if inspect.isawaitable(value) else value

    async def close(self) -> None:
        """Waits for releases, and closes all connections."""
        while self._unfinished:
            await asyncio.wait(set(self._unfinished))
        for task in set(self._spawned):
            task.cancel()
        if self._client is not None:
            await self._client.aclose()


def _start(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None]:
    # A loop itself keeps its tasks only weakly.
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


def _closed(error: RuntimeError) -> Exception:
    """What httpx raises of a client that was closed; the caller's own error otherwise."""
    return Fault("not_connected") if "closed" in str(error) else error


if sys.version_info >= (3, 11):

    def _cancelling(task: asyncio.Task[Any] | None) -> int:
        return 0 if task is None else task.cancelling()

    def _uncancel(task: asyncio.Task[Any] | None) -> int:
        return 0 if task is None else task.uncancel()

else:  # Python 3.10 does not count who cancels a task.

    def _cancelling(_: asyncio.Task[Any] | None) -> int:
        return 0

    def _uncancel(_: asyncio.Task[Any] | None) -> int:
        return 0
