"""Keeps what is held alive, and finds out when it is lost.

Two ways lead to the news: the answers to renewals, a third of the lease apart, and the node's
events, which tell at once. The first alone would do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from music._core.call import Repeat, change, read
from music._core.kernel import Kernel
from music._core.options import now
from music._core.place import Spot
from music._core.runtime import Background, Interrupted
from music._core.seat import Seat
from music._core.sse import Parser, TooLong
from music._core.transport import Answer
from music.errors import Error, Lost

log = logging.getLogger("music")

# The shortest time between two connections for events, in seconds.
_PAUSE_MIN = 0.1


class Keeper:
    """Work that goes on until it is stopped."""

    def __init__(self, kernel: Kernel) -> None:
        self.stopped = kernel.runtime.flag()
        self._kernel = kernel
        self._running: list[Background] = []
        kernel.keepers.add(self)

    def start(self, work: Callable[[Keeper], Awaitable[None]]) -> None:
        """Starts some work, which looks at ``stopped``."""

        async def watched() -> None:
            try:
                await work(self)
            except Exception:
                # Nobody waits for it, so nobody else would say so.
                log.exception("what keeps a section alive has failed")

        self._running.append(self._kernel.runtime.spawn(watched()))

    def stop(self) -> None:
        """Ends the work, soon."""
        self.stopped.set()
        self._kernel.keepers.discard(self)
        running, self._running = self._running, []
        for background in running:
            background.cancel()


def keep(seat: Seat) -> Keeper:
    """Keeps a section alive, until it is stopped or the lock is lost."""
    seat.is_held = True
    keeper = Keeper(seat.kernel)
    keeper.start(lambda keeper: _keep(seat, keeper))
    return keeper


async def _keep(seat: Seat, keeper: Keeper) -> None:
    # Most sections are over before events are worth a request.
    if await keeper.stopped.wait(seat.lease / 20):
        return
    keeper.start(lambda keeper: _follow(seat, keeper))
    failures = 0
    while True:
        due = max(seat.valid_until - seat.lease / 3 * 2 - now(), 0.0)
        if failures:
            due = max(due, seat.kernel.options.pause(failures))
        if await keeper.stopped.wait(due) or seat.lost.is_set():
            return
        try:
            await _renew_in_time(seat)
            failures = 0
        except Lost:
            return
        except Error as error:
            failures += 1
            log.debug("a section could not be renewed: %s", error)


async def _renew_in_time(seat: Seat) -> None:
    left = max(seat.valid_until - now(), 0.0)
    try:
        await seat.kernel.runtime.unless(renew(seat), timeout=left)
    except Interrupted:
        seat.check()


async def freshen(seat: Seat) -> None:
    """Proves life anew where the wait for the grant has used most of the lease up: the node has
    heard this client all the while, but only the node knows."""
    if seat.valid_until - now() <= seat.lease / 2:
        await renew(seat)


async def renew(seat: Seat) -> None:
    """Proves life once."""
    # A node that is silent for a third of the lease leaves time to turn to another one.
    call = change("POST", seat.path("/renew"), Repeat.ANY_NODE, limit=seat.lease / 3)
    began = now()
    if _is_over(await seat.perform(call)):
        raise seat.lose("preempted")
    seat.prove(began)


def _is_over(answer: Answer) -> bool:
    return answer.parse(lambda lock: lock["state"] in ("lost", "released"))


async def _follow(seat: Seat, keeper: Keeper) -> None:
    """Listens to the events of the node that keeps the section."""
    failures = 0
    while not (keeper.stopped.is_set() or seat.lost.is_set()):
        spot, changed = seat.spot, seat.changed
        try:
            heard = await seat.kernel.runtime.unless(_listen(seat, spot, keeper), changed)
        except Interrupted:
            heard = True
        failures = 1 if heard else failures + 1
        pause = max(seat.kernel.options.pause(failures), _PAUSE_MIN)
        await keeper.stopped.wait(pause)


async def _listen(seat: Seat, spot: Spot, keeper: Keeper) -> bool:
    """Whether anything was heard before the stream ended."""
    heard = False
    parser = Parser()
    try:
        async with seat.kernel.transport.open(seat.url(spot), read(seat.path("/events"))) as stream:
            async for chunk in stream.chunks():
                for event in parser.push(chunk):
                    heard = True
                    is_over = event.name == "lock" and _is_end(event.data)
                    if keeper.stopped.is_set():
                        return heard
                    # A node that the section has left calls it lost, too.
                    if is_over and seat.spot.epoch == spot.epoch:
                        seat.lose("preempted")
                        return heard
    except (Error, TooLong) as error:
        log.debug("the events of a section ended: %s", error)
    return heard


def _is_end(data: str) -> bool:
    try:
        return json.loads(data)["state"] in ("lost", "released")
    except (KeyError, TypeError, ValueError):
        return False
