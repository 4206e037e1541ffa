"""What a failed attempt means."""

from __future__ import annotations

from enum import Enum, auto

from music.errors import BadAnswer, Error, LockLost, Problem, Unanswered


class Verdict(Enum):
    """What to do after a failed attempt."""

    STOP = auto()
    """It would fail again."""
    LOST = auto()
    """The section does not hold its lock any more."""
    FORGOTTEN = auto()
    """The node does not keep the section, or not as granted: acquire again."""
    BUSY = auto()
    """The node is busy: ask it again, no other would do better."""
    RETRY = auto()
    """The node may do better at once."""
    TURN = auto()
    """The node does not serve: another one may."""


LOST_CODES = {"MUSIC-3002", "MUSIC-3003", "MUSIC-3010"}
FORGOTTEN_CODES = {"MUSIC-3001", "MUSIC-3009"}
_BUSY_CODES = {"MUSIC-3006", "MUSIC-3007", "MUSIC-4003", "MUSIC-4004", "MUSIC-6007"}
_TURN_CODES = {"MUSIC-4007", "MUSIC-4008", "MUSIC-4010"}

_BY_CODE = {
    **dict.fromkeys(LOST_CODES, Verdict.LOST),
    **dict.fromkeys(FORGOTTEN_CODES, Verdict.FORGOTTEN),
    **dict.fromkeys(_BUSY_CODES, Verdict.BUSY),
    **dict.fromkeys(_TURN_CODES, Verdict.TURN),
}


def judge(error: Error) -> Verdict:
    """What to do after this failure."""
    if isinstance(error, Problem):
        fallback = Verdict.RETRY if error.retryable else Verdict.STOP
        return _BY_CODE.get(error.code or "", fallback)
    if isinstance(error, Unanswered):
        # After a time-out there is no time to ask the same node again.
        return Verdict.TURN if error.kind == "timed_out" else Verdict.RETRY
    if isinstance(error, BadAnswer) and error.status >= 500:
        return Verdict.RETRY
    return Verdict.LOST if isinstance(error, LockLost) else Verdict.STOP
