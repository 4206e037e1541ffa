"""The recipes that nodes run, by their routes: ``/v1/recipes``."""

from music.aio.recipes.active_passive import Active, ActivePassive
from music.aio.recipes.barrier import Barrier, DoubleBarrier
from music.aio.recipes.counter import Counter
from music.aio.recipes.election import Election, Leadership
from music.aio.recipes.group import Group, Membership
from music.aio.recipes.latch import Latch
from music.aio.recipes.once import Once
from music.aio.recipes.queue import Item, Queue
from music.aio.recipes.register import Register
from music.aio.recipes.semaphore import Permit, Semaphore

__all__ = [
    "Active",
    "ActivePassive",
    "Barrier",
    "Counter",
    "DoubleBarrier",
    "Election",
    "Group",
    "Item",
    "Latch",
    "Leadership",
    "Membership",
    "Once",
    "Permit",
    "Queue",
    "Register",
    "Semaphore",
]
