"""What replicas need to know of conversations that move, beyond who received which answer: by it each can tell at once, as one process
would, whether an exchange goes on from somebody else's answer and whether whoever sends it is one of those between whom they move.

Whoever leads notes what changes of that (``Linking``) and tells it with its frames; a replica takes it up (``take_up``). Keyed hashes
and numbers only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from guard.fleet.watching import Watched
from guard.recognition.answers import Answers, Received
from guard.recognition.hops import Hops
from guard.recognition.moving import Node
from guard.recognition.recognition import Recognition

_LINKS_AT_ONCE = 4_096
_NODES_A_PIECE = 2_000
_GOERS = 15
Told = tuple[float, int, bool, int]
"""Of an account with hops: when its first was, its exchanges until then, whether a member took over from it, its client."""


class Noted(Answers):
    """``Answers``, and what others have gone on from since ``gone`` was emptied: answer → how many accounts did."""

    __slots__ = ("gone",)

    def __init__(self) -> None:
        super().__init__()
        self.gone: dict[int, int] = {}

    def gone_on(self, found: Received) -> bool:
        told = super().gone_on(found)
        self.gone[self._keys[found.place]] = self._values[found.place] & _GOERS
        return told


class Linking:
    """``recognition``: the leader's, whose clusters are ``watched``."""

    def __init__(self, recognition: Recognition, watched: Watched) -> None:
        self._recognition, self._watched = recognition, watched
        self.answers = recognition.hops.answers = Noted()
        self._links: dict[int, tuple[int, int]] = {}
        """Of accounts that are linked, by number: what was told of that."""
        self._left: list[int] = []
        self._nodes: dict[int, Told] = {}
        self._changed: dict[int, None] = {}
        """Nodes of which something is to be told."""
        self._looked: tuple[Any, ...] = ()

    @property
    def has_news(self) -> bool:
        """Whether anything is to be told."""
        return bool(self._changed or self.answers.gone)

    def look(self) -> None:
        """Notes accounts that were linked or let go of other than by an exchange of theirs or by a family: by how conversations moved.
        Those that are linked are looked through some thousands at a time."""
        hops, accounts = self._recognition.hops, self._recognition.accounts
        if not self._left:
            self._left = list(self._links)
        some, self._left = self._left[:_LINKS_AT_ONCE], self._left[_LINKS_AT_ONCE:]
        # Whatever changes of nodes, a hop was taken in, or components or members were looked for.
        state = (id(hops.nodes), hops.fresh, hops.looks, hops.steps[-1] if hops.steps else None)
        moved = state != self._looked
        if moved:
            self._looked = state
            self._note_nodes()
        for number in chain(hops.nodes if moved else (), some):
            known = accounts.number(number)
            if known is None:
                self._links.pop(number, None)
            elif (known.cluster, known.hops) != self._links.get(number, (0, 0)):
                self._watched.touched.add(number)
                self._watched.changed.add(known.cluster)

    def _note_nodes(self) -> None:
        nodes, told = self._recognition.hops.nodes, self._nodes
        for number in told.keys() - nodes.keys():
            del told[number]
            self._changed[number] = None
        for number, node in nodes.items():
            held = _told(node)
            if told.get(number) != held:
                told[number] = held
                self._changed[number] = None

    def seen(self, number: int, cluster: int, hops: int) -> None:
        """What is told of an account."""
        if cluster or hops:
            self._links[number] = (cluster, hops)
        else:
            self._links.pop(number, None)

    def told(self) -> dict[str, Any]:
        """What changed, for a frame; it is forgotten then."""
        found: dict[str, Any] = {}
        if self._recognition.hops.refused:
            found["refused"] = True
        if self._changed:
            told = self._nodes
            found["nodes"] = [[number, *told[number]] for number in self._changed if number in told]
            found["nodes_gone"] = [number for number in self._changed if number not in told]
            self._changed.clear()
        if self.answers.gone:
            found["gone_on"] = list(self.answers.gone.items())
            self.answers.gone.clear()
        return found

    def whole(self) -> Iterator[dict[str, Any]]:
        """Everything but the answers themselves, in pieces."""
        nodes = iter(list(self._recognition.hops.nodes.items()))
        while some := list(islice(nodes, _NODES_A_PIECE)):
            yield {"nodes": [[number, *_told(node)] for number, node in some]}


def _told(node: Node) -> Told:
    return node.first_at, node.before, node.gave, node.client


def take_up(hops: Hops, more: Mapping[str, Any]) -> None:
    """What a frame says of it. Raises ``ValueError`` or ``TypeError`` for what says none."""
    if more.get("refused") is True:
        hops.refused = True
    for number, first_at, before, gave, client in more.get("nodes", ()):
        node = hops.nodes[int(number)] = Node(float(first_at), int(before))
        node.gave, node.client = bool(gave), int(client)
    for number in more.get("nodes_gone", ()):
        hops.nodes.pop(int(number), None)
    for answer, goers in more.get("gone_on", ()):
        hops.answers.went_on(int(answer), int(goers))
