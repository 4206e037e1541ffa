"""What a client may be told about time, and how it repeats what failed."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from music._core.call import Call
from music.errors import Invalid

now = time.monotonic

POLL_MAX = 20.0
"""The longest time that a node is asked to wait for a grant, in seconds."""


@dataclass(frozen=True)
class Options:
    """Settings of a client; times in seconds."""

    lease: float = 10.0
    """How long this client may go unheard before what it holds is ended."""
    timeout: float = 12.0
    """How long one attempt may take that needs a majority, beside a wait for a grant. Longer
    than nodes try, who then say what they know."""
    local_timeout: float = 3.0
    """How long one attempt may take that a node answers by itself."""
    connect_timeout: float = 1.0
    attempts: int = 3
    """How many attempts one request may have at one node, the first included."""
    pause_min: float = 0.025
    pause_max: float = 1.0
    avoid_failed: float = 5.0
    """How long a node that failed is asked after all others."""

    def __post_init__(self) -> None:
        if not (0 < self.lease <= 86_400 and 0 < self.timeout <= 86_400):
            raise Invalid("a lease and a timeout are more than 0 seconds, and at most a day")

    def limit(self, call: Call) -> float:
        """How long one attempt of a request may take."""
        own = self.timeout if call.wide else min(self.local_timeout, self.timeout)
        own += call.wait
        return own if call.limit is None else min(own, max(call.limit, 0.001))

    def pause(self, failures: int) -> float:
        """The pause after so many failures. Half of it is by chance, to spread clients that
        failed together."""
        full: float = min(self.pause_min * 2.0 ** min(max(failures - 1, 0), 20), self.pause_max)
        return full * random.uniform(0.5, 1.0)


def poll(until: float | None, lease: float) -> float:
    """How long a node is asked to wait for the grant: as short as the time between renewals,
    since each poll proves life."""
    left = POLL_MAX if until is None else max(until - now(), 0.0)
    return min(left, lease / 3, POLL_MAX)
