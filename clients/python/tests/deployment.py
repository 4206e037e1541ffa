"""A development deployment of its own, for tests: ``music dev`` on free ports."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

ROOT = Path(__file__).resolve().parents[3]


def program() -> Path:
    """The program ``music``: the one that MUSIC_BIN names, or one that is built."""
    named = os.environ.get("MUSIC_BIN")
    if named:
        return Path(named).resolve()
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--package", "music-cli"], cwd=ROOT, check=True
    )
    asked = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]
    metadata = subprocess.run(asked, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    target = Path(json.loads(metadata.stdout)["target_directory"])
    return target / "debug" / "music"


@dataclass(frozen=True)
class Node:
    """A node of the deployment."""

    name: str
    site: str
    url: str


class Deployment:
    """Three sites in one process."""

    def __init__(self, binary: Path) -> None:
        self.binary = binary
        self._process = subprocess.Popen(
            [binary, "dev", "--profile", "local3", "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        # It writes this line when all nodes serve.
        line = self._process.stdout.readline()
        assert line, "music dev has ended"
        started = json.loads(line)
        self.control = str(started["control"])
        self.nodes = [Node(node["name"], node["site"], node["url"]) for node in started["nodes"]]

    @property
    def urls(self) -> list[str]:
        """The addresses of the nodes."""
        return [node.url for node in self.nodes]

    def do(self, node: str, what: str) -> None:
        """Does "kill", "start", "suspend" or "resume" to the node of that address."""
        name = next(one.name for one in self.nodes if one.url == node)
        httpx.post(f"{self.control}/v1/dev/nodes/{name}/{what}", timeout=30).raise_for_status()

    def force(self, lock_ref: str) -> None:
        """Takes a lock away from whoever holds it, by another node than the first."""
        url = f"{self.nodes[-1].url}/v1/locks/{lock_ref}/force"
        assert httpx.post(url, timeout=30).raise_for_status().json()["removed"]

    def await_queue(self, key: str, length: int, table: str = "locks") -> None:
        """Waits until so many hold the lock of that name or wait for it."""
        target = f"queue_table={table}&queue_key={quote(key, safe='')}"
        with httpx.stream("GET", f"{self.nodes[0].url}/v1/watch?{target}", timeout=60) as events:
            for line in events.iter_lines():
                if line.startswith("data:") and json.loads(line[5:]).get("length") == length:
                    return
        raise AssertionError("the queue's events have ended")

    def end(self) -> None:
        """Kills it: there is nothing to keep."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
