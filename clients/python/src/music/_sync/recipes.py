"""The recipes that nodes run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from music import aio
from music._core.changes import Arrivals, GroupEvent, Leader, Member
from music._core.runtime import run
from music._sync.held import Active, Item, Leadership, Membership, Permit
from music._sync.same import Events, same_as
from music.aio.recipes.active_passive import Replica
from music.aio.recipes.barrier import Crossing
from music.aio.recipes.counter import CounterSet
from music.aio.recipes.once import OnceState
from music.aio.recipes.queue import Push
from music.values import Storable, Value


class Semaphore:
    __doc__ = aio.Semaphore.__doc__

    def __init__(self, twin: aio.Semaphore) -> None:
        self._twin = twin

    @same_as(aio.Semaphore.acquire)
    def acquire(
        self, number: int = 1, wait: float | None = None, lease: float | None = None
    ) -> Permit:
        return Permit(run(self._twin.acquire(number, wait, lease)))

    @same_as(aio.Semaphore.try_acquire)
    def try_acquire(self, number: int = 1) -> Permit | None:
        permit = run(self._twin.try_acquire(number))
        return None if permit is None else Permit(permit)


class Election:
    __doc__ = aio.Election.__doc__

    def __init__(self, twin: aio.Election) -> None:
        self._twin = twin

    @same_as(aio.Election.campaign)
    def campaign(
        self,
        candidate: str,
        value: Storable = None,
        wait: float | None = None,
        lease: float | None = None,
    ) -> Leadership:
        return Leadership(run(self._twin.campaign(candidate, value, wait, lease)))

    @same_as(aio.Election.leader)
    def leader(self) -> Leader | None:
        return run(self._twin.leader())

    @same_as(aio.Election.observe)
    def observe(self) -> Events[Leader | None]:
        return Events(self._twin.observe())


class ActivePassive:
    __doc__ = aio.ActivePassive.__doc__

    def __init__(self, twin: aio.ActivePassive) -> None:
        self._twin = twin

    @same_as(aio.ActivePassive.activate)
    def activate(
        self,
        replica: str,
        site: str,
        load: int = 0,
        wait: float | None = None,
        lease: float | None = None,
    ) -> Active:
        return Active(run(self._twin.activate(replica, site, load, wait, lease)))

    @same_as(aio.ActivePassive.replicas)
    def replicas(self) -> list[Replica]:
        return run(self._twin.replicas())


class Barrier:
    __doc__ = aio.Barrier.__doc__

    def __init__(self, twin: aio.Barrier) -> None:
        self._twin = twin

    @same_as(aio.Barrier.wait)
    def wait(self, wait: float | None = None, party: str | None = None) -> Crossing:
        return run(self._twin.wait(wait, party))

    @same_as(aio.Barrier.watch)
    def watch(self) -> Events[Arrivals]:
        return Events(self._twin.watch())


class DoubleBarrier:
    __doc__ = aio.DoubleBarrier.__doc__

    def __init__(self, twin: aio.DoubleBarrier) -> None:
        self._twin = twin

    @same_as(aio.DoubleBarrier.enter)
    def enter(self, wait: float | None = None) -> Crossing:
        return run(self._twin.enter(wait))

    @same_as(aio.DoubleBarrier.leave)
    def leave(self, wait: float | None = None) -> Crossing:
        return run(self._twin.leave(wait))

    def __enter__(self) -> Crossing:
        return self.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run(self._twin.__aexit__(kind, error, trace))


class Latch:
    __doc__ = aio.Latch.__doc__

    def __init__(self, twin: aio.Latch) -> None:
        self._twin = twin

    @same_as(aio.Latch.count_down)
    def count_down(self) -> int:
        return run(self._twin.count_down())

    @same_as(aio.Latch.left)
    def left(self) -> int:
        return run(self._twin.left())

    @same_as(aio.Latch.wait)
    def wait(self, wait: float | None = None) -> bool:
        return run(self._twin.wait(wait))


class Counter:
    __doc__ = aio.Counter.__doc__

    def __init__(self, twin: aio.Counter) -> None:
        self._twin = twin

    @same_as(aio.Counter.get)
    def get(self) -> int:
        return run(self._twin.get())

    @same_as(aio.Counter.add)
    def add(self, number: int) -> int:
        return run(self._twin.add(number))

    @same_as(aio.Counter.set)
    def set(self, number: int) -> int:
        return run(self._twin.set(number))

    @same_as(aio.Counter.compare_and_set)
    def compare_and_set(self, expected: int, number: int) -> CounterSet:
        return run(self._twin.compare_and_set(expected, number))


class Register:
    __doc__ = aio.Register.__doc__

    def __init__(self, twin: aio.Register) -> None:
        self._twin = twin

    @same_as(aio.Register.get)
    def get(self) -> tuple[int, Value | None]:
        return run(self._twin.get())

    @same_as(aio.Register.set)
    def set(self, value: Storable) -> int:
        return run(self._twin.set(value))

    @same_as(aio.Register.compare_and_set)
    def compare_and_set(self, version: int, value: Storable) -> int | None:
        return run(self._twin.compare_and_set(version, value))


class Queue:
    __doc__ = aio.Queue.__doc__

    def __init__(self, twin: aio.Queue) -> None:
        self._twin = twin

    @same_as(aio.Queue.push)
    def push(self, value: Storable, priority: int = 0, delay: float = 0.0) -> None:
        run(self._twin.push(value, priority, delay))

    @same_as(aio.Queue.push_all)
    def push_all(self, items: Iterable[Push]) -> int:
        return run(self._twin.push_all(items))

    @same_as(aio.Queue.take)
    def take(self, wait: float | None = None, claim: float = 30.0) -> Item:
        return Item(run(self._twin.take(wait, claim)))

    @same_as(aio.Queue.take_many)
    def take_many(self, most: int, wait: float | None = None, claim: float = 30.0) -> list[Item]:
        return [Item(item) for item in run(self._twin.take_many(most, wait, claim))]

    @same_as(aio.Queue.length)
    def length(self) -> int:
        return run(self._twin.length())


class Group:
    __doc__ = aio.Group.__doc__

    def __init__(self, twin: aio.Group) -> None:
        self._twin = twin

    @same_as(aio.Group.join)
    def join(self, name: str, value: Storable = None, lease: float | None = None) -> Membership:
        return Membership(run(self._twin.join(name, value, lease)))

    @same_as(aio.Group.members)
    def members(self) -> list[Member]:
        return run(self._twin.members())

    @same_as(aio.Group.watch)
    def watch(self) -> Events[GroupEvent]:
        return Events(self._twin.watch())


class Once:
    __doc__ = aio.Once.__doc__

    def __init__(self, twin: aio.Once) -> None:
        self._twin = twin

    @same_as(aio.Once.run)
    def run(
        self, step: Callable[[int], Any], wait: float | None = None, lease: float | None = None
    ) -> Any:
        return run(self._twin.run(step, wait, lease))

    @same_as(aio.Once.state)
    def state(self) -> OnceState:
        return run(self._twin.state())

    @same_as(aio.Once.settle)
    def settle(self, result: Any) -> bool:
        return run(self._twin.settle(result))

    @same_as(aio.Once.forget)
    def forget(self) -> bool:
        return run(self._twin.forget())
