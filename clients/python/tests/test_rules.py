"""The rules of sections, by themselves: no node is asked."""

from __future__ import annotations

import inspect
import random

import pytest

import music
from music._core.call import Footprint, milliseconds, segment
from music._core.place import Place, Spot
from music._core.puts import PutLog
from music._core.sse import Event, Parser
from music.values import from_api, to_api


def kept() -> Place:
    """A section that node 0 of three keeps."""
    return Place(3, 0).ask().settle()


def test_a_node_that_was_left_is_never_asked_again() -> None:
    place, has_turned = kept().turn()
    assert has_turned
    place = place.ask().settle()
    assert place.spot == Spot(1, 1, True)
    place, has_turned = place.turn()
    assert has_turned
    place = place.ask()
    assert place.spot == Spot(2, 2, False)
    place, has_turned = place.turn()
    assert not has_turned, "both others were left"
    assert place.at == 2


def test_a_node_is_kept_while_no_other_can_have_done_anything() -> None:
    place = kept()
    for at in (1, 2):
        place, has_turned = place.turn()
        assert (place.at, has_turned) == (at, True)
        place = place.ask().take_back(place)
    place, has_turned = place.turn()
    assert not has_turned
    assert (place.at, place.spot.settled) == (0, True)


def test_a_node_that_may_have_taken_over_is_asked_again_or_left() -> None:
    place = kept().turn()[0].ask().ask()
    assert place.spot == Spot(1, 1, False)
    place, _ = place.turn()
    place = place.ask().take_back(place)
    place, has_turned = place.turn()
    assert (place.at, has_turned) == (1, False), "never back to node 0"


def test_whatever_happens_the_past_is_past() -> None:
    dice = random.Random(7)
    for _ in range(2_000):
        place = Place(dice.randint(1, 4), 0)
        asked: list[int] = []
        for _ in range(40):
            event = dice.randrange(4)
            if event == 0:
                place = place.ask()
                if place.at in asked:
                    assert set(asked[asked.index(place.at) :]) == {place.at}
                asked.append(place.at)
            elif event == 1 and asked and asked[-1] == place.at:
                place = place.settle()
            elif event == 2:
                place = place.unsettle()
            else:
                place, _ = place.turn()


def footprint(key: bytes, *fields: str) -> list[Footprint]:
    """A put to these fields of a record, or to the whole of it."""
    return [Footprint("t", key, frozenset(fields) if fields else None)]


def test_a_later_put_to_the_same_field_makes_the_earlier_one_unrepeatable() -> None:
    log = PutLog()
    first, second = log.begin(footprint(b"k", "a")), log.begin(footprint(b"k", "a", "b"))
    assert not first.is_latest()
    assert second.is_latest()
    second.end()
    assert not first.is_latest(), "also when the later one is over"


def test_puts_to_other_fields_and_records_do_not_matter() -> None:
    log = PutLog()
    prints = [footprint(b"k", "a"), footprint(b"k", "b"), footprint(b"l", "a")]
    puts = [log.begin(one) for one in prints]
    assert all(put.is_latest() for put in puts)


def test_a_put_to_the_whole_record_is_one_to_each_field() -> None:
    log = PutLog()
    first, second = log.begin(footprint(b"k", "a")), log.begin(footprint(b"k"))
    assert not first.is_latest()
    assert second.is_latest()
    third = log.begin(footprint(b"k", "z"))
    assert not second.is_latest()
    assert third.is_latest()


def test_a_put_is_remembered_until_too_many_followed() -> None:
    log = PutLog()
    first = log.begin(footprint(b"k", "a"))
    for _ in range(31):
        assert first.is_remembered()
        log.begin(footprint(b"k", "b")).end()
    log.begin(footprint(b"k", "b")).end()
    assert not first.is_remembered()


def test_events_are_read_in_whatever_pieces() -> None:
    text = b': hello\n\nevent: lock\ndata: {"a":\ndata: 1}\n\nid: 7\ndata:x\r\n\r\n'
    told = [Event("lock", '{"a":\n1}'), Event("", "x")]
    for size in range(1, len(text) + 1):
        parser = Parser()
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [event for piece in pieces for event in parser.push(piece)] == told


@pytest.mark.parametrize("value", ["ä", b"\x00\xff", {"a": [1]}, 7, None])
def test_values_survive_a_document(value: object) -> None:
    stored = music.Value.of_json(value) if value is None else value
    there = from_api(to_api(stored))
    assert from_api(to_api(there)) == there
    kind = music.Value(b"\x80", "text/plain")
    assert from_api(to_api(kind)) == kind


def test_json_that_nests_too_deep_goes_as_bytes() -> None:
    deep: list[object] = []
    for _ in range(101):
        deep = [deep]
    assert "base64" in to_api(deep)
    assert from_api(to_api(deep)).json == deep


def test_names_in_a_path_are_one_segment() -> None:
    assert segment("x/y?z#ü") == "x%2Fy%3Fz%23%C3%BC"
    for name in ("", ".", ".."):
        with pytest.raises(music.Invalid):
            segment(name)


def test_times_are_not_rounded_to_nothing() -> None:
    assert [milliseconds(time) for time in (0, 0.0001, 1.5, None)] == [0, 1, 1500, None]
    with pytest.raises(music.Invalid):
        milliseconds(float("nan"))


def test_both_clients_have_the_same_api() -> None:
    for name in music.aio.__all__:
        if name == "Acquiring":
            continue  # What is awaited is there at once without asyncio.
        for method, twin in public(getattr(music.aio, name)).items():
            own = public(getattr(music, name)).get(method)
            assert own is not None, f"{name}.{method}"
            if callable(twin):
                assert parameters(own) == parameters(twin), f"{name}.{method}"
            assert inspect.getdoc(own), f"{name}.{method}"


def public(kind: type) -> dict[str, object]:
    """What a class offers."""
    members = inspect.getmembers(kind)
    return {name: member for name, member in members if not name.startswith("_")}


def parameters(method: object) -> list[tuple[str, object]]:
    """What a method is called with."""
    assert callable(method)
    signature = inspect.signature(method)
    return [(parameter.name, parameter.default) for parameter in signature.parameters.values()]
