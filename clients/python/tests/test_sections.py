"""Critical sections, and the locks that are sections."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest

import music
from tests.conftest import Body
from tests.deployment import Deployment


def test_a_section_reads_what_the_last_one_wrote(
    client: music.Client, other: music.Client, name: str
) -> None:
    with client.lock([("locks", name)]) as section:
        assert section.get("locks", name) is None
        section.put("locks", name, "70")
        token = section.token
    with other.lock(("locks", name)) as section:
        got = section.get("locks", name)
        assert got is not None
        assert got.text == "70"
        assert section.token > token
        assert section.tokens == [music.Token("locks", name, section.token)]


def test_a_section_has_all_operations(client: music.Client, name: str) -> None:
    with client.lock([("locks", name)]) as section:
        section.put_fields("locks", name, {"a": "1", "b": "2"})
        section.delete("locks", name, field="a")
        record = section.fields("locks", name)
        assert record is not None
        assert set(record.fields) == {"b"}
        results = section.batch(
            [
                music.Get("locks", name),
                music.Put("locks", name, "x"),
                music.PutFields("locks", f"{name}-else", {"c": 1}),
            ]
        )
        assert isinstance(results[0], music.Record)
        assert isinstance(results[1], int)
        problem = results[2]
        assert isinstance(problem, music.Problem)
        assert problem.code == "MUSIC-3005"
        section.batch([music.Delete("locks", name)])
        assert section.get("locks", name) is None
        section.check()
        assert not section.lost
        section.confirm()


def test_tokens_come_in_the_order_of_the_keys(client: music.Client, name: str) -> None:
    keys = [("locks", f"{name}-{letter}") for letter in "cab"]
    with client.lock(keys) as section:
        assert [(token.table, token.key) for token in section.tokens] == keys


def test_who_waits_is_not_granted_in_time(
    client: music.Client, other: music.Client, name: str
) -> None:
    with client.lock([("locks", name)]):
        with pytest.raises(music.NotGranted) as raised:
            other.lock([("locks", name)], wait=0).acquire()
        assert raised.value.retryable
        with pytest.raises(TimeoutError), other.lock([("locks", name)], wait=0.05):
            pass
    with other.lock([("locks", name)], wait=30):
        pass


def test_who_waits_is_granted_when_the_holder_leaves(
    client: music.Client, other: music.Client, name: str
) -> None:
    granted = threading.Event()

    def wait() -> None:
        with other.lock([("locks", name)], wait=30):
            granted.set()

    with client.lock([("locks", name)]):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not granted.is_set()
    waiter.join()
    assert granted.is_set()


def test_readers_share_and_only_read(client: music.Client, other: music.Client, name: str) -> None:
    with (
        client.lock([("locks", name)], shared=True) as one,
        other.lock([("locks", name)], shared=True) as two,
    ):
        assert one.get("locks", name) is two.get("locks", name) is None
        with pytest.raises(music.Problem) as raised:
            one.put("locks", name, "x")
        assert raised.value.code == "MUSIC-3004"


def test_a_block_that_raises_releases(client: music.Client, other: music.Client, name: str) -> None:
    with pytest.raises(ZeroDivisionError), client.lock([("locks", name)]):
        _ = 1 / 0
    with other.lock([("locks", name)], wait=30):
        pass


def test_a_section_is_released_once(client: music.Client, name: str) -> None:
    with client.lock([("locks", name)]) as section:
        section.release()
        with pytest.raises(music.Error) as raised:
            section.put("locks", name, "late")
        assert raised.value.outcome == "not_applied"
    section.release()


def test_a_lock_of_bad_keys_is_refused(client: music.Client, name: str) -> None:
    with pytest.raises(music.WrongMode):
        client.lock([("kv", name)]).acquire()
    with pytest.raises(music.BadRequest):
        client.lock([]).acquire()
    with pytest.raises(music.NoSuchTable):
        client.lock([("no-such-table", name)]).acquire()
    with pytest.raises(music.BadRequest):
        client.lock([("locks", name)], lease=86_000).acquire()
    with pytest.raises(music.Invalid):
        client.lock([("locks", name)], lease=-1).acquire()


def test_a_lost_lock_is_told_in_the_middle_and_at_the_end(
    client: music.Client, deployment: Deployment, name: str
) -> None:
    with (
        pytest.raises(music.LockLost),
        client.lock([("locks", name)]) as section,
    ):
        section.put("locks", name, "acknowledged")
        deployment.force(section.lock_ref)
        with pytest.raises(music.LockLost) as raised:
            for number in range(1_000):
                section.put("locks", name, f"late {number}")
        assert raised.value.reason == "preempted"
        assert section.lost
        for operation in (
            section.check,
            section.release,
            section.confirm,
            lambda: section.get("locks", name),
            lambda: section.delete("locks", name),
            lambda: section.batch([music.Get("locks", name)]),
        ):
            with pytest.raises(music.LockLost):
                operation()
        # The block goes on to its end; there it is told once more.


def test_a_loss_is_told_though_nothing_is_asked(
    client: music.Client, deployment: Deployment, name: str
) -> None:
    section = client.lock([("locks", name)], lease=3).acquire()
    deployment.force(section.lock_ref)
    assert section.wait_lost(timeout=30)
    with pytest.raises(music.LockLost):
        section.check()


def test_another_exception_is_not_hidden(
    client: music.Client, deployment: Deployment, name: str
) -> None:
    with pytest.raises(KeyError), client.lock([("locks", name)]) as section:
        deployment.force(section.lock_ref)
        raise KeyError("of the block")


def test_a_confirmation_is_refused_where_somebody_was_granted(
    client: music.Client, other: music.Client, deployment: Deployment, name: str
) -> None:
    section = client.lock([("locks", name)]).acquire()
    deployment.force(section.lock_ref)
    with other.lock([("locks", name)]):
        pass
    with pytest.raises(music.LockLost):
        section.confirm()


def test_a_mutex_keeps_its_state(client: music.Client, other: music.Client, name: str) -> None:
    with client.mutex(name) as guard:
        assert guard.load() is None
        guard.store("done")
        assert other.mutex(name).try_lock() is None
        with pytest.raises(music.NotGranted):
            other.mutex(name).lock(wait=0)
    with other.mutex(name).lock(wait=30) as free:
        state = free.load()
        assert state is not None
        assert state.text == "done"


def test_a_mutex_that_is_free_is_taken_at_once(client: music.Client, name: str) -> None:
    guard = client.mutex(name).try_lock()
    assert guard is not None
    guard.release()


def test_one_mutex_is_entered_by_many_threads(client: music.Client, name: str) -> None:
    mutex = client.mutex(name)
    count = 4

    def add() -> None:
        with mutex as guard:
            state = guard.load()
            guard.store(1 + (state.json if state else 0))

    threads = [threading.Thread(target=add) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with mutex as guard:
        state = guard.load()
        assert state is not None
        assert state.json == count


def test_a_reader_writer_lock(client: music.Client, other: music.Client, name: str) -> None:
    with client.rw_lock(name).write() as writer:
        writer.store("blue")
        with pytest.raises(music.NotGranted):
            other.rw_lock(name).read(wait=0)
    with client.rw_lock(name).read() as one, other.rw_lock(name).read(wait=30) as two:
        state = two.load()
        assert state is not None
        assert state.text == "blue"
        assert one.token != two.token
        with pytest.raises(music.NotGranted):
            other.rw_lock(name).write(wait=0)


def test_several_locks_at_once(client: music.Client, other: music.Client, name: str) -> None:
    names = [f"{name}-b", f"{name}-a"]
    with client.multi_lock(names) as both:
        for key in names:
            both.put("locks", key, key)
        assert len(both.tokens) == 2
        assert other.mutex(names[1]).try_lock() is None


def test_asyncio_has_all_of_it(in_loop: Callable[[Body], None], name: str) -> None:
    async def body(client: music.aio.Client) -> None:
        async with client.lock([("locks", name)]) as section:
            await asyncio.gather(*(section.put("locks", name, str(n)) for n in range(10)))
            await section.put_fields("locks", name, {"f": "g"})
            assert await section.get("locks", name) is not None
            assert await section.fields("locks", name) is not None
            await section.delete("locks", name, field="f")
            assert len(await section.batch([music.Get("locks", name)])) == 1
            with pytest.raises(music.NotGranted):
                await client.lock([("locks", name)], wait=0).acquire()
            assert await client.mutex(name).try_lock() is None
            await section.confirm()
        async with client.mutex(name) as guard:
            await guard.store("state")
        async with client.rw_lock(name).read() as one, client.rw_lock(name).read() as two:
            assert await one.load() == await two.load()
        async with client.rw_lock(name).write(wait=30) as writer:
            assert await writer.load() is not None
        async with client.multi_lock([name, f"{name}-2"]) as both:
            await both.put("locks", f"{name}-2", "x")
        section = await client.lock([("locks", name)]).acquire()
        await section.release()

    in_loop(body)


def test_a_body_is_cancelled_when_its_lock_is_lost(
    in_loop: Callable[[Body], None], deployment: Deployment, name: str
) -> None:
    async def body(client: music.aio.Client) -> None:
        reached = False
        with pytest.raises(music.LockLost):
            async with client.lock([("locks", name)], lease=3) as section:
                await asyncio.to_thread(deployment.force, section.lock_ref)
                await asyncio.Event().wait()
                reached = True
        assert not reached
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)  # It is not cancelled any more.

    in_loop(body)


def test_nested_blocks_lose_the_one_that_is_lost(
    in_loop: Callable[[Body], None], deployment: Deployment, name: str
) -> None:
    async def body(client: music.aio.Client) -> None:
        async with client.mutex(f"{name}-outer") as outer:
            with pytest.raises(music.LockLost):
                async with client.lock([("locks", name)], lease=3) as inner:
                    await asyncio.to_thread(deployment.force, inner.lock_ref)
                    await asyncio.Event().wait()
            await outer.store("goes on")

    in_loop(body)


def test_a_cancelled_body_is_cancelled(in_loop: Callable[[Body], None], name: str) -> None:
    async def body(client: music.aio.Client) -> None:
        entered = asyncio.Event()

        async def hold() -> None:
            async with client.mutex(name):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(hold())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with client.mutex(name):  # It was released.
            pass

    in_loop(body)


def test_a_wait_that_is_cancelled_leaves_the_queue(
    in_loop: Callable[[Body], None], deployment: Deployment, name: str
) -> None:
    async def body(client: music.aio.Client) -> None:
        async with client.mutex(name):
            waiting = asyncio.ensure_future(client.mutex(name).lock().__aenter__())
            await asyncio.to_thread(deployment.await_queue, name, 2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with client.mutex(name):
            pass

    in_loop(body)


def test_what_is_forgotten_is_not_kept_alive(
    client: music.Client, other: music.Client, name: str
) -> None:
    client.lock([("locks", name)], lease=1).acquire()
    gc.collect()
    with other.lock([("locks", name)], wait=60):
        pass


def test_a_release_that_is_cancelled_is_done_all_the_same(
    in_loop: Callable[[Body], None], name: str
) -> None:
    async def body(client: music.aio.Client) -> None:
        section = await client.lock([("locks", name)], lease=60).acquire()
        releasing = asyncio.ensure_future(section.release())
        await asyncio.sleep(0)
        releasing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await releasing
        async with client.lock([("locks", name)], wait=30):
            pass

    in_loop(body)
