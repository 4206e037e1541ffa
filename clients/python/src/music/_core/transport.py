"""One attempt of a request at one node: sent, answered, and understood."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from music import errors
from music._core.call import Call
from music._core.options import Options
from music._core.runtime import Fault, Request, Runtime, Stream
from music.errors import BadAnswer, Error, Outcome, Unanswered
from music.values import BYTES

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """A successful answer."""

    headers: Mapping[str, str]
    body: bytes
    endpoint: str
    changes: bool
    """Whether the request was to change something."""
    at: int = 0
    """Which node answered."""

    def parse(self, reader: Callable[[Any], T]) -> T:
        """Reads the body's JSON."""
        try:
            return reader(json.loads(self.body) if self.body else {})
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            why = f"its body cannot be read: {error!r}"
            raise BadAnswer(self.endpoint, 200, why, _unknown_if(self.changes)) from error

    @property
    def content_type(self) -> str:
        """The body's content type."""
        return self.headers.get("content-type", BYTES)

    @property
    def stamp(self) -> int:
        """The stamp that the answer names, 0 if none."""
        text = self.headers.get("music-stamp", "")
        return int(text) if text.isdecimal() else 0


class Transport:
    """Sends requests."""

    def __init__(self, runtime: Runtime, options: Options) -> None:
        self._runtime = runtime
        self._options = options

    async def send(self, endpoint: str, call: Call, at: int = 0) -> Answer:
        """Sends a request once."""
        request = self._request(endpoint, call)
        try:
            response = await self._runtime.send(request)
        except Fault as fault:
            raise _unanswered(endpoint, call, fault) from fault
        if not 200 <= response.status < 300:
            raise _refusal(endpoint, call, response.status, response.body)
        return Answer(response.headers, response.body, endpoint, call.changes, at)

    @asynccontextmanager
    async def open(self, endpoint: str, call: Call) -> AsyncIterator[Stream]:
        """Sends a request once, whose answer has no end."""
        try:
            async with self._runtime.stream(self._request(endpoint, call)) as stream:
                if not 200 <= stream.status < 300:
                    raise _refusal(endpoint, call, stream.status, await stream.read())
                yield stream
        except Fault as fault:
            raise _unanswered(endpoint, call, fault) from fault

    def _request(self, endpoint: str, call: Call) -> Request:
        headers = {}
        if call.idempotency_key is not None:
            headers["idempotency-key"] = call.idempotency_key
        if call.moves is not None:
            headers["music-moves"] = str(call.moves)
        if call.body is not None:
            headers["content-type"] = call.content_type
        limit = self._options.limit(call)
        return Request(call.method, endpoint + call.path, headers, call.body, limit)


def _unknown_if(is_so: bool) -> Outcome:
    return "unknown" if is_so else "not_applied"


def _unanswered(endpoint: str, call: Call, fault: Fault) -> Error:
    sent = fault.kind != "not_connected"
    return Unanswered(endpoint, fault.kind, _unknown_if(call.changes and sent))


def _refusal(endpoint: str, call: Call, status: int, body: bytes) -> Error:
    """What an answer that is no success says."""
    try:
        return errors.problem(json.loads(body), changes=call.changes)
    except (KeyError, TypeError, ValueError):
        outcome = _unknown_if(call.changes and not 400 <= status < 500)
        why = f"status {status} without a problem document"
        return BadAnswer(endpoint, status, why, outcome)
