"""What watches tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from music.values import Record, Value, from_api, record_from_api


@dataclass(frozen=True)
class Change:
    """A record as it is now; without fields where it was deleted."""

    table: str
    record: Record


@dataclass(frozen=True)
class Reset:
    """Changes may have been missed: forget what was told, and take what follows for the present
    state."""


WatchEvent: TypeAlias = Change | Reset
"""What the watch of a table or a key tells."""


@dataclass(frozen=True)
class Leader:
    """Who leads an election, or led last."""

    candidate: str
    """The candidate's name."""
    value: Value
    """What it says of itself, such as its address."""
    token: int
    """Its fencing token: greater than those of all leaders before."""


@dataclass(frozen=True)
class Arrivals:
    """How far a barrier is."""

    parties: int | None
    """For how many parties it is; None where none has arrived ever."""
    crossed: int
    """How often it was crossed."""
    arrived: int
    """How many have arrived since."""


@dataclass(frozen=True)
class Member:
    """A member of a group."""

    name: str
    value: Value
    """What it says of itself."""


@dataclass(frozen=True)
class GroupEvent:
    """What happened in a group."""

    kind: Literal["joined", "changed", "left"]
    member: Member


def read_change(name: str, data: Any) -> list[WatchEvent]:
    """What an event of a watch says."""
    if name == "reset":
        return [Reset()]
    if name == "record":
        return [Change(str(data["table"]), record_from_api(data))]
    return []  # Something of a newer version.


def leader_from_api(body: Any) -> Leader | None:
    """The leader that a JSON document has."""
    if body is None:
        return None
    return Leader(str(body["candidate"]), from_api(body["value"]), int(body["token"]))


def read_leader(name: str, data: Any) -> list[Leader | None]:
    """What an event of an election says."""
    return [leader_from_api(data["leader"])] if name == "leader" else []


def read_arrivals(name: str, data: Any) -> list[Arrivals]:
    """What an event of a barrier says."""
    if name != "barrier":
        return []
    parties = data.get("parties")
    number = None if parties is None else int(parties)
    return [Arrivals(number, int(data["crossed"]), int(data["arrived"]))]


def member_from_api(body: Any) -> Member:
    """The member that a JSON document has."""
    return Member(str(body["name"]), from_api(body["value"]))


class Membership:
    """Who is known to be in a group, so that nobody joins or leaves twice over a connection that
    broke."""

    def __init__(self) -> None:
        self._known: dict[str, Member] = {}

    def read(self, name: str, data: Any) -> list[GroupEvent]:
        """What an event of a group says."""
        if name not in ("joined", "changed", "left"):
            return []
        member = member_from_api(data)
        if name == "left":
            return [GroupEvent("left", self._known.pop(member.name, member))]
        return self._note(member)

    def _note(self, member: Member) -> list[GroupEvent]:
        known = self._known.get(member.name)
        self._known[member.name] = member
        if known is None:
            return [GroupEvent("joined", member)]
        return [] if known == member else [GroupEvent("changed", member)]

    def bridge(self, members: list[Member]) -> list[GroupEvent]:
        """What happened while nothing was told, by who is there afterwards."""
        there = {member.name for member in members}
        gone = [self._known.pop(name) for name in set(self._known) - there]
        events = [GroupEvent("left", member) for member in gone]
        for member in members:
            events += self._note(member)
        return events
