"""Group membership."""

from __future__ import annotations

import logging
from typing import Any

from music._core.call import Repeat, change, milliseconds, read, segment
from music._core.changes import GroupEvent, Member, member_from_api
from music._core.changes import Membership as Known
from music._core.keeper import Keeper
from music._core.kernel import Kernel
from music.aio.events import Events
from music.aio.held import Acquiring, Held
from music.aio.recipes.base import Recipe
from music.errors import Error
from music.values import Storable, to_api

log = logging.getLogger("music")


class _Word:
    """What a member says of itself, again and again."""

    def __init__(self, kernel: Kernel, path: str, value: Storable) -> None:
        self._kernel = kernel
        self._path = path
        self.value = value

    async def say(self) -> None:
        """Says it once."""
        value = None if self.value is None else to_api(self.value)
        body = {"value": value, "lease_ms": milliseconds(self._kernel.options.lease)}
        await self._kernel.request(change("PUT", self._path, Repeat.ANY_NODE).with_json(body))

    async def keep(self, keeper: Keeper) -> None:
        """Says it a third of the lease apart."""
        failures = 0
        while True:
            due = self._kernel.options.pause(failures)
            if await keeper.stopped.wait(due if failures else self._kernel.options.lease / 3):
                return
            try:
                await self.say()
                failures = 0
            except Error as error:
                failures += 1
                log.debug("a member could not be heard: %s", error)


class Membership(Held):
    """A membership: others hear of this member until it leaves. It cannot be lost: where no node
    is heard, others take the member for gone, and see it again when one is."""

    def __init__(self, kernel: Kernel, path: str, word: _Word) -> None:
        self._path = path
        self._word = word
        keeper = Keeper(kernel)
        # Not by this: what nothing refers to any more is kept alive no longer.
        keeper.start(word.keep)
        super().__init__(kernel, kernel.runtime.flag(), [keeper])

    def check(self) -> None:
        """Never raises: a membership is no lock."""

    async def tell(self, value: Storable) -> None:
        """Says something else of the member from now on.

        Cost: a request to the own site; no majority.

        Raises:
            Unavailable.
        """
        self._word.value = value
        await self._word.say()

    async def leave(self) -> None:
        """Leaves the group.

        Cost: a request to the own site; no majority.

        Raises:
            Unavailable: then the others take it for gone after a lease and a quarter.
        """
        await self._end(self._say_goodbye)

    async def _say_goodbye(self) -> None:
        await self._kernel.request(change("DELETE", self._path, Repeat.ANY_NODE))

    async def _give_back(self) -> None:
        await self._abandon(None)

    async def _abandon(self, error: BaseException | None) -> None:  # noqa: ARG002 - whatever it was
        try:
            await self._say_goodbye()
        except Error as failure:
            log.warning("a member could not leave, its lease ends it: %s", failure)


class Group(Recipe):
    """Who is there.

    Promise: a member that can be heard at the observer's site is listed; one that was not heard
    for a lease and a quarter is not. It is no lock: two observers may differ for a while, and on
    two sides of a cut for as long as it lasts.

    Cost: a request to the own site for each member and third of a lease: no majority.

    On failure: a member that dies leaves after a lease and a quarter, by the observer's clock.
    """

    _kind = "groups"

    def join(
        self, name: str, value: Storable = None, lease: float | None = None
    ) -> Acquiring[Membership]:
        """Joins under a name, with what the member says of itself. Members have names of their
        own; a second one of that name takes the place of the first.

        Cost: a request to the own site; no majority.

        Raises:
            Error.
        """
        return Acquiring(lambda: self._join(name, value, lease))

    async def _join(self, name: str, value: Storable, lease: float | None) -> Membership:
        kernel = self._kernel.with_lease(lease)
        path = f"{self._path}/members/{segment(name)}"
        word = _Word(kernel, path, value)
        await word.say()
        return Membership(kernel, path, word)

    async def members(self) -> list[Member]:
        """The members, by name, as the nearest site knows them.

        Cost: a request to the own site; no majority.

        Raises:
            Unavailable.
        """
        return await self._read("/members", _members)

    def watch(self) -> Events[GroupEvent]:
        """Who comes, changes and goes, as this site hears it; all that are there join at first.

        Cost and errors: as :class:`Events`.
        """
        known = Known()

        async def again() -> list[GroupEvent]:
            return known.bridge(await self.members())

        return Events(self._kernel, read(f"{self._path}/events"), known.read, again)


def _members(body: Any) -> list[Member]:
    return [member_from_api(member) for member in body["members"]]
