"""What recipes give out to be held."""

from __future__ import annotations

import builtins
from typing import Any

from music import aio
from music._core.changes import Leader
from music._core.runtime import run
from music._sync.same import Held, same_as
from music.values import Storable, Value


class Permit(Held):
    __doc__ = aio.Permit.__doc__

    def __init__(self, twin: aio.Permit) -> None:
        super().__init__(twin)
        self._twin = twin

    @property
    def lock_ref(self) -> str:
        """The lockRef, of several permits that of the first."""
        return self._twin.lock_ref

    @property
    def endpoint(self) -> str:
        """The address of the node that keeps it at present."""
        return self._twin.endpoint

    @property
    def numbers(self) -> list[int]:
        """Their numbers, from 0: no two permits that are valid have the same."""
        return self._twin.numbers

    @property
    def token(self) -> int:
        """The fencing token of the first: greater than those of all earlier holders of that
        number."""
        return self._twin.token

    @property
    def tokens(self) -> list[int]:
        """A fencing token for each, in the order of the numbers."""
        return self._twin.tokens

    @same_as(aio.Permit.release)
    def release(self) -> None:
        run(self._twin.release())


class Leadership(Held):
    __doc__ = aio.Leadership.__doc__

    def __init__(self, twin: aio.Leadership) -> None:
        super().__init__(twin)
        self._twin = twin

    @property
    def lock_ref(self) -> str:
        """The lockRef, for another process or an administrator."""
        return self._twin.lock_ref

    @property
    def endpoint(self) -> str:
        """The address of the node that keeps it at present."""
        return self._twin.endpoint

    @property
    def leader(self) -> Leader:
        """The leader, as observers see it."""
        return self._twin.leader

    @property
    def token(self) -> int:
        """The fencing token: greater than those of all leaders before."""
        return self._twin.token

    @same_as(aio.Leadership.proclaim)
    def proclaim(self, value: Storable) -> None:
        run(self._twin.proclaim(value))

    @same_as(aio.Leadership.resign)
    def resign(self) -> None:
        run(self._twin.resign())

    @same_as(aio.Leadership.hand_over)
    def hand_over(self, successor: str) -> None:
        run(self._twin.hand_over(successor))


class Active(Held):
    __doc__ = aio.Active.__doc__

    def __init__(self, twin: aio.Active) -> None:
        super().__init__(twin)
        self._twin = twin

    @property
    def lock_ref(self) -> str:
        """The lockRef, for another process or an administrator."""
        return self._twin.lock_ref

    @property
    def endpoint(self) -> str:
        """The address of the node that keeps it at present."""
        return self._twin.endpoint

    @property
    def slot(self) -> int:
        """Its slot, from 0: no two active replicas have the same."""
        return self._twin.slot

    @property
    def token(self) -> int:
        """The fencing token: greater than those of all earlier ones of this slot."""
        return self._twin.token

    @property
    def state(self) -> Value | None:
        """What was saved last: by the one before, or by this one."""
        return self._twin.state

    @same_as(aio.Active.save)
    def save(self, state: Storable) -> None:
        run(self._twin.save(state))

    @same_as(aio.Active.step_down)
    def step_down(self) -> None:
        run(self._twin.step_down())


class Item(Held):
    __doc__ = aio.Item.__doc__

    def __init__(self, twin: aio.Item) -> None:
        super().__init__(twin)
        self._twin = twin

    @property
    def id(self) -> str:
        """The item's id: one item of the queue has it, for ever."""
        return self._twin.id

    @property
    def token(self) -> int:
        """The fencing token of this delivery: greater than those of all earlier ones."""
        return self._twin.token

    @property
    def deliveries(self) -> int:
        """How often the item was delivered, this time included."""
        return self._twin.deliveries

    @property
    def value(self) -> Value:
        """What was pushed."""
        return self._twin.value

    @property
    def text(self) -> str:
        """What was pushed, as text."""
        return self._twin.text

    @property
    def bytes(self) -> builtins.bytes:
        """What was pushed, as bytes."""
        return self._twin.bytes

    @property
    def json(self) -> Any:
        """What was pushed, from JSON."""
        return self._twin.json

    @same_as(aio.Item.done)
    def done(self) -> None:
        run(self._twin.done())

    @same_as(aio.Item.give_back)
    def give_back(self, after: float = 0.0) -> None:
        run(self._twin.give_back(after))


class Membership(Held):
    __doc__ = aio.Membership.__doc__

    def __init__(self, twin: aio.Membership) -> None:
        super().__init__(twin)
        self._twin = twin

    @same_as(aio.Membership.tell)
    def tell(self, value: Storable) -> None:
        run(self._twin.tell(value))

    @same_as(aio.Membership.leave)
    def leave(self) -> None:
        run(self._twin.leave())
