"""Which node keeps a section, and which nodes it may never use again.

A section that moves from node A to node B is adopted there. From the moment B was asked, A must
not be asked again: if the adoption takes hold, A may go on for a while without knowing, and
acknowledge writes of its own incarnation that B's synchronization has ordered away. So a node is
*left* before the next one is asked, and comes back into question only where the next one is known
not to have done anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Spot:
    """A node to talk to, and how often the section had moved by then."""

    at: int
    """The node."""
    epoch: int
    """Goes up with each move, and where a node took the section anew."""
    settled: bool
    """Whether the node has said that it keeps the section."""


@dataclass(frozen=True)
class Place:
    """Where a section is. A value: each step gives the next one."""

    nodes: int
    at: int
    epoch: int = 0
    home: int | None = None
    """The node that keeps the section, as far as is known."""
    asked: int | None = None
    """The node that was last asked to take the section over."""
    left: frozenset[int] = field(default_factory=frozenset)
    """Nodes that are never asked again."""
    tried: frozenset[int] = field(default_factory=frozenset)
    """Nodes that did not serve since the last success."""

    @property
    def spot(self) -> Spot:
        """Whom to talk to."""
        return Spot(self.at, self.epoch, self.home == self.at)

    def ask(self) -> Place:
        """The present node is about to be asked to take the section, which may take hold from
        now on."""
        past = {node for node in (self.home, self.asked) if node is not None}
        past -= self.left | {self.at}
        return replace(
            self,
            left=self.left | past,
            epoch=self.epoch + bool(past),
            home=self.home if self.home == self.at else None,
            asked=self.at,
        )

    def take_back(self, before: Place) -> Place:
        """What was asked since then is known to have had no effect."""
        return replace(before, epoch=self.epoch)

    def settle(self) -> Place:
        """The present node keeps the section."""
        return replace(self, home=self.at, asked=self.at, tried=frozenset())

    def unsettle(self) -> Place:
        """The present node has forgotten the section."""
        return replace(self, home=None, epoch=self.epoch + 1)

    def turn(self) -> tuple[Place, bool]:
        """Turns to another node, since the present one does not serve. False where every one was
        tried: then it starts over, from where the section may still be."""
        tried = self.tried | {self.at}
        for step in range(1, self.nodes):
            node = (self.at + step) % self.nodes
            if node not in self.left | tried:
                return replace(self, at=node, tried=tried), True
        back = next((node for node in (self.home, self.asked) if node is not None), self.at)
        return replace(self, at=back, tried=frozenset()), False
