"""Why a call failed, and what that says about its effect.

::

    Error ─┬─ Invalid          the request cannot be made; nothing was sent
           ├─ Problem ─┬─ BadRequest · NoSuchTable · WrongMode · NameInUse
           │           └─ Interrupted · QueueFull          a node refused, and said why
           ├─ Unanswered       a node did not answer
           ├─ BadAnswer        what answered is no MUSIC node
           ├─ Unavailable      every attempt that was safe to make failed
           ├─ Timeout ── NotGranted                        the wait is over
           └─ Lost ─┬─ LockLost                            the lock is somebody else's now
                    └─ ClaimLost                           the queue's item is
"""

from __future__ import annotations

from typing import Any, Literal

Outcome = Literal["not_applied", "unknown"]
"""Whether the effect of a failed call may have happened: "unknown" where it may have."""

LostReason = Literal["preempted", "lease_expired"]
"""How a lock was lost: the nodes say so, or none of them was heard for a whole lease."""


class Error(Exception):
    """A call that failed."""

    detail: str
    """What happened, and what to do."""
    code: str | None
    """The stable code that a node reported, ``MUSIC-nnnn``."""
    outcome: Outcome
    """Whether the effect may have happened."""
    retryable: bool
    """Whether the same call may succeed later. Where the outcome is unknown, it may then
    happen twice."""

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        outcome: Outcome = "not_applied",
        retryable: bool = False,
    ) -> None:
        super().__init__(detail if code is None else f"{detail} ({code})")
        self.detail = detail
        self.code = code
        self.outcome = outcome
        self.retryable = retryable


class Invalid(Error, ValueError):
    """A request that cannot be made: nothing was sent."""


class Problem(Error):
    """A node refused or failed, and said why."""

    status: int
    """The HTTP status."""
    title: str
    """What kind of problem it is, in a few words."""
    request_id: str | None
    """The request's id, as in the node's logs."""

    def __init__(self, document: dict[str, Any], *, changes: bool = True) -> None:
        outcome: Outcome = "not_applied"
        # What changes nothing has no effect that may have happened.
        if changes and document.get("outcome") != "not_applied":
            outcome = "unknown"
        super().__init__(
            str(document.get("detail", "")),
            code=str(document["code"]),
            outcome=outcome,
            retryable=bool(document.get("retryable", False)),
        )
        self.status = int(document.get("status", 0))
        self.title = str(document.get("title", ""))
        request_id = document.get("request_id")
        self.request_id = None if request_id is None else str(request_id)


class BadRequest(Problem):
    """The node does not understand the request, or it is out of bounds (MUSIC-1nnn)."""


class NoSuchTable(Problem):
    """There is no table of that name (MUSIC-2001)."""


class WrongMode(Problem):
    """The table is critical where it should be eventual, or the other way (MUSIC-2002, 2003)."""


class NameInUse(Problem):
    """A recipe of that name is in use with another number (MUSIC-6002)."""


class Interrupted(Problem):
    """A step was begun, and whoever began it did not live to tell (MUSIC-6006)."""


class QueueFull(Problem):
    """A work queue has as many items as it keeps (MUSIC-6007)."""


class Unanswered(Error):
    """A node did not answer."""

    endpoint: str
    """The node's address."""
    kind: Literal["not_connected", "timed_out", "broken", "left"]
    """What went wrong; "left": the section moved on to another node meanwhile."""

    def __init__(
        self,
        endpoint: str,
        kind: Literal["not_connected", "timed_out", "broken", "left"],
        outcome: Outcome,
    ) -> None:
        words = {
            "not_connected": "cannot be reached",
            "timed_out": "did not answer in time",
            "broken": "broke the connection",
            "left": "was left: the section moved on",
        }
        super().__init__(f"{endpoint} {words[kind]}", outcome=outcome, retryable=True)
        self.endpoint = endpoint
        self.kind = kind


class BadAnswer(Error):
    """An answer that no node gives, as from another program at the address."""

    endpoint: str
    """The address."""
    status: int
    """The HTTP status."""

    def __init__(self, endpoint: str, status: int, why: str, outcome: Outcome) -> None:
        super().__init__(
            f"the answer of {endpoint} is not one of a MUSIC node: {why}", outcome=outcome
        )
        self.endpoint = endpoint
        self.status = status


class Unavailable(Error):
    """Every attempt that was safe to make failed."""

    attempts: int
    """How many were made."""
    last: Error
    """How the last one failed."""

    def __init__(self, attempts: int, last: Error, outcome: Outcome) -> None:
        super().__init__(
            f"no success after {attempts} attempts: {last.detail}",
            code=last.code,
            outcome=outcome,
            retryable=True,
        )
        self.attempts = attempts
        self.last = last


class Timeout(Error, TimeoutError):
    """What was waited for did not happen within the wait."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retryable=True)


class NotGranted(Timeout):
    """A lock, a permit or a leadership was not granted within the wait; its place in the queue
    is given up."""


class Lost(Error):
    """Something that was held is not held any more."""


class LockLost(Lost):
    """The lock is not held any more: somebody else may have it. What was acknowledged before
    stays; what was not must not count."""

    reason: LostReason
    """How it was lost."""

    def __init__(self, reason: LostReason, outcome: Outcome = "not_applied") -> None:
        words = {
            "preempted": "another client may hold it now",
            "lease_expired": "no node could be reached for a whole lease",
        }
        super().__init__(f"the lock is lost: {words[reason]}", outcome=outcome)
        self.reason = reason


class ClaimLost(Lost):
    """A queue's item is not this taker's any more: it was not renewed in time, and somebody else
    has it, or it was done already (MUSIC-6008)."""

    def __init__(self, outcome: Outcome = "not_applied") -> None:
        super().__init__(
            "the claim is lost: somebody else may have the item now",
            code="MUSIC-6008",
            outcome=outcome,
        )


_BY_CODE: dict[str, type[Problem]] = {
    "MUSIC-2001": NoSuchTable,
    "MUSIC-2002": WrongMode,
    "MUSIC-2003": WrongMode,
    "MUSIC-6001": BadRequest,
    "MUSIC-6002": NameInUse,
    "MUSIC-6006": Interrupted,
    "MUSIC-6007": QueueFull,
}


def problem(document: dict[str, Any], *, changes: bool = True) -> Problem:
    """The error of a problem document."""
    code = str(document["code"])
    kind = _BY_CODE.get(code, BadRequest if code.startswith("MUSIC-1") else Problem)
    return kind(document, changes=changes)


def worse(one: Outcome, other: Outcome) -> Outcome:
    """The worse of two outcomes."""
    return "not_applied" if one == other == "not_applied" else "unknown"


def give_up(last: Error, attempts: int, outcome: Outcome) -> Error:
    """The error to report: the last one, if it was the only one."""
    if attempts <= 1 and last.outcome == outcome:
        return last
    return Unavailable(attempts, last, outcome)
