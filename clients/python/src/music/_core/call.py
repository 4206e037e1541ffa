"""One request as a value, so that it can be sent again as it is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any
from urllib.parse import quote

from music.errors import Invalid
from music.values import JSON, Key, Value, key_bytes


class Repeat(Enum):
    """What may be done with a request whose outcome is unknown."""

    READS = auto()
    """It changes nothing."""
    ANY_NODE = auto()
    """To make it twice is the same as once, or costs others a lease at most."""
    SAME_NODE = auto()
    """The node that had it makes one of two, by the idempotency key; another would do it twice."""
    NEVER = auto()
    """Nobody would make one of two."""


@dataclass(frozen=True)
class Call:
    """A request."""

    method: str
    path: str
    """With the query."""
    repeat: Repeat = Repeat.READS
    body: bytes | None = None
    content_type: str = JSON
    idempotency_key: str | None = None
    moves: int | None = None
    """How often the section had moved when a node is asked to keep it."""
    wide: bool = False
    """Whether the node asks a majority before it answers."""
    wait: float = 0.0
    """How long the node is asked to wait before it answers, in seconds."""
    limit: float | None = None
    """The longest time for an attempt, where it is below the client's."""

    @property
    def changes(self) -> bool:
        """Whether its effect matters."""
        return self.repeat is not Repeat.READS

    def with_json(self, body: Mapping[str, Any], *, keep_none: bool = False) -> Call:
        """With a JSON body; what is None is left out of its top level, unless it is kept."""
        present = {name: value for name, value in body.items() if keep_none or value is not None}
        try:
            text = json.dumps(present, ensure_ascii=False, allow_nan=False)
            return replace(self, body=text.encode(), content_type=JSON)
        except (TypeError, ValueError, RecursionError) as error:
            raise Invalid(f"the request cannot be written as JSON: {error}") from error

    def with_value(self, value: Value) -> Call:
        """With a value for its body."""
        return replace(self, body=value.bytes, content_type=value.content_type)

    def with_query(self, **pairs: Key | None) -> Call:
        """With more pairs in the query; what is None is left out."""
        path = self.path
        for name, value in pairs.items():
            if value is not None:
                path += f"{'&' if '?' in path else '?'}{name}={encode(value)}"
        return replace(self, path=path)


@dataclass
class Failures:
    """How many attempts have failed: at the present node, and at any."""

    here: int = 0
    in_all: int = 0

    def add(self) -> None:
        """One more."""
        self.here += 1
        self.in_all += 1


@dataclass(frozen=True)
class Footprint:
    """What a put writes in one record: these fields, None for all."""

    table: str
    key: bytes
    fields: frozenset[str] | None = field(default=None)


def read(path: str, **more: Any) -> Call:
    """A request that changes nothing."""
    return Call("GET", path, **more)


def change(method: str, path: str, repeat: Repeat = Repeat.SAME_NODE, **more: Any) -> Call:
    """A request that changes something."""
    return Call(method, path, repeat, idempotency_key=str(uuid.uuid4()), **more)


def encode(value: Key) -> str:
    """Bytes as part of a URL: all but RFC 3986's unreserved ones encoded."""
    return quote(key_bytes(value), safe="")


def segment(value: Key) -> str:
    """Bytes as one segment of a URL's path."""
    # Of these three, URL parsers make other paths, percent-encoded or not.
    if key_bytes(value) in (b"", b".", b".."):
        raise Invalid(f"{value!r} cannot be in the path of a URL: use another name")
    return encode(value)


def milliseconds(seconds: float | None) -> int | None:
    """A time as the API counts it. Never rounded down: 0 would mean not to wait."""
    if seconds is None:
        return None
    if not 0 <= seconds < 1e12:
        raise Invalid(f"{seconds!r} is no number of seconds")
    return -int(-seconds * 1000 // 1)
