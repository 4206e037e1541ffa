"""A lockRef in the hands of this client: where it is kept, whether it is still held, and how a
request for it reaches the right node."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from music._core.call import Call, Failures, Repeat, change, milliseconds
from music._core.judge import Verdict, judge
from music._core.kernel import Kernel
from music._core.options import now, poll
from music._core.place import Place, Spot
from music._core.puts import Put
from music._core.runtime import Flag, Interrupted
from music._core.transport import Answer
from music.errors import (
    Error,
    LockLost,
    LostReason,
    Outcome,
    Unanswered,
    Unavailable,
    give_up,
    worse,
)

# The longest lease that is reckoned with; no node gives a longer one.
_LEASE_MAX = 86_400.0


class Seat:
    """A lockRef in the hands of this client."""

    def __init__(
        self, kernel: Kernel, lock_ref: str, lease: float, place: Place, lost: Flag | None = None
    ) -> None:
        self.kernel = kernel
        self.lock_ref = lock_ref
        self.lease = min(lease, _LEASE_MAX)
        self.lost = lost or kernel.runtime.flag()
        """Set once, when the lock is lost; several seats that are held together share one."""
        self.reason: LostReason | None = None
        self.is_held = False
        """Whether it was granted, so that it can be lost by the clock too."""
        self.is_over = False
        """Whether this client has given it up: from then on it cannot be lost."""
        self._place = place
        self._guard = threading.Lock()
        # Held while the section is moved.
        self._turn = kernel.runtime.turns(1)
        # Set, and replaced, when the lock is lost or moves: whoever waits for an answer of a node
        # that was left meanwhile need not wait.
        self._changed = kernel.runtime.flag()
        self._proved = now()

    def path(self, rest: str) -> str:
        """``/v1/locks/{lock_ref}`` and more."""
        return f"/v1/locks/{self.lock_ref}{rest}"

    @property
    def spot(self) -> Spot:
        """Whom to talk to."""
        return self._place.spot

    @property
    def changed(self) -> Flag:
        """Set when the section is lost or has moved on from where it is now."""
        return self._changed

    def url(self, spot: Spot) -> str:
        """The address of a node."""
        return self.kernel.endpoints.urls[spot.at]

    @property
    def valid_until(self) -> float:
        """Until when the lock is held if no node answers any more."""
        return self._proved + self.lease

    def prove(self, began: float) -> None:
        """A node took the request begun then as a proof of life."""
        with self._guard:
            self._proved = max(began, self._proved)

    def lose(self, reason: LostReason, outcome: Outcome = "not_applied") -> LockLost:
        """Notes that the lock is lost; the first reason stays."""
        with self._guard:
            if self.reason is None and not self.is_over:
                self.reason = reason
        if not self.is_over:
            self.lost.set()
            self._ring()
        return LockLost(self.reason or reason, outcome)

    def check(self, outcome: Outcome = "not_applied") -> None:
        """Raises LockLost where the lock is known to be lost."""
        if self.is_held and not self.is_over and self.valid_until <= now():
            raise self.lose("lease_expired", outcome)
        if self.reason is not None:
            raise LockLost(self.reason, outcome)

    def _ring(self) -> None:
        with self._guard:
            changed, self._changed = self._changed, self.kernel.runtime.flag()
        changed.set()

    def _step(self, place: Place) -> None:
        has_moved = place.epoch != self._place.epoch
        self._place = place
        if has_moved:
            self._ring()

    async def perform(self, call: Call, put: Put | None = None) -> Answer:
        """Makes a request of the section until it succeeds, fails for good, or every attempt
        that is allowed has failed."""
        self.check()
        failures = Failures()
        outcome: Outcome = "not_applied"
        try:
            spot = await self.settled()
            while True:
                try:
                    return await self._attempt(spot, call)
                except LockLost:
                    raise
                except Error as error:
                    last = error
                outcome = worse(outcome, last.outcome)
                failures.add()
                if failures.in_all >= self.attempts_max:
                    raise give_up(last, failures.in_all, outcome) from last
                if self.spot.epoch == spot.epoch:
                    verdict = judge(last)
                    if verdict is Verdict.STOP:
                        raise give_up(last, failures.in_all, outcome) from last
                    await self.react(spot, verdict, failures)
                following = await self.settled()
                is_known = following.epoch == spot.epoch and (put is None or put.is_remembered())
                if outcome == "unknown" and not is_known and not _may_repeat(call, put):
                    raise give_up(last, failures.in_all, outcome) from last
                if following.epoch != spot.epoch:
                    failures.here = 0
                spot = following
        except Error as error:
            raise _with(error, outcome) from error.__cause__

    async def _attempt(self, spot: Spot, call: Call) -> Answer:
        """One attempt. An answer of a node that the section has left by then does not count:
        what it acknowledged may have been ordered away."""
        outcome: Outcome = "unknown" if call.changes else "not_applied"
        self.check()
        changed = self._changed
        failure: Error | None = None
        answer: Answer | None = None
        if self.spot.epoch == spot.epoch:
            sending = self.kernel.transport.send(self.url(spot), call, spot.at)
            try:
                answer = await self.kernel.runtime.unless(sending, changed)
            except Interrupted:
                pass
            except Error as error:
                failure = error
        if self.reason is not None:
            raise LockLost(self.reason, outcome)
        if failure is not None and self.spot.epoch == spot.epoch:
            raise failure
        if answer is None or self.spot.epoch != spot.epoch:
            raise Unanswered(self.url(spot), "left", outcome)
        return answer

    async def react(self, spot: Spot, verdict: Verdict, failures: Failures) -> None:
        """Does what is due after a failed attempt."""
        if verdict is Verdict.LOST:
            raise self.lose("preempted")
        if verdict is Verdict.FORGOTTEN:
            await self._acquire_again(spot)
        elif verdict is Verdict.TURN or (
            verdict is Verdict.RETRY and failures.here >= self.kernel.options.attempts
        ):
            await self._move_on(spot)
        elif verdict is not Verdict.STOP:
            await self.kernel.pause(failures.here)

    @property
    def attempts_max(self) -> int:
        """How many attempts a request may have at all nodes."""
        return self.kernel.options.attempts * len(self.kernel.endpoints)

    async def settled(self) -> Spot:
        """The node that keeps the section; acquires it there first where that is not settled."""
        if not self.spot.settled:
            async with self._turn:
                if not self.spot.settled:
                    await self._hold_again()
        return self.spot

    async def _acquire_again(self, seen: Spot) -> None:
        async with self._turn:
            if self.spot == seen:
                self._step(self._place.unsettle())
                await self._hold_again()

    async def _move_on(self, seen: Spot) -> None:
        async with self._turn:
            if self.spot != seen:
                return
            place, has_turned = self._place.turn()
            self._step(place)
            if has_turned:
                await self._hold_again()
                return
        await self.kernel.pause(self.attempts_max)

    async def _hold_again(self) -> None:
        """Acquires, where this client has been granted before."""
        work = self._acquire_in_turn(None, self.valid_until)
        try:
            await self.kernel.runtime.unless(work, timeout=max(self.valid_until - now(), 0.0))
        except Interrupted:
            raise self.lose("lease_expired") from None

    async def acquire(self, until: float | None) -> dict[str, Any] | None:
        """Waits for the grant, until then if it is given."""
        async with self._turn:
            return await self._acquire_in_turn(until, None)

    async def _acquire_in_turn(
        self, until: float | None, expires: float | None
    ) -> dict[str, Any] | None:
        failures = Failures()
        while True:
            if expires is not None and expires <= now():
                raise self.lose("lease_expired")
            try:
                lock = await self._ask(poll(until, self.lease), expires)
            except LockLost:
                raise
            except Error as error:
                await self._overcome(error, failures)
            else:
                if lock["state"] == "granted":
                    return lock
                if lock["state"] != "waiting":
                    raise self.lose("preempted")
                failures = Failures()
            if until is not None and until <= now():
                return None

    async def _ask(self, wait: float, expires: float | None) -> dict[str, Any]:
        """Asks the present node once to grant the lockRef, taking it over where another node
        keeps it."""
        before = self._place
        self._step(before.ask())
        spot = self.spot
        call = change("POST", self.path("/acquire"), Repeat.ANY_NODE, wide=True, wait=wait)
        call = replace(call.with_json({"wait_ms": milliseconds(wait)}), moves=spot.epoch)
        began = now()
        if expires is not None:
            call = replace(call, limit=expires - began)
        try:
            answer = await self.kernel.transport.send(self.url(spot), call, spot.at)
            lock: dict[str, Any] = answer.parse(lambda body: {**body, "state": body["state"]})
        except Error as error:
            if error.outcome == "not_applied":
                self._step(self._place.take_back(before))
            raise
        self._step(self._place.settle())
        self.prove(began)
        self.kernel.endpoints.note(spot.at, failed=False)
        return lock

    async def _overcome(self, error: Error, failures: Failures) -> None:
        verdict = judge(error)
        failures.add()
        if failures.in_all >= self.attempts_max and self.valid_until <= now():
            raise give_up(error, failures.in_all, "not_applied") from error
        if verdict is Verdict.STOP:
            raise error
        if verdict is Verdict.LOST:
            raise self.lose("preempted")
        tired = failures.here >= self.kernel.options.attempts
        if verdict is Verdict.TURN or (verdict is Verdict.RETRY and tired):
            self.turn(failures)
        await self.kernel.pause(max(failures.here, 1))

    def turn(self, failures: Failures) -> None:
        """Turns to another node, if there is one."""
        self.kernel.endpoints.note(self.spot.at, failed=True)
        place, has_turned = self._place.turn()
        self._step(place)
        if has_turned:
            failures.here = 0


def _may_repeat(call: Call, put: Put | None) -> bool:
    """Whether what may have happened at a node may be done again at the next."""
    if put is not None:
        return put.is_latest()
    return call.repeat in (Repeat.READS, Repeat.ANY_NODE)


def _with(error: Error, outcome: Outcome) -> Error:
    """The error with what earlier attempts may have done."""
    if worse(error.outcome, outcome) == error.outcome:
        return error
    if isinstance(error, LockLost):
        return LockLost(error.reason, outcome)
    return Unavailable(1, error, outcome)
