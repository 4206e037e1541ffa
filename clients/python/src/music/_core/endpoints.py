"""The nodes a client knows, its own site's first."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

from music._core.options import now
from music.errors import Invalid


class Endpoints:
    """The nodes in the order of preference, and which failed lately."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        if not urls:
            raise Invalid("at least one endpoint is needed: Client('http://127.0.0.1:7701')")
        self.urls = [_base(url) for url in urls]
        self._failed: dict[int, float] = {}
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self.urls)

    def order(self, avoid: float) -> list[int]:
        """All of them: first those that did not fail within so many seconds."""
        with self._guard:
            since = now() - avoid
            return sorted(range(len(self)), key=lambda at: self._failed.get(at, since) > since)

    def note(self, at: int, *, failed: bool) -> None:
        """Notes how the last attempt at a node ended."""
        with self._guard:
            if failed:
                self._failed[at] = now()
            else:
                self._failed.pop(at, None)


def _base(text: str) -> str:
    try:
        url = urlsplit(text.strip())
        is_plain = url.scheme == "http" and bool(url.hostname) and (url.port is None or url.port)
    except ValueError:
        is_plain = False
    if not is_plain or "?" in text or "#" in text:
        raise Invalid(f"{text!r} is not the address of a node: write http://HOST:PORT")
    return text.strip().rstrip("/")
