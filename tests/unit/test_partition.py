"""Tasks are split evenly, in order, and all of them."""

from __future__ import annotations

import pytest

from mpidec.errors import InputError
from mpidec.problems.partition import split


@pytest.mark.parametrize(("total", "nodes"), [(1, 1), (7, 1), (7, 7), (7, 3), (11, 4), (600, 20), (601, 20), (180, 8)])
def test_parts_are_contiguous_complete_and_even(total, nodes):
    parts = [split(total, nodes, node) for node in range(nodes)]
    assert [task for part in parts for task in part] == list(range(total))
    sizes = [len(part) for part in parts]
    assert max(sizes) == -(-total // nodes)
    assert min(sizes) == total // nodes
    assert sizes == sorted(sizes, reverse=True)


def test_more_nodes_than_tasks_is_refused_on_every_node():
    for node in range(4):
        with pytest.raises(InputError, match="3 tasks cannot be split over 4 nodes; use at most 3 ranks"):
            split(3, 4, node)


@pytest.mark.parametrize("node", [-1, 3])
def test_a_node_that_is_not_there_is_a_mistake_of_the_caller(node):
    with pytest.raises(ValueError, match="is not one of 3"):
        split(9, 3, node)
