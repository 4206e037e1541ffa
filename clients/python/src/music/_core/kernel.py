"""What a client is made of, and how a request finds a node that serves it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from music._core.call import Call, Repeat
from music._core.endpoints import Endpoints
from music._core.judge import Verdict, judge
from music._core.options import Options
from music._core.runtime import Runtime
from music._core.transport import Answer, Transport
from music.errors import Error, Outcome, give_up, worse

if TYPE_CHECKING:
    from music._core.keeper import Keeper


class Kernel:
    """Nodes, connections, settings, and what goes on in the background."""

    def __init__(self, runtime: Runtime, endpoints: tuple[str, ...], options: Options) -> None:
        self.runtime = runtime
        self.options = options
        self.endpoints = Endpoints(endpoints)
        self.transport = Transport(runtime, options)
        self.keepers: set[Keeper] = set()

    async def request(self, call: Call) -> Answer:
        """Makes a request at the first node that serves it, repeating what is safe to repeat."""
        order = self.endpoints.order(self.options.avoid_failed)
        attempts_max = self.options.attempts + len(order) - 1
        outcome: Outcome = "not_applied"
        nodes = itertools.cycle(order)
        at = next(nodes)
        for attempts in itertools.count(1):
            try:
                answer = await self.transport.send(self.endpoints.urls[at], call, at)
            except Error as error:
                last = error
            else:
                self.endpoints.note(at, failed=False)
                return answer
            outcome = worse(outcome, last.outcome)
            verdict = judge(last)
            served = verdict in (Verdict.STOP, Verdict.LOST, Verdict.FORGOTTEN)
            never = outcome == "unknown" and call.repeat is Repeat.NEVER
            if served or never or attempts >= attempts_max:
                raise give_up(last, attempts, outcome) from last
            pinned = outcome == "unknown" and call.repeat is Repeat.SAME_NODE
            if pinned or verdict is Verdict.BUSY:
                await self.pause(attempts)
                continue
            self.endpoints.note(at, failed=True)
            at = next(nodes)
            if attempts % len(order) == 0:
                await self.pause(attempts // len(order))
        raise AssertionError("unreachable")

    async def pause(self, failures: int) -> None:
        """Waits as is due after so many failures."""
        await self.runtime.sleep(self.options.pause(failures))

    def with_lease(self, lease: float | None) -> Kernel:
        """The same client, for what is held with another lease."""
        if lease is None or lease == self.options.lease:
            return self
        other = object.__new__(Kernel)
        other.__dict__.update(self.__dict__)
        other.options = replace(self.options, lease=lease)
        return other

    async def close(self) -> None:
        """Stops what is kept alive, waits for releases, and closes all connections."""
        for keeper in list(self.keepers):
            keeper.stop()
        await self.runtime.close()
