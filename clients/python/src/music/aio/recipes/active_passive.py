"""Active-passive replicas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from music._core.call import Repeat, change, milliseconds
from music._core.kernel import Kernel
from music._core.options import now
from music._core.seat import Seat
from music.aio.held import Acquiring, HeldLock
from music.aio.recipes.base import Recipe, seat_of
from music.errors import NotGranted
from music.values import Storable, Value, from_api, to_api


@dataclass(frozen=True)
class Replica:
    """A replica, as it says of itself."""

    name: str
    site: str
    """Where it is."""
    load: int
    """How much it has to do."""
    role: str
    """"passive", "waiting" or "active"."""


class Active(HeldLock):
    """A replica that is active, until it steps down or is preempted."""

    def __init__(
        self, kernel: Kernel, seat: Seat, path: str, slot: int, token: int, state: Value | None
    ) -> None:
        self._seat = seat
        self._path = path
        self._slot = slot
        self._token = token
        self._state = state
        super().__init__(kernel, [seat])

    @property
    def slot(self) -> int:
        """Its slot, from 0: no two active replicas have the same."""
        return self._slot

    @property
    def token(self) -> int:
        """The fencing token: greater than those of all earlier ones of this slot."""
        return self._token

    @property
    def state(self) -> Value | None:
        """What was saved last: by the one before, or by this one."""
        return self._state

    async def save(self, state: Storable) -> None:
        """Saves the state, for whoever takes over: at most 262,144 bytes.

        Cost: two rounds.

        Raises:
            LockLost, Error: ``outcome`` says whether it may have been saved.
        """
        saved = to_api(state)
        call = change("POST", f"{self._path}/save", Repeat.SAME_NODE, wide=True)
        await self._seat.perform(call.with_json({"lock_ref": self.lock_ref, "state": saved}))
        self._state = from_api(saved)

    async def step_down(self) -> None:
        """Lets another replica be active.

        Cost: a request to the own site.

        Raises:
            LockLost: another one may have been active before.
            Unavailable: no node answers; then the lease ends it.
        """
        self.check()
        await self._end(self._release)


class ActivePassive(Recipe):
    """Of the replicas of a service, so many are active.

    Promise: at most so many are active at a time, each in a slot with a fencing token, and each new
    one gets the state that the one before it saved. The best by site, then by load, goes first
    among those that wait.

    Cost: a section; while it waits, a replica says that it is there, at no majority's cost.

    On failure: an active replica that dies is replaced after at most two leases.
    """

    _kind = "active-passive"

    def __init__(self, kernel: Kernel, name: str, active: int, sites: Iterable[str]) -> None:
        super().__init__(kernel, name)
        self._active = active
        self._sites = list(sites)

    def activate(
        self,
        replica: str,
        site: str,
        load: int = 0,
        wait: float | None = None,
        lease: float | None = None,
    ) -> Acquiring[Active]:
        """Waits to be active, for so many seconds at most if it is said. Replicas have names of
        their own.

        Cost: a section.

        Raises:
            NotGranted: it was no turn of this replica in time.
            NameInUse: others named another number of active ones.
            Error.
        """
        return Acquiring(lambda: self._activate(replica, site, load, wait, lease))

    async def _activate(
        self, replica: str, site: str, load: int, wait: float | None, lease: float | None
    ) -> Active:
        kernel = self._kernel.with_lease(lease)
        body = {
            "active": self._active,
            "replica": replica,
            "site": site,
            "load": load,
            "sites": self._sites,
            "lease_ms": milliseconds(kernel.options.lease),
        }
        began = now()
        answer = await self._until(
            "/activate", body, wait, Repeat.ANY_NODE, lambda body: bool(body["activated"])
        )
        if answer is None:
            raise NotGranted(f"{replica!r} was not activated within {wait} s")
        lock_ref, slot, token, state = answer.parse(_activated)
        seat = await seat_of(kernel, answer.at, lock_ref, began)
        return Active(kernel, seat, self._path, slot, token, state)

    async def replicas(self) -> list[Replica]:
        """The replicas, by name, as the nearest site hears them. Whether one is active, only it
        knows.

        Cost: a request to the own site; no majority.

        Raises:
            Unavailable.
        """
        return await self._read("", lambda body: [_replica(one) for one in body["replicas"]])


def _activated(body: Any) -> tuple[str, int, int, Value | None]:
    state = body.get("state")
    value = None if state is None else from_api(state)
    return str(body["lock_ref"]), int(body["slot"]), int(body["token"]), value


def _replica(body: Any) -> Replica:
    return Replica(str(body["name"]), str(body["site"]), int(body["load"]), str(body["role"]))
