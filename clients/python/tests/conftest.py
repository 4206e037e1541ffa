"""What tests ask for."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import music
from tests.deployment import Deployment, program

Body: TypeAlias = Callable[[music.aio.Client], Coroutine[Any, Any, None]]


@pytest.fixture(scope="session")
def binary() -> Path:
    """The program ``music``."""
    return program()


@pytest.fixture(scope="session")
def deployment(binary: Path) -> Iterator[Deployment]:
    """A deployment for all tests that leave it whole."""
    deployment = Deployment(binary)
    yield deployment
    deployment.end()


@pytest.fixture
def breakable(binary: Path) -> Iterator[Deployment]:
    """A deployment for one test, which may break it."""
    deployment = Deployment(binary)
    yield deployment
    deployment.end()


@pytest.fixture
def client(deployment: Deployment) -> Iterator[music.Client]:
    """A client of all three nodes."""
    with music.Client(*deployment.urls) as client:
        yield client


@pytest.fixture
def other(deployment: Deployment) -> Iterator[music.Client]:
    """A client at another site."""
    with music.Client(*reversed(deployment.urls)) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"t{uuid.uuid4().hex}"


@pytest.fixture
def in_loop(deployment: Deployment) -> Callable[[Body], None]:
    """Runs a coroutine with a client for asyncio."""

    def run(body: Body) -> None:
        async def whole() -> None:
            async with music.aio.Client(*deployment.urls) as client:
                # A test that hangs says where.
                await asyncio.wait_for(body(client), timeout=60)

        asyncio.run(whole())

    return run
