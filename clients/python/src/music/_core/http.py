"""What both runtimes do alike with httpx."""

from __future__ import annotations

from typing import Any, Literal

import httpx

from music._core.options import Options
from music._core.runtime import Fault, Request

# How long a connection is kept without a request. Less than nodes keep it: a request on a
# connection that is being closed would have an unknown outcome.
_IDLE_MAX = 30.0

# How long a stream may be silent. Nodes say every 10 s that they live.
_SILENCE_MAX = 25.0

# Nothing was sent on a connection that was never opened.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


def settings() -> dict[str, Any]:
    """The settings of either kind of client."""
    return {
        "follow_redirects": False,
        # Nodes are reached directly: a proxy from the environment would see values, and its
        # failures would look like a node's.
        "trust_env": False,
        "limits": httpx.Limits(
            max_connections=None, max_keepalive_connections=64, keepalive_expiry=_IDLE_MAX
        ),
    }


def timeouts(options: Options, request: Request, *, is_stream: bool = False) -> httpx.Timeout:
    """The time that a request may take."""
    return httpx.Timeout(
        request.timeout,
        connect=min(options.connect_timeout, request.timeout),
        read=_SILENCE_MAX if is_stream else request.timeout,
    )


def arguments(request: Request) -> dict[str, Any]:
    """A request as httpx has it."""
    return {
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
        "content": request.body,
    }


def fault(error: Exception) -> Fault:
    """What an error of httpx says of a request."""
    kind: Literal["not_connected", "timed_out", "broken"] = "broken"
    if isinstance(error, _NOT_SENT):
        kind = "not_connected"
    elif isinstance(error, httpx.TimeoutException):
        kind = "timed_out"
    return Fault(kind)
