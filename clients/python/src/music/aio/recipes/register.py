"""A register."""

from __future__ import annotations

from music.aio.recipes.base import Recipe
from music.values import Storable, Value, from_api, to_api


class Register(Recipe):
    """A value that is changed atomically, of at most 262,144 bytes.

    Promise: linearizable; each change is made once, even where an answer is lost, and makes its
    version one more.

    Cost: a section with one write for each change.

    Raises, on every change:
        Error: ``outcome`` says whether it may have been changed.
    """

    _kind = "registers"

    async def get(self) -> tuple[int, Value | None]:
        """The version, 0 if it was never set, and the value. Cost: a shared section."""
        return await self._read(
            "",
            lambda body: (
                int(body["version"]),
                None if body["value"] is None else from_api(body["value"]),
            ),
        )

    async def set(self, value: Storable) -> int:
        """Sets it, and returns the version that it has now."""
        body = {"value": to_api(value)}
        return await self._change("PUT", "", body, lambda answer: int(answer["version"]))

    async def compare_and_set(self, version: int, value: Storable) -> int | None:
        """Sets it where its version is that one, and returns the version that it has now; None
        where it was another."""
        body = {"value": to_api(value), "expected_version": version}
        return await self._change(
            "PUT", "", body, lambda answer: int(answer["version"]) if answer["set"] else None
        )
