"""Values without a lock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import music
from tests.conftest import Body


def test_what_was_put_is_got(client: music.Client, name: str) -> None:
    stamp = client.put("kv", name, "hello")
    got = client.get("kv", name)
    assert got is not None
    assert (got.text, got.bytes, got.stamp) == ("hello", b"hello", stamp)
    assert got.content_type == "text/plain; charset=utf-8"


def test_values_keep_their_kind(client: music.Client, name: str) -> None:
    for value in ({"a": [1, 2.5, None, "ä"]}, [1], 7, True):
        client.put("kv", name, value)
        got = client.get("kv", name)
        assert got is not None
        assert (got.json, got.content_type) == (value, "application/json")
    client.put("kv", name, music.Value(b"\x00\xff", "image/png"))
    got = client.get("kv", name)
    assert got is not None
    assert (got.bytes, got.content_type) == (b"\x00\xff", "image/png")
    with pytest.raises(UnicodeDecodeError):
        _ = got.text


def test_what_is_not_there_is_none(client: music.Client, name: str) -> None:
    assert client.get("kv", name) is None
    assert client.fields("kv", name) is None
    client.put("kv", name, "x")
    client.delete("kv", name)
    assert client.get("kv", name) is None


def test_fields_are_put_together_and_deleted_alone(client: music.Client, name: str) -> None:
    client.put_fields("kv", name, {"a": "1", "b": b"\x80", "c": {"d": 1}})
    client.put("kv", name, "default")
    client.put("kv", name, "2", field="a")
    client.delete("kv", name, field="b")
    record = client.fields("kv", name)
    assert record is not None
    assert record.key == name
    assert {key: value.bytes for key, value in record.fields.items()} == {
        "": b"default",
        "a": b"2",
        "c": b'{"d":1}',
    }
    client.put_fields("kv", name, {"a": None, "c": None, "": None})
    assert client.fields("kv", name) is None


def test_keys_are_any_bytes(client: music.Client, name: str) -> None:
    for key in (f"{name}/x?y#z ü%2F", name.encode() + b"\x00\xff/"):
        client.put("kv", key, "x")
        got = client.get("kv", key)
        assert got is not None
        assert got.text == "x"
        record = client.fields("kv", key)
        assert record is not None
        assert record.key == key


def test_a_scan_reads_page_by_page(client: music.Client, name: str) -> None:
    for number in range(5):
        client.put("kv", f"{name}-{number}", str(number))
    found = client.scan("kv", prefix=f"{name}-", page_size=2)
    assert [record.fields[""].text for record in found] == ["0", "1", "2", "3", "4"]
    assert next(client.scan("kv", prefix=name)).key == f"{name}-0"


def test_tables_are_made_found_and_dropped(client: music.Client, name: str) -> None:
    made = client.create_table(name, "eventual")
    assert made == music.Table(name, "eventual")
    assert client.create_table(name, "eventual") == client.table(name) == made
    assert made in client.tables()
    with pytest.raises(music.WrongMode):
        client.create_table(name, "critical")
    client.drop_table(name)
    with pytest.raises(music.NoSuchTable):
        client.put(name, "k", "v")


def test_a_watch_tells_what_changes(client: music.Client, name: str) -> None:
    with client.watch("kv", prefix=name) as changes:
        client.put("kv", f"{name}-1", "one")
        first = next(changes)
        assert isinstance(first, music.Change)
        assert (first.table, first.record.key) == ("kv", f"{name}-1")
        assert first.record.fields[""].text == "one"
        client.delete("kv", f"{name}-1")
        gone = next(changes)
        assert isinstance(gone, music.Change)
        assert gone.record.fields == {}


def test_a_watch_of_a_key_begins_with_what_is_there(client: music.Client, name: str) -> None:
    client.put("kv", name, "now")
    with client.watch("kv", key=name) as changes:
        event = next(changes)
        assert isinstance(event, music.Change)
        assert event.record.fields[""].text == "now"


def test_bad_input_is_told_apart(client: music.Client, name: str) -> None:
    for make in (
        lambda: client.put("kv", "", "x"),
        lambda: client.put("kv", name, None),
        lambda: client.put("kv", name, object()),
        lambda: client.put("kv", name, float("nan")),
        lambda: client.create_table(name, "sometimes"),  # type: ignore[arg-type]
        lambda: client.watch("kv", prefix="a", key="b"),
    ):
        with pytest.raises(music.Invalid) as raised:
            make()
        assert (raised.value.outcome, raised.value.retryable) == ("not_applied", False)
    with pytest.raises(music.BadRequest) as bad:
        client.create_table("no/such name", "eventual")
    assert bad.value.code == "MUSIC-1008"
    assert bad.value.request_id
    with pytest.raises(music.WrongMode) as wrong:
        client.put("locks", name, "without a lock")
    assert (wrong.value.code, wrong.value.status) == ("MUSIC-2002", 409)
    with pytest.raises(music.NoSuchTable):
        client.get("no-such-table", name)


@pytest.mark.parametrize("endpoint", ["", "localhost", "https://a", "http://a?b", "http://a:x"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(music.Invalid):
        music.Client(endpoint)
    with pytest.raises(music.Invalid):
        music.Client()


def test_asyncio_has_all_of_it(in_loop: Callable[[Body], None], name: str) -> None:
    async def body(client: music.aio.Client) -> None:
        table = await client.create_table(name, "eventual")
        assert table in await client.tables()
        assert await client.table(name) == table
        async with client.watch(name) as changes:
            await client.put(name, "k", "v")
            await client.put_fields(name, "k", {"f": "w"})
            event = await changes.__anext__()
            assert isinstance(event, music.Change)
        got = await client.get(name, "k", "f")
        assert got is not None
        assert got.text == "w"
        record = await client.fields(name, "k")
        assert record is not None
        assert set(record.fields) == {"", "f"}
        assert [record.key async for record in client.scan(name)] == ["k"]
        await client.delete(name, "k", field="f")
        await client.delete(name, "k")
        assert await client.get(name, "k") is None
        await client.drop_table(name)

    in_loop(body)
