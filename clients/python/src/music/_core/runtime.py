"""What the client needs of its surroundings, so that all else is written once.

The client is written as coroutines over this protocol. :mod:`music.aio` runs them in asyncio.
:mod:`music` runs the same coroutines in the caller's thread: there every operation of the runtime
blocks and never suspends, so that a coroutine runs to its end at the first step (:func:`run`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """An HTTP request, to be sent once."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float
    """In seconds."""


@dataclass(frozen=True)
class Response:
    """An HTTP response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(Protocol):
    """An HTTP response whose body has no end."""

    status: int

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""

    async def read(self) -> bytes:
        """The body to its end."""


class Fault(Exception):
    """A request that was not answered."""

    def __init__(self, kind: Literal["not_connected", "timed_out", "broken"]) -> None:
        super().__init__(kind)
        self.kind = kind


class Interrupted(Exception):
    """Work that was given up, because a flag was set or its time is over."""


class Flag(Protocol):
    """Something that happens once."""

    def set(self) -> None:
        """It has happened. May be called from any thread."""

    def is_set(self) -> bool:
        """Whether it has happened."""

    async def wait(self, timeout: float | None = None) -> bool:
        """Waits until it has happened, for so many seconds at most; whether it has."""


class Background(Protocol):
    """Work that goes on beside the caller's."""

    def cancel(self) -> object:
        """Ends it soon, where that can be done."""


class Watchdog(Protocol):
    """Stops the caller's block of code when what it holds is lost, where that can be done."""

    def close(self, error: BaseException | None) -> bool:
        """The block has ended, with that error; whether the watchdog stopped it."""


class Runtime(Protocol):
    """What the client needs of its surroundings."""

    async def send(self, request: Request) -> Response:
        """Sends a request once. Raises Fault."""

    def stream(self, request: Request) -> AbstractAsyncContextManager[Stream]:
        """Sends a request once, whose answer has no end. Raises Fault, also from its chunks."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""

    def flag(self) -> Flag:
        """A new flag."""

    def turns(self, number: int) -> AbstractAsyncContextManager[Any]:
        """Lets so many in at a time; entered again and again."""

    async def unless(
        self, work: Coroutine[Any, Any, T], flag: Flag | None = None, timeout: float | None = None
    ) -> T:
        """Does some work, and gives it up when a flag is set, or after so many seconds: raises
        Interrupted. A runtime that cannot give work up does it to its end."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> Background:
        """Does something in the background that nobody waits for."""

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something in the background that :meth:`close` waits for."""

    def current(self) -> Hashable:
        """Who calls: a thread or a task."""

    def watchdog(self, lost: Flag) -> Watchdog:
        """Watches over the block of code that the caller enters."""

    async def call(self, function: Callable[..., T | Awaitable[T]], *arguments: Any) -> T:
        """Calls a user's function, and awaits what it returns if that is to be awaited."""

    async def close(self) -> None:
        """Waits for what is to be finished, and closes all connections."""


def run(work: Awaitable[T]) -> T:
    """Runs what never suspends, because its runtime blocks instead."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        value: T = end.value
        return value
    raise RuntimeError("a blocking runtime has suspended")
