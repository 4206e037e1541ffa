"""Reading and writing records: the requests that are the same outside of sections and inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from music import errors
from music._core.call import Call, Footprint, change, encode, read, segment
from music._core.transport import Answer
from music.errors import Problem
from music.values import (
    Key,
    Record,
    Storable,
    Value,
    changes_to_api,
    key_bytes,
    key_to_api,
    record_from_api,
    value_of,
)

NO_VALUE = "MUSIC-2004"


@dataclass(frozen=True)
class Get:
    """A step of a batch: reads a record."""

    table: str
    key: Key


@dataclass(frozen=True)
class Put:
    """A step of a batch: writes a value."""

    table: str
    key: Key
    value: Storable
    field: str = ""


@dataclass(frozen=True)
class PutFields:
    """A step of a batch: writes fields together; None deletes one."""

    table: str
    key: Key
    fields: Mapping[str, Storable] = field(default_factory=dict)


@dataclass(frozen=True)
class Delete:
    """A step of a batch: deletes a record with all its fields."""

    table: str
    key: Key


Step: TypeAlias = Get | Put | PutFields | Delete
"""One operation of a batch."""

StepResult: TypeAlias = Record | int | Problem
"""What a step did: the record that it read, the stamp of its write, or why it failed."""


def record_path(base: str, table: str, key: Key) -> str:
    """Where a record is."""
    return f"{base}/tables/{segment(table)}/keys/{segment(key)}"


def get(base: str, table: str, key: Key, field: str) -> Call:
    """Reads a value."""
    return read(record_path(base, table, key)).with_query(field=field or None)


def put(base: str, table: str, key: Key, value: Storable, field: str) -> Call:
    """Writes a value."""
    call = change("PUT", record_path(base, table, key)).with_query(field=field or None)
    return call.with_value(value_of(value))


def delete(base: str, table: str, key: Key) -> Call:
    """Deletes a record."""
    return change("DELETE", record_path(base, table, key))


def get_fields(base: str, table: str, key: Key) -> Call:
    """Reads a record."""
    return read(f"{record_path(base, table, key)}/fields")


def put_fields(base: str, table: str, key: Key, fields: Mapping[str, Storable]) -> Call:
    """Writes fields together."""
    call = change("PATCH", f"{record_path(base, table, key)}/fields")
    return call.with_json({"fields": changes_to_api(fields)})


def batch(base: str, steps: Iterable[Step]) -> Call:
    """Does several operations in one request."""
    call = change("POST", f"{base}/batch")
    return call.with_json({"steps": [_step_to_api(step) for step in steps]})


def scan(table: str, prefix: Key, page_size: int | None, cursor: str | None) -> Call:
    """Reads one page of a table."""
    limit = None if page_size is None else str(page_size)
    call = read(f"/v1/tables/{segment(table)}/keys")
    return call.with_query(prefix=prefix or None, limit=limit, cursor=cursor)


def footprint(table: str, key: Key, fields: Iterable[str] | None) -> Footprint:
    """What a put writes."""
    names = None if fields is None else frozenset(fields)
    return Footprint(table, key_bytes(key), names)


def footprints(steps: Iterable[Step]) -> list[Footprint]:
    """What a batch writes."""
    found = []
    for step in steps:
        if isinstance(step, Put):
            found.append(footprint(step.table, step.key, [step.field]))
        elif isinstance(step, PutFields):
            found.append(footprint(step.table, step.key, step.fields))
        elif isinstance(step, Delete):
            found.append(footprint(step.table, step.key, None))
    return found


def read_value(answer: Answer) -> Value:
    """The value of an answer."""
    return Value(answer.body, answer.content_type, answer.stamp)


def read_stamp(body: Any) -> int:
    """The stamp of a write."""
    return int(body["stamp"])


def read_results(body: Any) -> list[StepResult]:
    """What the steps of a batch did."""
    return [_result_from_api(result) for result in body["results"]]


def watch(table: str, prefix: Key, key: Key | None) -> Call:
    """Watches a table, those of its keys that begin so, or one key."""
    return read(f"/v1/watch?table={encode(table)}").with_query(prefix=prefix or None, key=key)


def _step_to_api(step: Step) -> dict[str, Any]:
    body: dict[str, Any] = {"table": step.table, "key": key_to_api(step.key)}
    if isinstance(step, Get):
        return {"op": "get", **body}
    if isinstance(step, Delete):
        return {"op": "delete", **body}
    fields = {step.field: value_of(step.value)} if isinstance(step, Put) else step.fields
    return {"op": "put", **body, "fields": changes_to_api(fields)}


def _result_from_api(result: Mapping[str, Any]) -> StepResult:
    if "record" in result:
        return record_from_api(result["record"])
    if "written" in result:
        return read_stamp(result["written"])
    return errors.problem(result["problem"])
