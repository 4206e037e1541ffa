"""Tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from music._core.call import Call, Repeat, change, read, segment
from music._core.kernel import Kernel

TableMode = Literal["critical", "eventual"]
"""How the keys of a table may be written: under their locks alone, or by anyone."""


@dataclass(frozen=True)
class Table:
    """A table."""

    name: str
    mode: TableMode
    """Fixed when it is created."""


def create(name: str, mode: TableMode) -> Call:
    """Creates a table, or finds it."""
    call = change("PUT", f"/v1/tables/{segment(name)}", Repeat.ANY_NODE, wide=True)
    return call.with_json({"mode": mode})


def look(name: str) -> Call:
    """Finds a table."""
    return read(f"/v1/tables/{segment(name)}")


def drop(name: str) -> Call:
    """Drops a table."""
    return change("DELETE", f"/v1/tables/{segment(name)}", Repeat.ANY_NODE, wide=True)


def page(cursor: str | None) -> Call:
    """Lists tables."""
    return read("/v1/tables").with_query(cursor=cursor)


def table_from_api(body: Any) -> Table:
    """A table that a JSON document has."""
    mode: TableMode = "critical" if body["mode"] == "critical" else "eventual"
    return Table(str(body["name"]), mode)


async def create_critical(kernel: Kernel, name: str) -> None:
    """Creates the table of a recipe's locks, or finds it."""
    await kernel.request(create(name, "critical"))
