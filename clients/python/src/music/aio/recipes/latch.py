"""A count-down latch."""

from __future__ import annotations

from typing import Any

from music._core.call import Repeat
from music._core.kernel import Kernel
from music.aio.recipes.base import Recipe


class Latch(Recipe):
    """Waiting until something was done a number of times.

    Promise: whoever waits goes on when the latch was counted down as often as it was made for, and
    never before. Each count is counted once, even where an answer was lost on the way. It opens
    once and stays open: for another use, take another name.

    Cost: a section with one write to count down; nothing but a connection to wait: no majority is
    asked. On failure: what was counted stays counted.

    Raises:
        NameInUse: others named another number.
    """

    _kind = "latches"

    def __init__(self, kernel: Kernel, name: str, count: int) -> None:
        super().__init__(kernel, name)
        self._count = count

    async def count_down(self) -> int:
        """Counts, and returns how many counts are left. At 0 nothing happens."""
        return await self._change("POST", "/count-down", {"count": self._count}, _left)

    async def left(self) -> int:
        """How many counts are left. Cost: a shared section."""
        return await self._read(f"?count={self._count}", _left)

    async def wait(self, wait: float | None = None) -> bool:
        """Waits until the latch is open, for so many seconds at most if it is said; whether it
        is. Cost: a connection to the own site; no majority."""
        body = {"count": self._count}
        opened = await self._until(
            "/wait", body, wait, Repeat.READS, lambda answer: bool(answer["open"])
        )
        return opened is not None


def _left(body: Any) -> int:
    return int(body["left"])
