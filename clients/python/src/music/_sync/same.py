"""What the blocking classes have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from music import aio
from music._core.runtime import run
from music.aio.held import Held as AioHeld

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
S = TypeVar("S", bound="Held")
C = TypeVar("C", bound=AioHeld)


def same_as(twin: object) -> Callable[[F], F]:
    """Says of a method, or a class, what its twin says of itself."""

    def copy(documented: F) -> F:
        documented.__doc__ = twin.__doc__
        return documented

    return copy


class Held:
    """Something that is held until it is given back, or lost.

    Used in a block, it is given back at the end of the block. Where it was lost by then, the end
    of the block raises :class:`music.Lost`, unless another exception is on its way.
    """

    def __init__(self, twin: AioHeld) -> None:
        self._held = twin

    @property
    def lost(self) -> bool:
        """Whether it is known to be lost. False is no promise: the node may know more already."""
        return self._held.lost

    @same_as(AioHeld.check)
    def check(self) -> None:
        self._held.check()

    @same_as(AioHeld.wait_lost)
    def wait_lost(self, timeout: float | None = None) -> bool:
        return run(self._held.wait_lost(timeout))

    def __enter__(self: S) -> S:
        run(self._held.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run(self._held.__aexit__(kind, error, trace))


class Events(Generic[T]):
    __doc__ = aio.Events.__doc__

    def __init__(self, twin: aio.Events[T]) -> None:
        self._twin = twin

    def __iter__(self) -> Iterator[T]:
        return self

    @same_as(aio.Events.__anext__)
    def __next__(self) -> T:
        try:
            return run(self._twin.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    @same_as(aio.Events.begin)
    def begin(self) -> None:
        run(self._twin.begin())

    @same_as(aio.Events.close)
    def close(self) -> None:
        run(self._twin.close())

    def __enter__(self) -> Events[T]:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """What an asynchronous iterator gives, one by one."""
    while True:
        try:
            item = run(items.__anext__())
        except StopAsyncIteration:
            return
        yield item
