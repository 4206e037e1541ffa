"""Sections whose node dies, and requests that are made again."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

import music
from music.values import key_bytes
from tests.deployment import Deployment


def test_a_section_moves_when_its_node_dies(breakable: Deployment, name: str) -> None:
    with (
        music.Client(*breakable.urls) as client,
        client.lock([("locks", name)]) as section,
    ):
        section.put("locks", name, "before")
        first = section.endpoint
        breakable.do(first, "kill")
        stamp = section.put("locks", name, "after")
        assert section.endpoint != first
        got = section.get("locks", name)
        assert got is not None
        assert (got.text, got.stamp) == ("after", stamp)
        # The node that was left comes back, and is never asked again.
        breakable.do(first, "start")
        breakable.do(section.endpoint, "kill")
        section.put("locks", name, "last")
        assert section.endpoint == breakable.urls[2]
        section.confirm()


def test_a_section_moves_while_nothing_is_asked(breakable: Deployment, name: str) -> None:
    with (
        music.Client(*breakable.urls) as client,
        client.lock([("locks", name)], lease=4) as section,
    ):
        first = section.endpoint
        breakable.do(first, "kill")
        while section.endpoint == first:
            # Only the keeper moves it: this waits for no more than a third of a lease.
            assert not section.wait_lost(timeout=0.05)
        section.put("locks", name, "after")


def test_a_section_without_another_node_is_lost(breakable: Deployment, name: str) -> None:
    with music.Client(breakable.urls[0]) as client:
        section = client.lock([("locks", name)], lease=2).acquire()
        breakable.do(section.endpoint, "kill")
        assert section.wait_lost(timeout=30)
        with pytest.raises(music.LockLost) as raised:
            section.put("locks", name, "late")
        assert raised.value.reason == "lease_expired"


def test_asyncio_moves_and_loses_as_well(breakable: Deployment, name: str) -> None:
    async def body() -> None:
        async with (
            music.aio.Client(*breakable.urls) as client,
            client.lock([("locks", name)]) as section,
        ):
            first = section.endpoint
            await asyncio.to_thread(breakable.do, first, "kill")
            puts = [section.put("locks", name, str(n), field=str(n)) for n in range(8)]
            await asyncio.gather(*puts)
            assert section.endpoint != first
            record = await section.fields("locks", name)
            assert record is not None
            assert len(record.fields) == 8
        async with music.aio.Client(breakable.urls[1]) as client:
            with pytest.raises(music.LockLost) as raised:
                async with client.lock([("locks", name)], lease=2):
                    await asyncio.to_thread(breakable.do, breakable.urls[1], "kill")
                    await asyncio.Event().wait()
            assert raised.value.reason == "lease_expired"

    asyncio.run(asyncio.wait_for(body(), timeout=60))


def test_a_node_that_is_suspended_is_left(breakable: Deployment, name: str) -> None:
    with (
        music.Client(*breakable.urls, timeout=1) as client,
        client.lock([("locks", name)]) as section,
    ):
        breakable.do(section.endpoint, "suspend")
        section.put("locks", name, "elsewhere")
        assert section.endpoint == breakable.urls[1]
        breakable.do(breakable.urls[0], "resume")
        got = section.get("locks", name)
        assert got is not None
        assert got.text == "elsewhere"


def test_what_a_recipe_holds_moves_too(breakable: Deployment, name: str) -> None:
    with (
        music.Client(*breakable.urls) as client,
        client.semaphore(name, permits=1).acquire(lease=5) as permit,
        client.election(name).campaign("one", lease=5) as leadership,
    ):
        first = leadership.endpoint
        breakable.do(first, "kill")
        leadership.proclaim("moved")
        assert leadership.endpoint != first
        while permit.endpoint == first:
            assert not permit.wait_lost(timeout=0.05)
        leader = client.election(name).leader()
        while leader is None or leader.value.text != "moved":
            leader = client.election(name).leader()


def test_a_watch_goes_on_at_another_node(breakable: Deployment, name: str) -> None:
    with music.Client(*breakable.urls) as client, client.watch("kv", prefix=name) as changes:
        client.put("kv", f"{name}-1", "one")
        assert isinstance(next(changes), music.Change)
        breakable.do(breakable.urls[0], "kill")
        client.put("kv", f"{name}-2", "two")
        told = next(changes)
        while not isinstance(told, music.Reset):
            told = next(changes)
        keys = set()
        while f"{name}-2" not in keys:
            told = next(changes)
            assert isinstance(told, music.Change)
            keys.add(key_bytes(told.record.key).decode())


def test_no_node_is_told_apart(name: str) -> None:
    with music.Client("http://127.0.0.1:9", "http://127.0.0.1:10") as client:
        with pytest.raises(music.Unavailable) as raised:
            client.put("kv", name, "x")
        assert raised.value.outcome == "not_applied"
        assert raised.value.retryable
        assert raised.value.attempts > 1
        with pytest.raises(music.Unavailable):
            client.lock([("locks", name)]).acquire()


class _Proxy(BaseHTTPRequestHandler):
    """Hands requests to a node, and drops the first answers to changing ones."""

    target = ""
    to_drop = 1
    keys: list[str | None]
    protocol_version = "HTTP/1.1"

    def _carry(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() in ("content-type", "idempotency-key", "music-moves")
        }
        answer = httpx.request(
            self.command, self.target + self.path, content=body, headers=headers, timeout=60
        )
        type(self).keys.append(self.headers.get("idempotency-key"))
        if type(self).to_drop > 0:
            type(self).to_drop -= 1
            self.close_connection = True
            return  # The node has done it, and nobody hears of it.
        self.send_response(answer.status_code)
        self.send_header("content-type", answer.headers.get("content-type", ""))
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _carry  # noqa: N815 - as they are called

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is inherited
        """Says nothing."""


def test_a_change_whose_answer_is_lost_is_made_once(deployment: Deployment, name: str) -> None:
    class Proxy(_Proxy):
        target = deployment.urls[0]
        to_drop = 2
        keys: list[str | None] = []  # noqa: RUF012 - of this class alone

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with music.Client(f"http://127.0.0.1:{server.server_port}") as client:
            assert client.counter(name).add(5) == 0
            assert len(Proxy.keys) == 3
            assert len(set(Proxy.keys)) == 1
            assert client.counter(name).get() == 5
            Proxy.to_drop = 1
            stamp = client.put("kv", name, "once")
            got = client.get("kv", name)
            assert got is not None
            assert got.text == "once"
            assert stamp > 0
            # A section's tickets are found again, and its put is the same one.
            Proxy.to_drop = 1
            with client.lock([("locks", name)]) as section:
                Proxy.to_drop = 1
                section.put("locks", name, "x")
            Proxy.to_drop = 1
            with pytest.raises(music.Error) as raised:
                client.barrier(name, parties=1).wait()
            assert raised.value.outcome == "unknown"
    finally:
        server.shutdown()
        server.server_close()


def test_a_repeated_change_that_nobody_answers_is_unknown(
    deployment: Deployment, name: str
) -> None:
    class Proxy(_Proxy):
        target = deployment.urls[0]
        to_drop = 1_000
        keys: list[str | None] = []  # noqa: RUF012 - of this class alone

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        # The other node is never asked: it would do it twice.
        endpoints = [f"http://127.0.0.1:{server.server_port}", deployment.urls[1]]
        with music.Client(*endpoints) as client:
            with pytest.raises(music.Unavailable) as raised:
                client.counter(name).add(5)
            assert raised.value.outcome == "unknown"
        with music.Client(deployment.urls[1]) as client:
            assert client.counter(name).get() == 5
    finally:
        server.shutdown()
        server.server_close()
