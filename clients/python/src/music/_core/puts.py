"""Which puts of a section may be made a second time at another node.

A put whose outcome at a lost node is unknown is settled by the adoption at the next node: it is
in what that node read back, or it is never seen. To make it again there has the same effect as the
first, *unless* another put to the same field was issued after it: then the field would go back in
time. So the log keeps, for each field with puts under way, the number of the latest one.

The same node makes one of two puts with the same idempotency key, but remembers only the last
ones that it acknowledged.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from music._core.call import Footprint

# How many acknowledged puts of a section its node remembers.
_NODE_REMEMBERS = 32


@dataclass
class _Latest:
    """The latest puts to a record."""

    under_way: int = 0
    whole: int = 0
    fields: dict[str, int] = field(default_factory=dict)

    def of(self, name: str) -> int:
        """The number of the latest put to a field by its name."""
        return self.fields.get(name, 0)


class PutLog:
    """The puts under way in a section."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._last = 0
        self._under_way = 0
        self._records: dict[tuple[str, bytes], _Latest] = {}

    def begin(self, footprints: list[Footprint]) -> Put:
        """Notes that a put is issued."""
        with self._guard:
            self._last += 1
            self._under_way += 1
            for footprint in footprints:
                self._note(footprint, self._last)
            return Put(self, self._last, footprints)

    def _note(self, footprint: Footprint, number: int) -> None:
        record = (footprint.table, footprint.key)
        latest = self._records.setdefault(record, _Latest())
        latest.under_way += 1
        if footprint.fields is None:
            latest.whole = number
        else:
            latest.fields.update(dict.fromkeys(footprint.fields, number))

    def _is_overwritten(self, footprint: Footprint, number: int) -> bool:
        latest = self._records.get((footprint.table, footprint.key))
        if latest is None:
            return True
        fields = latest.fields if footprint.fields is None else footprint.fields
        return any(later > number for later in (latest.whole, *map(latest.of, fields)))

    def _end(self, footprints: list[Footprint]) -> None:
        self._under_way -= 1
        for footprint in footprints:
            record = (footprint.table, footprint.key)
            latest = self._records[record]
            latest.under_way -= 1
            # What is over is forgotten only with the last one under way: an older put, still
            # under way, must find what came after it.
            if latest.under_way == 0:
                del self._records[record]


class Put:
    """A put under way, until it ends."""

    def __init__(self, log: PutLog, number: int, footprints: list[Footprint]) -> None:
        self._log = log
        self._number = number
        self._footprints = footprints

    def is_latest(self) -> bool:
        """Whether no put to one of its fields was issued after it."""
        with self._log._guard:
            return not any(
                self._log._is_overwritten(footprint, self._number) for footprint in self._footprints
            )

    def is_remembered(self) -> bool:
        """Whether the node that had it first knows it again for sure: those that it can have
        acknowledged since are not too many."""
        with self._log._guard:
            since = self._log._last - self._number + self._log._under_way
            return since <= _NODE_REMEMBERS

    def end(self) -> None:
        """It is over."""
        with self._log._guard:
            self._log._end(self._footprints)
