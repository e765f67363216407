"""Who gets which tasks."""

from __future__ import annotations

from mpidec.errors import InputError


def split(total: int, nodes: int, node: int) -> range:
    """The tasks of `node`: contiguous, sizes differing by at most one, the larger ones first.

    Raises InputError when there are more nodes than tasks, since a node without a task has nothing to learn from.
    """
    if not 0 <= node < nodes:
        raise ValueError(f"node {node} is not one of {nodes}")
    if nodes > total:
        raise InputError(f"problem: {total} tasks cannot be split over {nodes} nodes; use at most {total} ranks")
    size, larger = divmod(total, nodes)
    first = node * size + min(node, larger)
    return range(first, first + size + (node < larger))
