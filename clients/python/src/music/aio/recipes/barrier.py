"""Barriers: parties that wait for each other."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from music._core.call import Repeat, read
from music._core.changes import Arrivals, read_arrivals
from music._core.kernel import Kernel
from music.aio.events import Events
from music.aio.recipes.base import Recipe
from music.errors import Timeout


@dataclass(frozen=True)
class Crossing:
    """All parties have arrived."""

    number: int
    """How often the barrier has been crossed, this time included."""
    last: bool
    """Whether this party was the last to arrive: one of them is, each time."""


class _Crossed(Recipe):
    """Something that parties cross together."""

    def __init__(self, kernel: Kernel, name: str, parties: int, party: str | None) -> None:
        super().__init__(kernel, name)
        self._parties = parties
        self._party = party or uuid.uuid4().hex

    async def _cross(self, rest: str, party: str, wait: float | None) -> Crossing:
        body = {"parties": self._parties, "party": party}
        # A party whose answer was lost may have crossed: asked again, it would wait for the next
        # crossing.
        answer = await self._until(rest, body, wait, Repeat.NEVER, _is_crossed)
        if answer is None:
            raise Timeout(f"not all {self._parties} parties arrived within {wait} s")
        return answer.parse(lambda crossed: Crossing(int(crossed["number"]), crossed["last"]))


class Barrier(_Crossed):
    """Where a number of parties wait for each other, again and again.

    Promise: no party goes on before all have arrived; when all have, all go on. Then the barrier
    is closed for the next crossing.

    Cost: a section with one write for each party, one round more for the last; the wait costs a
    connection to the own site: no majority, however many parties there are.

    On failure: a party that stops waiting is withdrawn, one that dies in the middle of the wait
    too, by its node. One that dies before it arrives holds the others up, for as long as they care
    to wait.
    """

    _kind = "barriers"

    def __init__(self, kernel: Kernel, name: str, parties: int) -> None:
        super().__init__(kernel, name, parties, None)

    async def wait(self, wait: float | None = None, party: str | None = None) -> Crossing:
        """Arrives, and waits for all others, for so many seconds at most if it is said. A party
        that was restarted arrives under its old name: then it is counted once.

        Raises:
            Timeout: not all arrived in time; this party is withdrawn, the others go on waiting.
            NameInUse: others named another number of parties.
            Error: where ``outcome`` is "unknown", all may have gone on without this party.
        """
        return await self._cross("/wait", party or uuid.uuid4().hex, wait)

    def watch(self) -> Events[Arrivals]:
        """How far the barrier is, as this site knows it, and as it changes. Only who waits may
        rely on a crossing.

        Cost and errors: as :class:`Events`.
        """
        return Events(self._kernel, read(f"{self._path}/events"), read_arrivals)


class DoubleBarrier(_Crossed):
    """Where a number of parties begin together and end together: as a block, or by enter and
    leave.

    Promise: none begins before all have entered, none goes on before all have left, and none
    enters again before.

    Cost: that of two crossings of a barrier. On failure: a party that dies inside has not left, and
    neither has one whose block raises: the others wait for it as long as they care to.
    """

    _kind = "double-barriers"

    async def enter(self, wait: float | None = None) -> Crossing:
        """Waits until all have entered, for so many seconds at most if it is said.

        Raises:
            As :meth:`Barrier.wait`.
        """
        return await self._cross("/enter", self._party, wait)

    async def leave(self, wait: float | None = None) -> Crossing:
        """Waits until all have left, for so many seconds at most if it is said.

        Raises:
            As :meth:`Barrier.wait`.
        """
        return await self._cross("/leave", self._party, wait)

    async def __aenter__(self) -> Crossing:
        return await self.enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.leave()


def _is_crossed(body: Any) -> bool:
    return bool(body["crossed"])
