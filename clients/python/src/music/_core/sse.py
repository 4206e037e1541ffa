"""Server-sent events, as far as nodes send them: the ``event`` and ``data`` fields of
https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# The longest event that is kept, in bytes; a longer one ends the stream.
_EVENT_BYTES_MAX = 8 * 1024 * 1024


class Event(NamedTuple):
    """One event: its kind, empty if it names none, and its data lines, joined."""

    name: str
    data: str


class TooLong(Exception):
    """An event above the bound."""


class Parser:
    """Turns bytes, in whatever pieces they come, into events."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._name = ""
        self._data: list[str] = []

    def push(self, chunk: bytes) -> Iterator[Event]:
        """Takes the next bytes, and gives the events that they end."""
        self._buffer += chunk
        if len(self._buffer) + sum(map(len, self._data)) > _EVENT_BYTES_MAX:
            raise TooLong
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            if event := self._take(line.rstrip(b"\r").decode(errors="replace")):
                yield event

    def _take(self, line: str) -> Event | None:
        if not line:
            event = Event(self._name, "\n".join(self._data)) if self._data else None
            self._name, self._data = "", []
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        # Comments keep the connection alive; ids and retries are not used.
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        return None
