from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.recognition.components import components

EDGES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40)


def reached(edges: list[tuple[int, int]]) -> dict[int, set[int]]:
    graph: dict[int, set[int]] = {}
    for one, other in edges:
        graph.setdefault(one, set()).add(other)
    return graph


def ways(graph: dict[int, set[int]], start: int) -> set[int]:
    """Everybody who can be reached in one step or more."""
    found: set[int] = set()
    ahead = list(graph.get(start, ()))
    while ahead:
        node = ahead.pop()
        if node not in found:
            found.add(node)
            ahead += graph.get(node, ())
    return found


@given(EDGES)
def test_a_component_is_who_can_be_reached_from_each_other(edges: list[tuple[int, int]]) -> None:
    """By its definition, on small graphs."""
    graph = reached(edges)
    far = {node: ways(graph, node) for node in range(13)}
    wanted = {
        tuple(sorted({node} | {other for other in range(13) if other in far[node] and node in far[other]}))
        for node in range(13)
    }
    assert {tuple(one) for one in components(graph) if one} == {one for one in wanted if len(one) > 1}


def test_a_long_way_is_no_deep_call() -> None:
    """Ten thousand accounts in a ring are one component, found in slices."""
    found = list(components({node: {(node + 1) % 10_000} for node in range(10_000)}))
    assert [len(one) for one in found if one] == [10_000]
    assert found.count(None) > 10
