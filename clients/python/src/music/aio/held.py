"""What is held for a block of code, and how the block ends."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable
from types import TracebackType
from typing import Any, Generic, TypeVar

from music._core.keeper import Keeper, keep
from music._core.kernel import Kernel
from music._core.release import release, release_quietly
from music._core.runtime import Flag, Watchdog
from music._core.seat import Seat
from music.errors import Error, Lost, Unavailable

H = TypeVar("H", bound="Held")

log = logging.getLogger("music")


class Held:
    """Something that is held until it is given back, or lost.

    Used in a block, it is given back at the end of the block. Where it was lost by then, the end
    of the block raises :class:`music.Lost`, unless another exception is on its way. It is not kept
    alive when nothing refers to it any more: then its lease ends it.
    """

    def __init__(self, kernel: Kernel, lost: Flag, keepers: list[Keeper]) -> None:
        self._kernel = kernel
        self._lost = lost
        self._keepers = keepers
        self._is_over = False
        self._watchdog: Watchdog | None = None
        self._forgotten = weakref.finalize(self, _forget, keepers)
        self._forgotten.atexit = False

    @property
    def lost(self) -> bool:
        """Whether it is known to be lost. False is no promise: the node may know more already."""
        try:
            self.check()
        except Lost:
            return True
        return False

    def check(self) -> None:
        """Raises where it is known to be lost. Asks nobody, so that it costs nothing.

        Raises:
            LockLost, ClaimLost.
        """
        raise NotImplementedError

    async def wait_lost(self, timeout: float | None = None) -> bool:
        """Waits until it is lost, for so many seconds at most if it is said; whether it is. For
        code beside the block, which would not be told otherwise."""
        await self._lost.wait(timeout)
        return self.lost

    async def _give_back(self) -> None:
        """Ends it well."""
        raise NotImplementedError

    async def _abandon(self, error: BaseException) -> None:
        """Ends it after its block failed so; raises nothing."""
        raise NotImplementedError

    def _begin_end(self) -> bool:
        """Notes that it ends now; whether that is to be done still."""
        if self._is_over:
            return False
        self._is_over = True
        if self._watchdog is not None:
            self._watchdog.close(None)
            self._watchdog = None
        self._forgotten.detach()
        for keeper in self._keepers:
            keeper.stop()
        return True

    async def _end(self, give_back: Callable[[], Awaitable[None]]) -> None:
        """Gives it back, unless that was done, or it is lost."""
        if self._is_over:
            return
        try:
            self.check()
        finally:
            self._begin_end()
        try:
            await give_back()
        except (Lost, Unavailable):
            raise
        except BaseException:
            # Refused, or cancelled: others need not wait for the lease.
            self._kernel.runtime.finish(self._leave())
            raise

    async def _leave(self) -> None:
        """Frees what others wait for; raises nothing."""

    async def __aenter__(self: H) -> H:
        if not self._is_over:
            self._watchdog = self._kernel.runtime.watchdog(self._lost)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        watchdog, self._watchdog = self._watchdog, None
        was_stopped = watchdog is not None and watchdog.close(error)
        if error is None or was_stopped:
            try:
                await self._end(self._give_back)
            except Lost as lost:
                # The cancellation was ours: it says no more than this does.
                raise lost from lost.__cause__
            return
        if not self._begin_end():
            return
        if isinstance(error, Exception):
            await self._abandon(error)
        else:
            # Whoever cancels or interrupts does not wait.
            self._kernel.runtime.finish(self._abandon(error))


def _forget(keepers: list[Keeper]) -> None:
    # Whoever collects garbage does not run the loop: work is told, and not ended from here.
    for keeper in keepers:
        keeper.stopped.set()


class HeldLock(Held):
    """Something that is held by lockRefs: kept alive until it is given back, or lost."""

    def __init__(self, kernel: Kernel, seats: list[Seat]) -> None:
        self._seats = seats
        super().__init__(kernel, seats[0].lost, [keep(seat) for seat in seats])

    @property
    def lock_ref(self) -> str:
        """The lockRef, for another process or an administrator; of several, the first."""
        return self._seats[0].lock_ref

    @property
    def endpoint(self) -> str:
        """The address of the node that keeps it at present."""
        return self._seats[0].url(self._seats[0].spot)

    def check(self) -> None:
        """Raises where it is known to be lost. Asks nobody, so that it costs nothing.

        Raises:
            LockLost: somebody else may hold it by now.
        """
        for seat in self._seats:
            seat.check()

    def _begin_end(self) -> bool:
        is_due = super()._begin_end()
        for seat in self._seats:
            seat.is_over = True
        return is_due

    async def _release(self) -> None:
        failures = [failure for seat in self._seats if (failure := await _try_release(seat))]
        if failures:
            raise failures[0]

    async def _give_back(self) -> None:
        try:
            await self._release()
        except Lost:
            raise
        except Error as error:
            # What was acknowledged stays, and the lease ends it: the block has not failed.
            log.warning("%s could not be released, its lease ends it: %s", self.lock_ref, error)

    async def _abandon(self, error: BaseException) -> None:  # noqa: ARG002 - whatever it was
        await self._leave()

    async def _leave(self) -> None:
        for seat in self._seats:
            await release_quietly(seat)


async def _try_release(seat: Seat) -> Error | None:
    try:
        await release(seat)
    except Error as error:
        return error
    return None


class Acquiring(Generic[H]):
    """Something that is being acquired: to be awaited, or entered by ``async with``."""

    def __init__(self, acquire: Callable[[], Coroutine[Any, Any, H]]) -> None:
        self._acquire = acquire
        self._held: H | None = None

    def __await__(self) -> Generator[Any, None, H]:
        return self._acquire().__await__()

    async def __aenter__(self) -> H:
        self._held = await self._acquire()
        return await self._held.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        held, self._held = self._held, None
        if held is not None:
            await held.__aexit__(kind, error, trace)


class Enterable(Generic[H]):
    """Something that is acquired at the beginning of a block: by several threads or tasks at
    once, if they like."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._entered: dict[Hashable, list[H]] = {}

    async def _enter(self) -> H:
        """Acquires it."""
        raise NotImplementedError

    async def __aenter__(self) -> H:
        held = await self._enter()
        self._entered.setdefault(self._kernel.runtime.current(), []).append(held)
        return await held.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        who = self._kernel.runtime.current()
        stack = self._entered[who]
        held = stack.pop()
        if not stack:
            del self._entered[who]
        await held.__aexit__(kind, error, trace)
