"""The recipes that nodes run, by the client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import music
from tests.conftest import Body
from tests.deployment import Deployment


def test_what_holds_nothing(in_loop: Callable[[Body], None], name: str) -> None:
    async def body(client: music.aio.Client) -> None:
        counter = client.counter(name)
        assert await counter.add(2) == 0
        assert await counter.compare_and_set(2, 5)
        assert await counter.set(6) == 5
        assert await counter.get() == 6
        register = client.register(name)
        assert await register.set("a") == 1
        assert await register.compare_and_set(1, "b") == 2
        assert (await register.get())[0] == 2
        latch = client.latch(name, count=1)
        waiting = asyncio.ensure_future(latch.wait())
        assert await latch.left() == 1
        assert await latch.count_down() == 0
        assert await waiting
        barrier = client.barrier(name, parties=2)
        async with barrier.watch() as arrivals:
            crossings = await asyncio.gather(barrier.wait(), barrier.wait())
            assert sorted(crossing.last for crossing in crossings) == [False, True]
            async for seen in arrivals:
                if seen.crossed == 1:
                    break

        async def party() -> None:
            async with client.double_barrier(name, parties=2):
                pass

        await asyncio.gather(party(), party())

    in_loop(body)


def test_what_is_held(in_loop: Callable[[Body], None], name: str) -> None:
    async def body(client: music.aio.Client) -> None:
        semaphore = client.semaphore(name, permits=2)
        async with semaphore.acquire() as permit, semaphore.acquire() as second:
            assert permit.numbers != second.numbers
            assert await semaphore.try_acquire() is None
        held = await semaphore.acquire(2, wait=30)
        await held.release()
        election = client.election(name)
        async with election.observe() as leaders, election.campaign("one") as leadership:
            assert await election.leader() == leadership.leader
            await leadership.proclaim("else")
            async for leader in leaders:
                if leader is not None and leader.value.text == "else":
                    break
            await leadership.resign()
        (await (await election.campaign("two", wait=30)).hand_over("three"))
        service = client.active_passive(name)
        async with service.activate("one", "a", wait=30) as active:
            await active.save("state")
            assert isinstance(await service.replicas(), list)
            await active.step_down()
        group = client.group(name)
        async with group.watch() as events, group.join("one", value=1) as membership:
            assert (await events.__anext__()).member.name == "one"
            await membership.tell(2)
            assert [member.value.json for member in await group.members()] == [2]
            await membership.leave()

    in_loop(body)


def test_a_step_may_be_async(in_loop: Callable[[Body], None], name: str) -> None:
    async def body(client: music.aio.Client) -> None:
        async def step(token: int) -> int:
            await asyncio.sleep(0)
            return token

        token = await client.once(name).run(step)
        assert await client.once(name).run(lambda _: -1) == token
        assert (await client.once(name).state()).result == token

    in_loop(body)


def test_a_step_that_is_cancelled_is_interrupted(
    in_loop: Callable[[Body], None], name: str
) -> None:
    async def body(client: music.aio.Client) -> None:
        begun = asyncio.Event()

        async def step(_: int) -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(client.once(name).run(step))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(music.Interrupted):
            await client.once(name).run(lambda _: 1)
        assert await client.once(name).forget()
        assert await client.once(name).run(lambda _: 1) == 1

    in_loop(body)


def test_a_queue(in_loop: Callable[[Body], None], name: str) -> None:
    async def body(client: music.aio.Client) -> None:
        queue = client.queue(name)
        waiting = asyncio.ensure_future(queue.take_many(1))
        await queue.push("first")
        (item,) = await waiting
        await item.give_back()
        async with queue.take() as item:
            assert (item.text, item.deliveries) == ("first", 2)
        await queue.push_all([music.Push(1), music.Push(2)])
        again = await queue.take(wait=30)
        await again.done()
        assert await queue.length() >= 0

    in_loop(body)


def test_a_leader_is_stopped_when_it_is_preempted(
    in_loop: Callable[[Body], None], deployment: Deployment, name: str
) -> None:
    async def body(client: music.aio.Client) -> None:
        with pytest.raises(music.LockLost):
            async with client.election(name).campaign("one", lease=3) as leadership:
                await asyncio.to_thread(deployment.force, leadership.lock_ref)
                await asyncio.Event().wait()
        async with client.election(name).campaign("two", wait=30):
            pass

    in_loop(body)


def test_who_stops_waiting_leaves_the_queue(in_loop: Callable[[Body], None], name: str) -> None:
    async def body(client: music.aio.Client) -> None:
        semaphore = client.semaphore(name, permits=1)
        async with semaphore.acquire():
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(semaphore.acquire().__aenter__(), timeout=0.2)
        async with semaphore.acquire(wait=30):
            pass

    in_loop(body)
