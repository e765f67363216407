"""Tasks are split evenly or in given proportions, in order, and all of them."""

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


CASES = [(600, 20, 8.0), (601, 20, 1.5), (1000, 7, 30.0), (180, 8, 3.0), (50, 2, 4.0), (9, 1, 5.0)]


@pytest.mark.parametrize(("total", "nodes", "imbalance"), CASES)
def test_unequal_shares_are_geometric_to_a_task(total, nodes, imbalance):
    parts = [split(total, nodes, node, imbalance) for node in range(nodes)]
    assert [task for part in parts for task in part] == list(range(total))
    sizes = [len(part) for part in parts]
    ratio = imbalance ** (-1 / (nodes - 1)) if nodes > 1 else 1.0
    first = total * (1 - ratio) / (1 - ratio**nodes) if ratio < 1 else total / nodes
    assert all(abs(size - first * ratio**i) < 1 for i, size in enumerate(sizes))
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("imbalance", [2.0, 100.0, 1e6, 1e300])
@pytest.mark.parametrize(("total", "nodes"), [(11, 5), (7, 7), (40, 20), (8, 7), (3, 2)])
def test_every_node_has_a_task_whatever_the_imbalance(total, nodes, imbalance):
    parts = [split(total, nodes, node, imbalance) for node in range(nodes)]
    assert [task for part in parts for task in part] == list(range(total))
    sizes = [len(part) for part in parts]
    assert min(sizes) >= 1
    assert sizes == sorted(sizes, reverse=True)
    if imbalance == 1e300:
        assert sizes == [total - nodes + 1] + [1] * (nodes - 1)


def test_nodes_below_one_task_get_one_and_the_others_keep_the_proportions():
    """20 tasks over 256 : 64 : 16 : 4 : 1, 15.01, 3.75, 0.94, 0.23 and 0.06: three get one, and 17 go over 4 : 1."""
    assert [len(split(20, 5, node, 256.0)) for node in range(5)] == [14, 3, 1, 1, 1]


def test_more_nodes_than_tasks_is_refused_on_every_node():
    for node in range(4):
        with pytest.raises(InputError, match="3 tasks cannot be split over 4 nodes; use at most 3 ranks"):
            split(3, 4, node)
        with pytest.raises(InputError, match="3 tasks cannot be split over 4 nodes; use at most 3 ranks"):
            split(3, 4, node, 2.0)


@pytest.mark.parametrize("node", [-1, 3])
def test_a_node_that_is_not_there_is_a_mistake_of_the_caller(node):
    with pytest.raises(ValueError, match="is not one of 3"):
        split(9, 3, node)
