"""Asking for a lock, and giving up on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from music._core.call import Call, Failures, Repeat, change, milliseconds
from music._core.judge import Verdict, judge
from music._core.keeper import freshen
from music._core.kernel import Kernel
from music._core.options import now
from music._core.place import Place
from music._core.release import release_quietly
from music._core.seat import Seat
from music.errors import Error, LockLost, NotGranted, Outcome, give_up
from music.values import Key, Token, key_bytes, key_from_api, key_to_api

RecordKey: TypeAlias = tuple[str, Key]
"""A key of a table: the table's name, and the key."""

Keys: TypeAlias = RecordKey | Iterable[RecordKey]
"""One key of a table, or several."""


def key_list(keys: Keys) -> list[RecordKey]:
    """The keys, be it one or several."""
    if isinstance(keys, tuple) and len(keys) == 2 and isinstance(keys[0], str):
        return [(keys[0], keys[1])]
    return [(table, key) for table, key in keys]


def tokens_of(lock: dict[str, Any], keys: list[RecordKey]) -> list[Token]:
    """A lock's tokens, in the order in which its keys were given."""
    tokens = [
        Token(str(token["table"]), key_from_api(token["key"]), int(token["token"]))
        for token in lock["tokens"]
    ]
    order = {(table, key_bytes(key)): at for at, (table, key) in enumerate(keys)}
    # The node sorts the keys; the caller's order is more use to them.
    return sorted(tokens, key=lambda token: order.get((token.table, key_bytes(token.key)), -1))


async def acquire(
    kernel: Kernel, keys: list[RecordKey], *, shared: bool, wait: float | None
) -> tuple[Seat, list[Token]]:
    """Queues for a lock and waits for the grant. Where it fails, or is given up, the place in the
    queue is given up in the background."""
    pending = _Pending(kernel, keys, shared)
    until = None if wait is None else now() + wait
    try:
        created = await pending.create(until)
        seat = pending.seat
        assert seat is not None
        is_waiting = created["state"] == "waiting"
        lock = await seat.acquire(until) if is_waiting else created
        if lock is None:
            raise NotGranted(f"the lock was not granted within {wait} s")
        if lock["state"] != "granted":
            raise LockLost("preempted")
        await freshen(seat)
        return seat, tokens_of(lock, keys)
    except BaseException:
        pending.give_up()
        raise


class _Pending:
    """A place in the queue, or what may become one."""

    def __init__(self, kernel: Kernel, keys: list[RecordKey], shared: bool) -> None:
        self._kernel = kernel
        body = {
            "keys": [{"table": table, "key": key_to_api(key)} for table, key in keys],
            "mode": "shared" if shared else "exclusive",
            "lease_ms": milliseconds(kernel.options.lease),
        }
        # At any node, it finds the same tickets again.
        self._call: Call = change("POST", "/v1/locks", Repeat.ANY_NODE, wide=True).with_json(body)
        first = kernel.endpoints.order(kernel.options.avoid_failed)[0]
        self._place = Place(len(kernel.endpoints), first)
        # Whether tickets may be in the queues.
        self._is_queued = False
        self.seat: Seat | None = None

    async def create(self, until: float | None) -> dict[str, Any]:
        """Queues, at the first node that serves."""
        attempts = self._kernel.options.attempts
        attempts_max = attempts * len(self._kernel.endpoints)
        failures = Failures()
        while True:
            began = now()
            try:
                lock = await self._create_once()
            except Error as error:
                last = error
            else:
                lease = int(lock["lease_ms"]) / 1000
                self.seat = Seat(self._kernel, str(lock["lock_ref"]), lease, self._place)
                self.seat.prove(began)
                return lock
            failures.add()
            verdict = judge(last)
            late = until is not None and until <= now() and failures.in_all > 1
            if verdict is Verdict.STOP or failures.in_all >= attempts_max or late:
                outcome: Outcome = "unknown" if self._is_queued else "not_applied"
                raise give_up(last, failures.in_all, outcome) from last
            tired = failures.here >= attempts
            if verdict is Verdict.TURN or (verdict is Verdict.RETRY and tired):
                self._kernel.endpoints.note(self._place.at, failed=True)
                self._place, _ = self._place.turn()
                failures.here = 0
            await self._kernel.pause(max(failures.here, 1))

    async def _create_once(self) -> dict[str, Any]:
        was_queued, self._is_queued = self._is_queued, True
        before = self._place
        self._place = before.ask()
        at = self._place.at
        call = replace(self._call, moves=self._place.epoch)
        try:
            answer = await self._kernel.transport.send(self._kernel.endpoints.urls[at], call, at)
            lock: dict[str, Any] = answer.parse(
                lambda lock: {**lock, "lock_ref": lock["lock_ref"], "lease_ms": lock["lease_ms"]}
            )
        except Error as error:
            if error.outcome == "not_applied":
                self._place = self._place.take_back(before)
                self._is_queued = was_queued
            raise
        self._place = self._place.settle()
        return lock

    def give_up(self) -> None:
        """Leaves the queues in the background, if this may be in some."""
        if not self._is_queued:
            return
        seat = self.seat
        if seat is not None:
            seat.is_over = True
            self._kernel.runtime.finish(release_quietly(seat))
        else:
            self._kernel.runtime.finish(self._find_and_release())

    async def _find_and_release(self) -> None:
        # What a request that got no answer has queued is found by making it again; it has to be
        # found before it can be released.
        try:
            await self.create(None)
        except Error:
            return  # Its lease ends it.
        if self.seat is not None:
            await release_quietly(self.seat)
