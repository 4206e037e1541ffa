"""Values, records and keys, and their forms in JSON."""

from __future__ import annotations

import base64
import builtins
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from music.errors import Invalid

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"

# How deep arrays and objects may lie in each other where a value stands as JSON in another
# document: its reader refuses what is deeper, and all that stands beside it.
_JSON_DEPTH_MAX = 100

Key: TypeAlias = str | bytes
"""A key of a table: text, or any bytes, of 1 to 1024 bytes."""


@dataclass(frozen=True)
class Value:
    """A value: bytes, and what they are."""

    bytes: builtins.bytes
    """The bytes."""
    content_type: str = BYTES
    """What they are, as an HTTP content type; returned as it was stored."""
    stamp: int | None = field(default=None, compare=False)
    """The number that orders the write it comes from, where that is known."""

    @property
    def text(self) -> str:
        """The value as text. Raises UnicodeDecodeError where it is no UTF-8."""
        return self.bytes.decode()

    @property
    def json(self) -> Any:
        """The value from JSON. Raises ValueError where it is none."""
        return json.loads(self.bytes)

    @classmethod
    def of_json(cls, value: Any) -> Value:
        """A value as JSON: also for a string, or None, which would be taken otherwise."""
        return cls(_dump(value), JSON)


Storable: TypeAlias = Any
"""What can be stored: text, bytes, a Value of any content type, or else what has JSON."""


@dataclass(frozen=True)
class Record:
    """A record: all fields of a key that have a value."""

    key: Key
    """The key: text where its bytes are UTF-8."""
    fields: dict[str, Value]
    """The fields; the default field has the empty name. Empty where the record is deleted."""
    stamp: int
    """The highest stamp of the record, 0 if it was never written."""


@dataclass(frozen=True)
class Token:
    """The fencing token of a key: greater than those of all earlier holders."""

    table: str
    key: Key
    token: int


def value_of(storable: Storable) -> Value:
    """A value to be stored."""
    if isinstance(storable, Value):
        return storable
    if isinstance(storable, str):
        return Value(storable.encode(), TEXT)
    if isinstance(storable, (bytes, bytearray, memoryview)):
        return Value(bytes(storable), BYTES)
    if storable is None:
        raise Invalid("None is no value: delete the field, or store Value.of_json(None)")
    return Value.of_json(storable)


def to_api(storable: Storable) -> dict[str, Any]:
    """A value as JSON documents have it."""
    value = value_of(storable)
    kind = value.content_type.split(";")[0].strip()
    try:
        if kind == JSON and _is_shallow(value.json):
            return {"json": value.json}
        if kind == "text/plain":
            return {"text": value.text}
    except (ValueError, RecursionError):
        pass  # It is not what its content type says: the bytes are what counts.
    data = base64.b64encode(value.bytes).decode()
    return {"base64": {"data": data, "content_type": value.content_type}}


def from_api(document: Mapping[str, Any]) -> Value:
    """A value that a JSON document has."""
    if "text" in document:
        return Value(str(document["text"]).encode(), TEXT)
    if "base64" in document:
        inner = document["base64"]
        return Value(base64.b64decode(inner["data"]), str(inner.get("content_type", BYTES)))
    return Value.of_json(document["json"])


def json_of(value: Any) -> Any:
    """What JSON makes of a value: what everybody else reads of it."""
    return json.loads(_dump(value))


def key_bytes(key: Key) -> bytes:
    """The bytes of a key."""
    return key.encode() if isinstance(key, str) else bytes(key)


def key_to_api(key: Key) -> Any:
    """A key as JSON documents have it."""
    raw = key_bytes(key)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def key_from_api(document: Any) -> Key:
    """A key that a JSON document has."""
    if isinstance(document, str):
        return document
    return base64.b64decode(document["base64"])


def record_from_api(document: Mapping[str, Any]) -> Record:
    """A record that a JSON document has."""
    fields = {str(name): from_api(value) for name, value in document["fields"].items()}
    return Record(key_from_api(document["key"]), fields, int(document["stamp"]))


def changes_to_api(fields: Mapping[str, Storable]) -> dict[str, Any]:
    """Fields to be written, as JSON documents have them; None deletes one."""
    return {name: None if value is None else to_api(value) for name, value in fields.items()}


def _dump(value: Any) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the value cannot be written as JSON: {error}") from error


def _is_shallow(value: Any, depth: int = _JSON_DEPTH_MAX) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_is_shallow(inner, depth - 1) for inner in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_shallow(inner, depth - 1) for inner in value)
    return True
