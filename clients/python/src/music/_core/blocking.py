"""The runtime of :mod:`music`: every operation blocks the caller's thread."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx

from music._core import http
from music._core.options import Options
from music._core.runtime import Background, Fault, Flag, Request, Response, run
from music.errors import Invalid

T = TypeVar("T")


class BlockingFlag:
    """Something that happens once."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """It has happened."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._event.is_set()

    async def wait(self, timeout: float | None = None) -> bool:
        """Waits until it has happened."""
        return self._event.wait(timeout)


class _Turns:
    """Lets so many threads in at a time."""

    def __init__(self, number: int) -> None:
        self._free = threading.BoundedSemaphore(number)

    async def __aenter__(self) -> None:
        self._free.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


class _Thread:
    """Work in a thread. It ends by the flags that it looks at."""

    def cancel(self) -> None:
        """A thread cannot be ended from outside."""


class _NoWatchdog:
    """Nobody can stop a block of code in a thread: it finds out by what it does next."""

    def close(self, error: BaseException | None) -> bool:  # noqa: ARG002 - as others do
        """It never stops anything."""
        return False


class _Stream:
    """A response whose body has no end."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        try:
            for chunk in self._response.iter_bytes():
                yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise http.fault(error) from error

    async def read(self) -> bytes:
        """The body to its end."""
        try:
            return self._response.read()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise http.fault(error) from error


class BlockingRuntime:
    """Threads, and sockets that block."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._http = httpx.Client(**http.settings())
        self._guard = threading.Lock()
        self._unfinished: set[threading.Thread] = set()

    async def send(self, request: Request) -> Response:
        """Sends a request once."""
        try:
            answer = self._http.request(
                **http.arguments(request), timeout=http.timeouts(self._options, request)
            )
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
            response = sending.__enter__()
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise http.fault(error) from error
        except RuntimeError as error:
            raise _closed(error) from error
        try:
            yield _Stream(response)
        finally:
            sending.__exit__(None, None, None)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)

    def flag(self) -> BlockingFlag:
        """A new flag."""
        return BlockingFlag()

    def turns(self, number: int) -> _Turns:
        """Lets so many in at a time."""
        return _Turns(number)

    async def unless(
        self,
        work: Coroutine[Any, Any, T],
        flag: Flag | None = None,  # noqa: ARG002 - a thread's work cannot be given up
        timeout: float | None = None,  # noqa: ARG002
    ) -> T:
        """Does some work to its end."""
        return await work

    def spawn(self, work: Coroutine[Any, Any, None]) -> Background:
        """Does something that nobody waits for, not even the end of the program."""
        threading.Thread(target=run, args=(work,), name="music", daemon=True).start()
        return _Thread()

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something that close waits for, and the end of the program too."""
        thread = threading.Thread(target=self._finish, args=(work,), name="music-release")
        with self._guard:
            self._unfinished.add(thread)
        thread.start()

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            run(work)
        finally:
            with self._guard:
                self._unfinished.discard(threading.current_thread())

    def current(self) -> Hashable:
        """The thread."""
        return threading.get_ident()

    def watchdog(self, lost: Flag) -> _NoWatchdog:  # noqa: ARG002 - as others do
        """None."""
        return _NoWatchdog()

    async def call(self, function: Callable[..., T | Awaitable[T]], *arguments: Any) -> T:
        """Calls a user's function."""
        value = function(*arguments)
        if inspect.isawaitable(value):
            raise Invalid("an async function needs the client of music.aio")
        return value

    async def close(self) -> None:
        """Waits for releases, and closes all connections."""
        with self._guard:
            unfinished = list(self._unfinished)
        for thread in unfinished:
            thread.join()
        self._http.close()


def _closed(error: RuntimeError) -> Exception:
    """What httpx raises of a client that was closed; the caller's own error otherwise."""
    return Fault("not_connected") if "closed" in str(error) else error
