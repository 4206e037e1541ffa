"""What all recipes have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from music._core.call import Call, Repeat, change, milliseconds, read, segment
from music._core.keeper import renew
from music._core.kernel import Kernel
from music._core.options import now
from music._core.place import Place
from music._core.release import release_quietly
from music._core.runtime import Flag
from music._core.seat import Seat
from music._core.transport import Answer

T = TypeVar("T")

# How long a node is asked to wait at most, in seconds: nodes refuse more than a minute. Who waits
# longer asks again, and goes to the end of the queue.
_WAIT_MAX = 30.0


class Recipe:
    """A recipe of a name. Nothing is asked when it is made."""

    _kind: str

    def __init__(self, kernel: Kernel, name: str) -> None:
        self._kernel = kernel
        self._path = f"/v1/recipes/{self._kind}/{segment(name)}"

    async def _read(self, rest: str, reader: Callable[[Any], T]) -> T:
        """Reads what the recipe is."""
        return (await self._kernel.request(read(self._path + rest))).parse(reader)

    async def _change(
        self, method: str, rest: str, body: Mapping[str, Any], reader: Callable[[Any], T]
    ) -> T:
        """Changes something, once."""
        call = change(method, self._path + rest, wide=True).with_json(body)
        return (await self._kernel.request(call)).parse(reader)

    async def _until(
        self,
        rest: str,
        body: Mapping[str, Any],
        wait: float | None,
        repeat: Repeat,
        is_done: Callable[[Any], bool],
    ) -> Answer | None:
        """Asks until it is done; None where the wait is over before."""
        until = None if wait is None else now() + wait
        while True:
            left = _WAIT_MAX if until is None else min(max(until - now(), 0.0), _WAIT_MAX)
            call = Call("POST", self._path + rest, repeat, wide=True, wait=left)
            answer = await self._kernel.request(
                call.with_json({**body, "wait_ms": milliseconds(left)})
            )
            if answer.parse(is_done):
                return answer
            if until is not None and until <= now():
                return None


async def seat_of(
    kernel: Kernel, at: int, lock_ref: str, began: float, lost: Flag | None = None
) -> Seat:
    """Takes over a lockRef that a route gave out, at the node that did."""
    place = Place(len(kernel.endpoints), at).ask().settle()
    seat = Seat(kernel, lock_ref, kernel.options.lease, place, lost)
    # The node kept it alive itself until it answered. When that was, only it knows.
    if now() - began > seat.lease / 4:
        try:
            await renew(seat)
        except BaseException:
            seat.is_over = True
            kernel.runtime.finish(release_quietly(seat))
            raise
    return seat
