"""What is kept over a restart of conversations that move, as plain data, piece by piece. Keyed hashes and numbers only.

Who received which answer (up to 40 MiB) is only in the ``whole``: without it the conversations that run at the restart can't be
followed on; hops that were seen, and who has them, are always kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from guard.recognition.clusters import Clusters
from guard.recognition.hops import Hops
from guard.recognition.moving import Node, Step

_ROWS = 2_000
_NODE = tuple(name for name in Node.__slots__ if name != "events")


def pieces(hops: Hops, clusters: Clusters, *, whole: bool) -> Iterator[dict[str, Any]]:
    """Everything but the nodes' exchanges."""
    counted = {"fresh": hops.fresh, "grown": hops.joining.grown, "refused": hops.refused}
    yield {**counted, "contacts": sorted(clusters.contacts)}
    clients = iter(list(hops.joining.clients.items()))
    while met := list(islice(clients, _ROWS)):
        yield {"clients": [list(one) for one in met], "pools": [list(one) for one in hops.joining.pools.items()]}
    for name, held in (("steps", hops.steps), ("waiting", hops.waiting)):
        steps = iter(list(held))
        while some := list(islice(steps, _ROWS)):
            yield {name: [list(step) for step in some]}
    nodes = iter(list(hops.nodes.items()))
    while part := list(islice(nodes, _ROWS)):
        yield {"nodes": [[number, *[getattr(node, name) for name in _NODE]] for number, node in part]}
    if whole:
        for one in hops.answers.pieces():
            yield {"answers": one}


def restore(hops: Hops, clusters: Clusters, piece: Mapping[str, Any]) -> None:
    """Takes up one piece. Raises ``KeyError``, ``ValueError`` or ``TypeError`` for what is none."""
    if "answers" in piece:
        hops.answers.restore(piece["answers"])
    elif "clients" in piece:
        hops.joining.clients |= {int(number): int(client) for number, client in piece["clients"]}
        hops.joining.pools = {int(number): int(client) for number, client in piece["pools"]}
    elif "nodes" in piece:
        for number, *values in piece["nodes"]:
            node = hops.nodes[int(number)] = Node(0.0, 0)
            for name, value in zip(_NODE, values, strict=True):
                setattr(node, name, type(getattr(node, name))(value))
    elif "fresh" in piece:
        hops.fresh, hops.refused = int(piece["fresh"]), bool(piece["refused"])
        hops.joining.grown = int(piece.get("grown", 0))
        clusters.contacts = {int(number) for number in piece["contacts"]}
    else:
        for name, held in (("steps", hops.steps), ("waiting", hops.waiting)):
            for at, *numbers in piece.get(name, ()):
                held.append(Step(float(at), *[int(number) for number in numbers]))
