"""Strongly connected components: who can be reached from each other (Tarjan, "Depth-first search and linear graph algorithms", 1972)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

_SLICE = 512


def components(reached: Mapping[int, Set[int]]) -> Iterator[list[int] | None]:
    """Each component of more than one, sorted; in between None now and then, about every half millisecond. O(nodes + edges)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    open_ones: set[int] = set()
    done = 0
    for root in sorted(reached):
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        open_ones.add(root)
        way = [(root, iter(sorted(reached[root])))]
        while way:
            done += 1
            if done % _SLICE == 0:
                yield None
            node, ahead = way[-1]
            for other in ahead:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    open_ones.add(other)
                    way.append((other, iter(sorted(reached.get(other, ())))))
                    break
                if other in open_ones:
                    low[node] = min(low[node], index[other])
            else:
                way.pop()
                if way:
                    low[way[-1][0]] = min(low[way[-1][0]], low[node])
                if low[node] == index[node]:
                    found = []
                    while True:
                        member = stack.pop()
                        open_ones.discard(member)
                        found.append(member)
                        if member == node:
                            break
                    if len(found) > 1:
                        yield sorted(found)
