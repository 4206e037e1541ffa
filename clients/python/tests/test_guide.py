"""docs/guide.md: what it shows in Python and with curl is what runs here."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import music
from tests.deployment import ROOT, Deployment

GUIDE = (ROOT / "docs" / "guide.md").read_text()

# A block of code: its language, its text, and the line on which it begins.
Block = tuple[str, str, int]


def blocks() -> list[Block]:
    """The blocks that run here, in their order."""
    found = re.finditer(r"^```(python|sh)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return [
        (block.group(1), block.group(2), GUIDE.count("\n", 0, block.start(2)) + 1)
        for block in found
    ]


@pytest.fixture(scope="module")
def namespace(deployment: Deployment) -> Iterator[dict[str, Any]]:
    """What earlier blocks in Python have defined."""
    with music.Client(*deployment.urls) as client:
        yield {"music": music, "client": client}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where blocks for the shell run."""
    return tmp_path_factory.mktemp("guide")


def test_the_readme_runs(deployment: Deployment) -> None:
    readme = (ROOT / "clients" / "python" / "README.md").read_text()
    first = re.search(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert first is not None
    text = first.group(1)
    for port, url in enumerate(deployment.urls, start=7701):
        text = text.replace(f"http://127.0.0.1:{port}", url)
    exec(compile(text, "README.md", "exec"), {})


def test_the_guide_has_blocks_of_both_kinds() -> None:
    kinds = [language for language, _, _ in blocks()]
    assert {"python", "sh"} == set(kinds)


@pytest.mark.parametrize(
    ("language", "text", "line"), blocks(), ids=[f"{kind}-{line}" for kind, _, line in blocks()]
)
def test_a_block_runs(
    language: str,
    text: str,
    line: int,
    namespace: dict[str, Any],
    folder: Path,
    deployment: Deployment,
) -> None:
    if language == "python":
        # A failure shows the guide's own line.
        code = compile("\n" * (line - 1) + text, str(ROOT / "docs" / "guide.md"), "exec")
        exec(code, namespace)
        return
    environment = {
        **os.environ,
        "MUSIC": deployment.urls[0],
        "MUSIC_ENDPOINTS": ",".join(deployment.urls),
        "PATH": f"{deployment.binary.parent}:{os.environ['PATH']}",
    }
    shell = ["bash", "-e", "-o", "pipefail", "-c", text]
    ended = subprocess.run(
        shell,
        cwd=folder,
        env=environment,
        timeout=120,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
