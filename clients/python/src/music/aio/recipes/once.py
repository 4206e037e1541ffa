"""A step that is done once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from music._core.call import Repeat, change, milliseconds
from music._core.kernel import Kernel
from music._core.options import now
from music._core.release import release_quietly
from music._core.seat import Seat
from music.aio.held import HeldLock
from music.aio.recipes.base import Recipe, seat_of
from music.errors import Error, Timeout
from music.values import json_of

log = logging.getLogger("music")


@dataclass(frozen=True)
class OnceState:
    """How far a step is."""

    state: Literal["undone", "begun", "done"]
    """"begun" where somebody does it, or did not live to tell."""
    result: Any = None
    """Its result, where it was done."""
    token: int | None = None
    """The fencing token under which it was begun, where it was not ended."""


class _Begun(HeldLock):
    """A step that this caller has begun."""

    def __init__(self, kernel: Kernel, seat: Seat, path: str) -> None:
        self._seat = seat
        self._path = path
        self.was_done = False
        self.result: Any = None
        super().__init__(kernel, [seat])

    async def _say(self, what: str, **more: Any) -> None:
        call = change("POST", f"{self._path}/{what}", Repeat.SAME_NODE, wide=True)
        await self._seat.perform(call.with_json({"lock_ref": self.lock_ref, **more}))

    async def _give_back(self) -> None:
        call = change("POST", f"{self._path}/done", Repeat.SAME_NODE, wide=True)
        # As it is: a result may be null, which with_json would leave out.
        body = {"lock_ref": self.lock_ref, "result": self.result}
        await self._seat.perform(call.with_json(body, keep_none=True))

    async def _abandon(self, error: BaseException) -> None:
        # Of a step that was cancelled in the middle nobody knows whether it was done.
        if isinstance(error, Exception) and not self.was_done:
            try:
                await self._say("undone")
                return
            except Error as failure:
                log.debug("a step could not be undone: %s", failure)
        await release_quietly(self._seat)


class Once(Recipe):
    """A step that is done at most once across all sites, and its result.

    Promise: one caller at a time does the step, and only while nobody has done it; all others get
    the result that it had. Where somebody began it and did not live to tell, whether it was done
    cannot be known: callers are told (:class:`music.Interrupted`), and it is not begun again before
    somebody who has looked says so, by :meth:`settle` or :meth:`forget`.

    Cost: a section with two writes around the step, one round more to announce the result;
    nothing but a request to the own site once it is known there.

    On failure: a step that raises has not been done: the next caller tries. One whose lock is lost
    is interrupted; what it does elsewhere is fenced only if it takes the token along.
    """

    _kind = "once"

    async def run(
        self,
        step: Callable[[int], Any | Awaitable[Any]],
        wait: float | None = None,
        lease: float | None = None,
    ) -> Any:
        """Does the step, unless it was done, and returns its result either way, as JSON has it.
        The step is called with its fencing token. ``wait`` is how many seconds to wait at most
        while somebody else does it.

        Raises:
            Timeout: somebody else does it still.
            Interrupted: somebody began it, and did not live to tell.
            LockLost: the lock was lost in the middle; then it is interrupted, too.
            Error: ``outcome`` says whether the step may have been done.
            What the step raises; then it is undone.
        """
        kernel = self._kernel.with_lease(lease)
        body = {"lease_ms": milliseconds(kernel.options.lease)}
        began = now()
        answer = await self._until(
            "/begin", body, wait, Repeat.ANY_NODE, lambda begun: bool(begun["state"] != "busy")
        )
        if answer is None:
            raise Timeout(f"somebody else was doing the step for all of {wait} s")
        lock_ref, token, result = answer.parse(_begun)
        if lock_ref is None:
            return result
        seat = await seat_of(kernel, answer.at, lock_ref, began)
        begun = _Begun(kernel, seat, self._path)
        async with begun:
            value = await kernel.runtime.call(step, token)
            begun.was_done = True
            begun.result = json_of(value)
        return begun.result

    async def state(self) -> OnceState:
        """How far the step is, as the nearest replica knows it. That it is done, and its result,
        stay as they are.

        Cost: a request to the own site.
        """
        return await self._read(
            "", lambda body: OnceState(body["state"], body.get("result"), body.get("token"))
        )

    async def settle(self, result: Any) -> bool:
        """Says that an interrupted step was done, and with what result; whether it was
        interrupted: else nothing was changed.

        Cost: a section with one write.
        """
        call = change("POST", f"{self._path}/settle", wide=True)
        call = call.with_json({"result": json_of(result)}, keep_none=True)
        return (await self._kernel.request(call)).parse(_settled)

    async def forget(self) -> bool:
        """Says that an interrupted step was not done: the next caller does it; whether it was
        interrupted: else nothing was changed.

        Cost: a section with one write.
        """
        call = change("POST", f"{self._path}/forget", wide=True)
        return (await self._kernel.request(call)).parse(_settled)


def _begun(body: Any) -> tuple[str | None, int, Any]:
    if body["state"] == "begun":
        return str(body["lock_ref"]), int(body["token"]), None
    return None, 0, body.get("result")


def _settled(body: Any) -> bool:
    return bool(body["settled"])
