"""Tasks are split evenly or in given proportions, in order, and all of them."""

from __future__ import annotations

import numpy as np
import pytest

from mpidec.errors import InputError
from mpidec.problems import PROBLEMS
from mpidec.problems.partition import split, used


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


LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), [90, 110, 100, 100, 100, 100, 100, 100, 100, 107]))


def deal(nodes, seed=4, **options):
    return PROBLEMS["logistic"]["digits"](**options).deal(LABELS, nodes, seed)


@pytest.mark.parametrize("nodes", [1, 2, 7, 36, 64, 1007])
@pytest.mark.parametrize("partition", ["uniform", "dirichlet", "shards"])
def test_samples_are_dealt_in_equal_numbers_each_once_and_all_but_the_remainder(partition, nodes):
    parts = deal(nodes, partition=partition, shards=1 if nodes == 1007 else 3)
    assert parts.shape == (nodes, 1007 // nodes)
    assert np.array_equal(np.sort(parts.ravel()), used(1007, nodes))
    assert len(used(1007, nodes)) == 1007 - 1007 % nodes
    assert np.array_equal(parts, deal(nodes, partition=partition, shards=1 if nodes == 1007 else 3))
    if nodes > 1:
        assert not np.array_equal(parts, deal(nodes, 5, partition=partition, shards=1 if nodes == 1007 else 3))


def unlikeness(parts):
    """Mean over nodes of the total variation between their shares of the labels and all samples'."""
    shares = np.stack([np.bincount(LABELS[part], minlength=10) / len(part) for part in parts])
    return float(np.mean(np.abs(shares - np.bincount(LABELS) / len(LABELS)).sum(axis=1)) / 2)


def test_dirichlet_makes_nodes_the_less_alike_the_smaller_alpha():
    """Large alpha comes to equal shares; small alpha nears the total variation 0.9 of nodes of one class."""
    far = [unlikeness(deal(10, partition="dirichlet", alpha=alpha)) for alpha in (1e4, 10.0, 1.0, 0.1, 0.01)]
    assert far == sorted(far)
    assert far[0] < 0.13 and far[3] > 0.5
    # with uniform dealing, what counting noise alone makes
    assert unlikeness(deal(10)) < 0.13


def test_first_draws_follow_the_shares_of_the_dirichlet_law():
    """Before any class runs out the classes of a node are drawn by its shares: E sum p_c^2 = (alpha + 1) / (C alpha + 1)."""
    labels = np.tile(np.arange(4), 20000)
    parts = PROBLEMS["logistic"]["digits"](partition="dirichlet", alpha=0.5).deal(labels[: 2 * 4000], 4000, 1)
    same = np.mean(labels[parts[:, 0]] == labels[parts[:, 1]])  # of two samples a node, which classes run out of late
    assert same == pytest.approx(1.5 / 3, abs=0.06)


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_shards_hold_few_classes(shards):
    """A run of the sorted labels no longer than a class holds two at most."""
    parts = deal(20, partition="shards", shards=shards)
    assert all(len(np.unique(LABELS[part])) <= 2 * shards for part in parts)
    ordered = np.sort(LABELS[used(1007, 20)])
    # the runs, put together, are the sorted labels
    assert np.array_equal(np.sort(LABELS[parts].ravel()), ordered)
