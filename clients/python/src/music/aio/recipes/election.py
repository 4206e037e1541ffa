"""Leader election."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from music._core.call import Repeat, change, milliseconds, read
from music._core.changes import Leader, leader_from_api, read_leader
from music._core.kernel import Kernel
from music._core.options import now
from music._core.release import release_quietly
from music._core.seat import Seat
from music.aio.events import Events
from music.aio.held import Acquiring, HeldLock
from music.aio.recipes.base import Recipe, seat_of
from music.errors import Error, NotGranted
from music.values import Storable, from_api, to_api

log = logging.getLogger("music")


class Leadership(HeldLock):
    """A leadership, until it is resigned or lost."""

    def __init__(self, kernel: Kernel, seat: Seat, path: str, leader: Leader) -> None:
        self._seat = seat
        self._path = path
        self._leader = leader
        super().__init__(kernel, [seat])

    @property
    def leader(self) -> Leader:
        """The leader, as observers see it."""
        return self._leader

    @property
    def token(self) -> int:
        """The fencing token: greater than those of all leaders before."""
        return self._leader.token

    async def proclaim(self, value: Storable) -> None:
        """Says something else of the leader from now on.

        Cost: two rounds.

        Raises:
            LockLost, Error: ``outcome`` says whether it may have been said.
        """
        said = to_api(value)
        await self._tell("/proclaim", value=said)
        self._leader = replace(self._leader, value=from_api(said))

    async def resign(self) -> None:
        """Ends the leadership; observers are told that nobody leads.

        Cost: two rounds.

        Raises:
            LockLost: it had been lost before.
            Error: where no node answers, the lease ends it.
        """
        self.check()
        await self._end(lambda: self._tell("/resign"))

    async def hand_over(self, successor: str) -> None:
        """Ends the leadership in favour of a candidate: those before it in the queue give way,
        once.

        Cost and errors: as :meth:`resign`.
        """
        self.check()
        await self._end(lambda: self._tell("/resign", hand_over_to=successor))

    async def _tell(self, what: str, **more: Any) -> None:
        call = change("POST", self._path + what, Repeat.SAME_NODE, wide=True)
        await self._seat.perform(call.with_json({"lock_ref": self.lock_ref, **more}))

    async def _give_back(self) -> None:
        await self._tell("/resign")

    async def _abandon(self, error: BaseException) -> None:  # noqa: ARG002 - whatever it was
        try:
            await self._tell("/resign")
        except Error as error_of_resigning:
            log.debug("a leadership could not be resigned: %s", error_of_resigning)
            await release_quietly(self._seat)


class Election(Recipe):
    """One leader at a time.

    Promise: at most one :class:`Leadership` is valid at a time; leaders have growing fencing
    tokens. A leader that was preempted is told, and cannot write over its successor's word.
    Candidates lead in the order in which they asked, but for one that the leader names.

    Cost: a section with one write to lead. To observe costs a connection to the own site, and no
    majority.

    On failure: a leader that dies is forced out after at most two leases. Observers see it until
    the next one leads: whether it still leads, only its own leadership knows.
    """

    _kind = "elections"

    def campaign(
        self,
        candidate: str,
        value: Storable = None,
        wait: float | None = None,
        lease: float | None = None,
    ) -> Acquiring[Leadership]:
        """Waits to lead, for so many seconds at most if it is said. ``value`` is what the
        candidate says of itself, such as its address. Candidates have names of their own.

        Cost: a section with one write.

        Raises:
            NotGranted: it does not lead in time.
            Error.
        """
        return Acquiring(lambda: self._campaign(candidate, value, wait, lease))

    async def _campaign(
        self, candidate: str, value: Storable, wait: float | None, lease: float | None
    ) -> Leadership:
        kernel = self._kernel.with_lease(lease)
        body = {
            "candidate": candidate,
            "value": None if value is None else to_api(value),
            "lease_ms": milliseconds(kernel.options.lease),
        }
        began = now()
        answer = await self._until("/campaign", body, wait, Repeat.ANY_NODE, _is_elected)
        if answer is None:
            raise NotGranted(f"{candidate!r} was not elected within {wait} s")
        leader, lock_ref = answer.parse(_elected)
        seat = await seat_of(kernel, answer.at, lock_ref, began)
        return Leadership(kernel, seat, self._path, leader)

    async def leader(self) -> Leader | None:
        """Who leads or led last, as the nearest replica knows it; None where nobody ever led, or
        the last one resigned.

        Cost: a request to the own site; no majority.

        Raises:
            Unavailable.
        """
        return await self._read("", lambda body: leader_from_api(body["leader"]))

    def observe(self) -> Events[Leader | None]:
        """Who leads, as it is and as it changes. Changes in quick succession may come as one.

        Cost and errors: as :class:`Events`.
        """
        return Events(self._kernel, read(f"{self._path}/events"), read_leader)


def _is_elected(body: Any) -> bool:
    return bool(body["elected"])


def _elected(body: Any) -> tuple[Leader, str]:
    leader = leader_from_api(body["leader"])
    if leader is None:
        raise ValueError("elected, and no leader")
    return leader, str(body["lock_ref"])
