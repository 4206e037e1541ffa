"""A work queue."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from music._core.call import Call, Repeat, change, milliseconds
from music._core.keeper import Keeper
from music._core.kernel import Kernel
from music._core.options import now
from music._core.runtime import Flag
from music.aio.held import Acquiring, Held
from music.aio.recipes.base import Recipe
from music.errors import ClaimLost, Error, Timeout
from music.values import Storable, Value, from_api, to_api

log = logging.getLogger("music")

_CLAIM_LOST = "MUSIC-6008"


@dataclass(frozen=True)
class Push:
    """An item to push."""

    value: Storable
    """What it is: at most 16,384 bytes."""
    priority: int = 0
    """How urgent it is: 255 goes first, 0 last."""
    delay: float = 0.0
    """How many seconds it is held back."""


class _Claim:
    """The claim on an item, as its keeper and its holder know it."""

    def __init__(self, kernel: Kernel, path: str, item_id: str, token: int, claim: float) -> None:
        self.kernel = kernel
        self.path = path
        self.id = item_id
        self.token = token
        self.claim = claim
        self.until = now() + claim
        self.lost: Flag = kernel.runtime.flag()

    def check(self) -> None:
        """Raises ClaimLost where it is lost."""
        if self.lost.is_set() or self.until <= now():
            self.lost.set()
            raise ClaimLost

    async def say(self, what: str, repeat: Repeat = Repeat.SAME_NODE, **more: Any) -> None:
        """Tells the queue what becomes of the item."""
        call: Call = change("POST", f"{self.path}/{what}", repeat, wide=True)
        try:
            await self.kernel.request(call.with_json({"id": self.id, "token": self.token, **more}))
        except Error as error:
            if error.code != _CLAIM_LOST:
                raise
            self.lost.set()
            raise ClaimLost(error.outcome) from error

    async def keep(self, keeper: Keeper) -> None:
        """Renews the claim until it is to end, or lost."""
        failures = 0
        while True:
            due = max(self.until - self.claim * 2 / 3 - now(), 0.0)
            due = max(due, self.kernel.options.pause(failures)) if failures else due
            if await keeper.stopped.wait(due) or self.lost.is_set():
                return
            began = now()
            try:
                await self.say("renew", Repeat.ANY_NODE, claim_ms=milliseconds(self.claim))
                self.until = began + self.claim
                failures = 0
            except ClaimLost:
                return
            except Error as error:
                failures += 1
                log.debug("a claim could not be renewed: %s", error)
            if self.until <= now():
                self.lost.set()
                return


class Item(Held):
    """An item that was taken: this taker's until it says done, gives it back, or its claim is
    lost. Used in a block, the claim is renewed while the block runs; the item is done at its end,
    and given back where it raises."""

    def __init__(self, claim: _Claim, deliveries: int, value: Value) -> None:
        self._claim = claim
        self._deliveries = deliveries
        self._value = value
        keeper = Keeper(claim.kernel)
        keeper.start(claim.keep)
        super().__init__(claim.kernel, claim.lost, [keeper])

    @property
    def id(self) -> str:
        """The item's id: one item of the queue has it, for ever."""
        return self._claim.id

    @property
    def token(self) -> int:
        """The fencing token of this delivery: greater than those of all earlier ones."""
        return self._claim.token

    @property
    def deliveries(self) -> int:
        """How often the item was delivered, this time included."""
        return self._deliveries

    @property
    def value(self) -> Value:
        """What was pushed."""
        return self._value

    @property
    def text(self) -> str:
        """What was pushed, as text."""
        return self._value.text

    @property
    def bytes(self) -> bytes:
        """What was pushed, as bytes."""
        return self._value.bytes

    @property
    def json(self) -> Any:
        """What was pushed, from JSON."""
        return self._value.json

    def check(self) -> None:
        """Raises where the claim is known to be lost. Asks nobody, so that it costs nothing.

        Raises:
            ClaimLost: somebody else may have the item by now.
        """
        self._claim.check()

    async def done(self) -> None:
        """Says that the item is done: it is never delivered again.

        Cost: a section with one write.

        Raises:
            ClaimLost: somebody else has it, or it was done already.
            Error: where ``outcome`` is "unknown", it may be done.
        """
        await self._end(self._give_back)

    async def give_back(self, after: float = 0.0) -> None:
        """Gives the item back, to be taken by others, in so many seconds.

        Cost and errors: as :meth:`done`.
        """
        self.check()
        await self._end(lambda: self._claim.say("give-back", after_ms=milliseconds(after)))

    async def _give_back(self) -> None:
        await self._claim.say("done")

    async def _abandon(self, error: BaseException) -> None:  # noqa: ARG002 - whatever it was
        try:
            await self._claim.say("give-back")
        except Error as failure:
            log.warning("an item could not be given back, its claim lapses: %s", failure)


class Queue(Recipe):
    """Items for takers at all sites.

    Promise: what was pushed is delivered until a taker says that it is done, to one taker at a
    time whose claim has not lapsed: the more urgent first, then in the order of pushing. A delivery
    may come again, under a higher token: give that to other systems.

    Cost: a section to push, to take and to be done; takers that wait cost a connection to the own
    site. On failure: an item of a taker that dies is delivered again when its claim has lapsed.
    """

    _kind = "queues"

    async def push(self, value: Storable, priority: int = 0, delay: float = 0.0) -> None:
        """Pushes an item: 255 is the highest priority; it is held back for so many seconds.

        Cost: a section with one write.

        Raises:
            QueueFull: it keeps no more.
            Error: where ``outcome`` is "unknown", it may have been pushed.
        """
        await self.push_all([Push(value, priority, delay)])

    async def push_all(self, items: Iterable[Push]) -> int:
        """Pushes items, in this order, 256 at most; returns how many.

        Cost and errors: as :meth:`push`. Where it fails in the middle, any first part of them may
        be pushed.
        """
        body = [
            {
                "value": to_api(item.value),
                "priority": item.priority,
                "delay_ms": milliseconds(item.delay),
            }
            for item in items
        ]
        return await self._change("POST", "/push", {"items": body}, lambda b: int(b["pushed"]))

    def take(self, wait: float | None = None, claim: float = 30.0) -> Acquiring[Item]:
        """Waits for an item and takes it, for so many seconds at most if it is said: in much less
        than a second none is found. ``claim`` is how many seconds it is this taker's, from each
        proof of life.

        Cost: a section with one write.

        Raises:
            Timeout: there was none in time.
            Error.
        """
        return Acquiring(lambda: self._take(wait, claim))

    async def take_many(
        self, most: int, wait: float | None = None, claim: float = 30.0
    ) -> list[Item]:
        """Waits for an item, and takes it with others that one client pushed, 1 to 32 at most.
        Each is kept until it is done or given back; none where there was none in time.

        Cost and errors: as :meth:`take`.
        """
        body = {"most": most, "claim_ms": milliseconds(claim)}
        answer = await self._until(
            "/take", body, wait, Repeat.ANY_NODE, lambda taken: bool(taken["items"])
        )
        return [] if answer is None else answer.parse(lambda taken: self._items(taken, claim))

    async def _take(self, wait: float | None, claim: float) -> Item:
        items = await self.take_many(1, wait, claim)
        if not items:
            raise Timeout(f"there was no item within {wait} s")
        return items[0]

    async def length(self) -> int:
        """How many items there are, with takers and held back ones, as the nearest site knows.

        Cost: a request to the own site; no majority.
        """
        return await self._read("", lambda body: int(body["length"]))

    def _items(self, body: Any, claim: float) -> list[Item]:
        return [
            Item(
                _Claim(self._kernel, self._path, str(item["id"]), int(item["token"]), claim),
                int(item["deliveries"]),
                from_api(item["value"]),
            )
            for item in body["items"]
        ]
