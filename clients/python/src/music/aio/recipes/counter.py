"""A counter."""

from __future__ import annotations

from dataclasses import dataclass

from music.aio.recipes.base import Recipe


@dataclass(frozen=True)
class CounterSet:
    """What setting a counter came to: true where it was set."""

    done: bool
    """Whether it was set: False where it was not what was expected."""
    before: int
    """What the number was before."""

    def __bool__(self) -> bool:
        return self.done


class Counter(Recipe):
    """A number that is changed atomically, of 64 bits with a sign, 0 at first.

    Promise: linearizable; each change is made once, even where an answer is lost.

    Cost: a section with one write for each change.

    Raises, on every change:
        Problem: MUSIC-6005 where it would leave its range.
        Error: ``outcome`` says whether it may have been changed.
    """

    _kind = "counters"

    async def get(self) -> int:
        """The number. Cost: a shared section."""
        return await self._read("", lambda body: int(body["value"]))

    async def add(self, number: int) -> int:
        """Adds, and returns what the number was before."""
        return await self._change("POST", "/add", {"number": number}, _before)

    async def set(self, number: int) -> int:
        """Sets it, and returns what the number was before."""
        return await self._change("PUT", "", {"number": number}, _before)

    async def compare_and_set(self, expected: int, number: int) -> CounterSet:
        """Sets it where it is what is expected; true where it was."""
        body = {"number": number, "expected": expected}
        return await self._change(
            "PUT", "", body, lambda answer: CounterSet(bool(answer["set"]), _before(answer))
        )


def _before(body: dict[str, int]) -> int:
    return int(body["before"])
