"""The end of a section, asked of the nodes."""

from __future__ import annotations

import logging

from music._core.call import Call, Failures, Repeat, change
from music._core.judge import Verdict, judge
from music._core.place import Spot
from music._core.seat import Seat
from music.errors import Error, LockLost, Outcome, Problem, give_up, worse

log = logging.getLogger("music")


async def release(seat: Seat) -> None:
    """Releases the lockRef at the node that keeps it; if that does not answer, at another one,
    which takes it for dead."""
    call = change("POST", seat.path("/release"), Repeat.ANY_NODE, wide=True)
    call = call.with_json({"confirm": False})
    outcome: Outcome = "not_applied"
    failures = Failures()
    while True:
        try:
            spot = seat.spot
            await seat.kernel.transport.send(seat.url(spot), call, spot.at)
            return
        except Error as error:
            last = error
        failures.add()
        verdict = judge(last)
        if verdict is Verdict.LOST:
            if outcome == "unknown":
                return  # An earlier attempt may have been the one that released it.
            raise LockLost("preempted") from last
        if verdict is Verdict.STOP:
            raise last
        outcome = worse(outcome, last.outcome)
        if failures.in_all >= seat.attempts_max:
            raise give_up(last, failures.in_all, outcome) from last
        tired = verdict is not Verdict.RETRY or failures.here >= seat.kernel.options.attempts
        if verdict is not Verdict.BUSY and tired:
            seat.turn(failures)
        await seat.kernel.pause(failures.in_all)


async def release_quietly(seat: Seat) -> None:
    """Releases the lockRef unless it is gone already; nobody is told how that went."""
    if seat.reason == "preempted":
        return
    try:
        await release(seat)
    except Error as error:
        log.debug("a section could not be released, its lease ends it: %s", error)


async def confirm(seat: Seat) -> None:
    """Releases the lockRef and finds out whether nobody else was granted since this section
    was."""
    call = change("POST", seat.path("/release"), Repeat.SAME_NODE, wide=True)
    call = call.with_json({"confirm": True})
    failures = Failures()
    while True:
        # As long as nothing was sent, another node may take over and confirm; after that only
        # the same node can tell.
        spot = await seat.settled()
        try:
            await _confirm_at(seat, spot, call)
            return
        except LockLost:
            raise
        except Error as error:
            last = error
        if last.outcome == "unknown":
            await _confirm_again(seat, call, last)
            return
        failures.add()
        verdict = judge(last)
        if verdict is Verdict.STOP:
            raise last
        if failures.in_all >= seat.attempts_max:
            raise give_up(last, failures.in_all, "not_applied") from last
        await seat.react(spot, verdict, failures)


async def _confirm_again(seat: Seat, call: Call, first: Error) -> None:
    spot, last = seat.spot, first
    attempts = 1
    while attempts < seat.kernel.options.attempts:
        await seat.kernel.pause(attempts)
        attempts += 1
        try:
            await _confirm_at(seat, spot, call)
            return
        except LockLost:
            raise
        except Error as error:
            last = error
            # The node has forgotten: the ticket that is gone may be the one that the first
            # attempt removed.
            if error.code in ("MUSIC-3003", "MUSIC-3009", "MUSIC-3010"):
                break
    raise give_up(last, max(attempts, 2), "unknown") from last


async def _confirm_at(seat: Seat, spot: Spot, call: Call) -> None:
    try:
        answer = await seat.kernel.transport.send(seat.url(spot), call, spot.at)
    except Problem as problem:
        if problem.code == "MUSIC-3002":
            raise LockLost("preempted", problem.outcome) from problem
        raise
    if not answer.parse(lambda released: bool(released["confirmed"])):
        raise LockLost("preempted", "not_applied")
