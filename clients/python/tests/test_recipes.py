"""The recipes that nodes run, by the blocking client."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import music
from tests.deployment import Deployment


def together(*works: Callable[[], object]) -> None:
    """Does all of it at once, and raises what one of them raised."""
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_a_counter(client: music.Client, other: music.Client, name: str) -> None:
    counter = client.counter(name)
    assert counter.get() == 0
    assert counter.add(3) == 0
    assert counter.add(-1) == 3
    swapped = other.counter(name).compare_and_set(2, 10)
    assert swapped
    assert swapped.before == 2
    refused = counter.compare_and_set(2, 11)
    assert not refused
    assert refused.before == 10
    assert counter.set(2**63 - 1) == 10
    with pytest.raises(music.Problem) as raised:
        counter.add(1)
    assert raised.value.code == "MUSIC-6005"
    with pytest.raises(music.BadRequest):
        counter.add(2**63)


def test_a_register(client: music.Client, other: music.Client, name: str) -> None:
    register = client.register(name)
    assert register.get() == (0, None)
    assert register.set({"a": 1}) == 1
    assert register.compare_and_set(0, "other") is None
    assert other.register(name).compare_and_set(1, b"\x00") == 2
    version, value = register.get()
    assert value is not None
    assert (version, value.bytes) == (2, b"\x00")
    with pytest.raises(music.Problem) as raised:
        register.set("x" * 300_000)
    assert raised.value.code == "MUSIC-1010"


def test_a_latch(client: music.Client, other: music.Client, name: str) -> None:
    latch = client.latch(name, count=2)
    assert latch.left() == 2
    assert not latch.wait(wait=0)
    assert latch.count_down() == 1
    waiting = other.latch(name, count=2)
    together(lambda: waiting.wait(), latch.count_down)
    assert latch.wait()
    assert latch.count_down() == 0
    with pytest.raises(music.NameInUse):
        client.latch(name, count=3).count_down()


def test_a_barrier(client: music.Client, other: music.Client, name: str) -> None:
    crossings: list[Any] = []
    barrier = client.barrier(name, parties=2)
    with barrier.watch() as arrivals:
        together(
            lambda: crossings.append(barrier.wait(wait=60)),
            lambda: crossings.append(other.barrier(name, parties=2).wait(party="the other")),
        )
        seen = next(arrivals)
        while seen.crossed < 1:
            seen = next(arrivals)
        assert seen.parties == 2
    assert [crossing.number for crossing in crossings] == [1, 1]
    assert sorted(crossing.last for crossing in crossings) == [False, True]
    with pytest.raises(music.Timeout) as raised:
        barrier.wait(wait=0.1)
    assert raised.value.retryable
    with pytest.raises(music.NameInUse):
        client.barrier(name, parties=3).wait(wait=30)
    with pytest.raises(music.BadRequest):
        client.barrier(name, parties=0).wait()


def test_a_double_barrier(client: music.Client, other: music.Client, name: str) -> None:
    entered: list[int] = []

    def party(one: music.Client, who: str | None) -> None:
        with one.double_barrier(name, parties=2, party=who) as crossing:
            entered.append(crossing.number)

    together(lambda: party(client, "one"), lambda: party(other, None))
    assert entered == [1, 1]
    with pytest.raises(music.Timeout):
        client.double_barrier(name, parties=2).enter(wait=0.1)


def test_a_semaphore(client: music.Client, other: music.Client, name: str) -> None:
    semaphore = client.semaphore(name, permits=2)
    with semaphore.acquire() as one, semaphore.acquire(wait=30) as two:
        assert {*one.numbers, *two.numbers} == {0, 1}
        assert one.lock_ref != two.lock_ref
        with pytest.raises(music.NotGranted):
            other.semaphore(name, permits=2).acquire(wait=0.1)
        assert semaphore.try_acquire() is None
    with other.semaphore(name, permits=2).acquire(2, wait=30) as both:
        assert sorted(both.numbers) == [0, 1]
        assert len(both.tokens) == 2
        assert both.token in both.tokens
    both.release()
    with pytest.raises(music.NameInUse):
        client.semaphore(name, permits=3).acquire()
    with pytest.raises(music.BadRequest):
        semaphore.acquire(3)


def test_a_permit_that_is_lost_is_told(
    client: music.Client, deployment: Deployment, name: str
) -> None:
    with (
        pytest.raises(music.LockLost),
        client.semaphore(name, permits=1).acquire(lease=3) as permit,
    ):
        deployment.force(permit.lock_ref)
        assert permit.wait_lost(timeout=30)
        with pytest.raises(music.LockLost):
            permit.check()


def test_an_election(client: music.Client, other: music.Client, name: str) -> None:
    election = client.election(name)
    assert election.leader() is None
    with election.observe() as leaders:
        assert next(leaders) is None
        with election.campaign("one", value="http://one") as leadership:
            seen = next(leaders)
            assert seen == leadership.leader
            assert seen is not None
            assert (seen.candidate, seen.value.text) == ("one", "http://one")
            assert seen.token == leadership.token
            with pytest.raises(music.NotGranted):
                other.election(name).campaign("two", wait=0.1)
            leadership.proclaim({"busy": True})
            assert leadership.leader.value.json == {"busy": True}
            changed = next(leaders)
            assert changed is not None
            assert changed.value.json == {"busy": True}
        assert next(leaders) is None
    with other.election(name).campaign("two", wait=30) as later:
        assert later.token > leadership.token
        assert later.leader.value.json is None


def test_a_leader_names_its_successor(
    client: music.Client, other: music.Client, deployment: Deployment, name: str
) -> None:
    leaders: list[str] = []
    leadership = client.election(name).campaign("first")

    def campaign(candidate: str) -> None:
        with other.election(name).campaign(candidate):
            leaders.append(candidate)

    def hand_over() -> None:
        deployment.await_queue(f"election/{name}", 3, table="recipes")
        leadership.hand_over("chosen")

    together(lambda: campaign("chosen"), lambda: campaign("another"), hand_over)
    assert sorted(leaders) == ["another", "chosen"]


def test_a_leadership_that_is_lost_is_told(
    client: music.Client, deployment: Deployment, name: str
) -> None:
    with (
        pytest.raises(music.LockLost),
        client.election(name).campaign("one", lease=3) as leadership,
    ):
        deployment.force(leadership.lock_ref)
        with pytest.raises(music.LockLost) as raised:
            leadership.proclaim("late")
        assert raised.value.reason == "preempted"


def test_active_passive_replicas(client: music.Client, other: music.Client, name: str) -> None:
    service = client.active_passive(name, active=1, sites=["a", "b"])
    with service.activate("one", "a", load=3, wait=30) as active:
        assert (active.slot, active.state) == (0, None)
        active.save({"upto": 4711})
        assert active.state is not None
        with pytest.raises(music.NotGranted):
            other.active_passive(name).activate("two", "b", wait=0.1)
    with other.active_passive(name).activate("two", "b", wait=30) as active:
        assert active.state is not None
        assert active.state.json == {"upto": 4711}
        active.step_down()


def test_a_replica_that_waits_is_listed(
    client: music.Client, other: music.Client, name: str
) -> None:
    service = client.active_passive(name)

    def wait() -> None:
        other.active_passive(name).activate("two", "b", load=7).step_down()

    def look() -> None:
        with active:
            replicas = service.replicas()
            while not replicas:
                replicas = service.replicas()
            assert [(r.name, r.site, r.load) for r in replicas] == [("two", "b", 7)]

    active = service.activate("one", "a")
    together(wait, look)


def test_a_group(client: music.Client, other: music.Client, name: str) -> None:
    group = client.group(name)
    with group.watch() as events:
        with group.join("one", value="http://one") as membership:
            assert next(events) == music.GroupEvent("joined", _member("one", "http://one"))
            assert group.members() == [_member("one", "http://one")]
            assert {member.name for member in other.group(name).members()} == {"one"}
            membership.tell("elsewhere")
            assert next(events) == music.GroupEvent("changed", _member("one", "elsewhere"))
            assert not membership.lost
        assert next(events).kind == "left"
    assert group.members() == []
    membership.leave()
    with pytest.raises(music.BadRequest):
        group.join("x" * 200)


def _member(name: str, text: str) -> music.Member:
    return music.Member(name, music.Value(text.encode(), "text/plain; charset=utf-8"))


def test_a_step_is_done_once(client: music.Client, other: music.Client, name: str) -> None:
    once = client.once(name)
    assert once.state().state == "undone"
    tokens: list[int] = []

    def step(token: int) -> tuple[int, str]:
        tokens.append(token)
        state = once.state()
        assert (state.state, state.token) == ("begun", token)
        with pytest.raises(music.Timeout):
            other.once(name).run(lambda _: "never", wait=0)
        return 4711, "done"

    assert once.run(step) == [4711, "done"]
    assert other.once(name).run(lambda _: "never") == [4711, "done"]
    assert len(tokens) == 1
    assert once.state() == music.OnceState("done", [4711, "done"], None)
    assert not once.settle("other")
    assert not once.forget()


def test_a_step_may_have_no_result(client: music.Client, name: str) -> None:
    assert client.once(name).run(lambda _: None) is None
    assert client.once(name).run(lambda _: "never") is None


def test_a_step_that_fails_is_not_done(client: music.Client, name: str) -> None:
    once = client.once(name)
    with pytest.raises(ZeroDivisionError):
        once.run(lambda _: 1 // 0)
    assert once.state().state == "undone"
    assert once.run(lambda _: 1) == 1


def test_an_interrupted_step_waits_for_somebody_who_looks(
    client: music.Client, deployment: Deployment, name: str
) -> None:
    once = client.once(name)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    endings: list[Callable[[], bool]] = [once.forget, lambda: once.settle("it was done")]
    for ends in endings:
        with pytest.raises(KeyboardInterrupt):
            once.run(interrupted)
        with pytest.raises(music.Interrupted) as raised:
            once.run(lambda _: "never")
        assert raised.value.code == "MUSIC-6006"
        assert ends()
    assert once.run(lambda _: "never") == "it was done"
    with pytest.raises(music.Invalid):
        client.once(f"{name}-2").run(lambda _: object())
    assert client.once(f"{name}-2").state().state == "begun"


def test_a_queue(client: music.Client, other: music.Client, name: str) -> None:
    queue = client.queue(name)
    assert queue.take_many(1, wait=0) == []
    with pytest.raises(music.Timeout):
        queue.take(wait=0)
    queue.push("later")
    queue.push({"n": 1}, priority=9)
    assert queue.push_all([music.Push(b"\x00"), music.Push("hidden", delay=3_600)]) == 2
    with queue.take() as item:
        assert (item.json, item.deliveries) == ({"n": 1}, 1)
    with pytest.raises(ZeroDivisionError), other.queue(name).take(wait=30) as item:
        assert item.text == "later"
        _ = 1 / 0
    taken = queue.take(wait=30)
    while taken.text != "later":  # The own site has not heard yet that it is back.
        taken.give_back()
        taken = queue.take(wait=30)
    with taken as again:
        assert (again.id, again.text, again.deliveries) == (item.id, "later", 2)
        assert again.token > item.token
        again.give_back()
    left = {b"later", b"\x00"}
    while left:
        for item in queue.take_many(5, wait=30):
            left.remove(item.bytes)
            item.done()
    with pytest.raises(music.BadRequest):
        queue.push_all([])
    with pytest.raises(music.BadRequest):
        queue.take(claim=0.001)


def test_who_waits_for_an_item_gets_it(
    client: music.Client, other: music.Client, name: str
) -> None:
    taken: list[str] = []

    def take() -> None:
        with other.queue(name).take() as item:
            taken.append(item.text)

    together(take, lambda: client.queue(name).push("work"))
    assert taken == ["work"]


def test_a_claim_that_is_lost_is_told(client: music.Client, other: music.Client, name: str) -> None:
    queue = client.queue(name)
    queue.push("work")
    item = queue.take(claim=30)
    with pytest.raises(music.ClaimLost), item:
        # As another taker's would, after this claim has lapsed.
        path = f"{other.endpoints[0]}/v1/recipes/queues/{name}/done"
        httpx.post(path, json={"id": item.id, "token": item.token}).raise_for_status()
    with pytest.raises(music.ClaimLost):
        item.check()


def test_names_of_recipes_are_checked(client: music.Client) -> None:
    with pytest.raises(music.Invalid):
        client.counter("")
    with pytest.raises(music.BadRequest) as raised:
        client.counter("x" * 901).get()
    assert raised.value.code == "MUSIC-6001"
    assert client.counter("with/slash and ü").add(0) == 0
