"""A semaphore."""

from __future__ import annotations

from typing import Any

from music._core.call import Repeat, milliseconds
from music._core.kernel import Kernel
from music._core.options import now
from music._core.release import release_quietly
from music._core.seat import Seat
from music.aio.held import Acquiring, HeldLock
from music.aio.recipes.base import Recipe, seat_of
from music.errors import NotGranted


class Permit(HeldLock):
    """Permits that are held. When one of them is lost, all are taken for lost."""

    def __init__(
        self, kernel: Kernel, seats: list[Seat], numbers: list[int], tokens: list[int]
    ) -> None:
        self._numbers = numbers
        self._tokens = tokens
        super().__init__(kernel, seats)

    @property
    def numbers(self) -> list[int]:
        """Their numbers, from 0: no two permits that are valid have the same."""
        return list(self._numbers)

    @property
    def token(self) -> int:
        """The fencing token of the first: greater than those of all earlier holders of that
        number."""
        return self._tokens[0]

    @property
    def tokens(self) -> list[int]:
        """A fencing token for each, in the order of the numbers."""
        return list(self._tokens)

    async def release(self) -> None:
        """Gives the permits back.

        Cost: a request to the own site for each.

        Raises:
            LockLost: one had been lost before.
            Unavailable: no node answers; then the lease ends them.
        """
        self.check()
        await self._end(self._release)


class Semaphore(Recipe):
    """A number of permits, each held by one at a time.

    Promise: at most as many permits are valid as there are. Each is a lock of its own, with a
    fencing token of its own: one whose holder dies is free after at most two leases, and the
    holder, should it live, is told. Who waits is served in the order of asking.

    Cost: two sections, the first one shared by all that ask at once: the gate, at which they
    queue, and the permit.

    On failure: one that dies at the gate holds the others up for at most two leases.
    """

    _kind = "semaphores"

    def __init__(self, kernel: Kernel, name: str, permits: int) -> None:
        super().__init__(kernel, name)
        self._permits = permits

    def acquire(
        self, number: int = 1, wait: float | None = None, lease: float | None = None
    ) -> Acquiring[Permit]:
        """Waits for a permit, or for several together, for so many seconds at most if it is said.

        Cost: two sections, where one is free.

        Raises:
            NotGranted: they were not free in time.
            NameInUse: others named another number of permits.
            BadRequest: there are not so many.
        """
        return Acquiring(lambda: self._acquire(number, wait, lease))

    async def try_acquire(self, number: int = 1) -> Permit | None:
        """Takes permits that are free at once or almost; None if they are not.

        Cost and errors: as :meth:`acquire`.
        """
        try:
            return await self.acquire(number, wait=0)
        except NotGranted:
            return None

    async def _acquire(self, number: int, wait: float | None, lease: float | None) -> Permit:
        kernel = self._kernel.with_lease(lease)
        body = {
            "permits": self._permits,
            "number": number,
            "lease_ms": milliseconds(kernel.options.lease),
        }
        began = now()
        answer = await self._until("/acquire", body, wait, Repeat.ANY_NODE, _is_acquired)
        if answer is None:
            raise NotGranted(f"the permits were not free within {wait} s")
        held = answer.parse(_held)
        lost = kernel.runtime.flag()
        seats: list[Seat] = []
        try:
            for _, lock_ref, _ in held:
                seats.append(await seat_of(kernel, answer.at, lock_ref, began, lost))
        except BaseException:
            for seat in seats:
                seat.is_over = True
                kernel.runtime.finish(release_quietly(seat))
            raise
        return Permit(kernel, seats, [permit[0] for permit in held], [permit[2] for permit in held])


def _is_acquired(body: Any) -> bool:
    return bool(body["acquired"])


def _held(body: Any) -> list[tuple[int, str, int]]:
    permits = [(int(p["number"]), str(p["lock_ref"]), int(p["token"])) for p in body["held"]]
    if not permits:
        raise ValueError("no permits")
    return permits
