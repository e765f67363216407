"""mpidec: decentralized optimization on real MPI ranks, with every byte counted.

Importing this package never starts MPI; `World()` does.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

# where each public name lives: loaded when first used, so that a rank pays for what it uses
_HOMES = {
    "Adjacency": "mpidec.graph.topology",
    "Algorithm": "mpidec.algorithms",
    "AllReduceAltGDmin": "mpidec.algorithms",
    "DGD": "mpidec.algorithms",
    "DecAltGDmin": "mpidec.algorithms",
    "DifAltGDmin": "mpidec.algorithms",
    "Drawn": "mpidec.graph.topology",
    "FallingDecAltGDmin": "mpidec.algorithms",
    "FusionAltGDmin": "mpidec.algorithms",
    "InputError": "mpidec.errors",
    "Meta": "mpidec.options",
    "Network": "mpidec.network",
    "ProblemSpec": "mpidec.problems",
    "RunError": "mpidec.errors",
    "Structured": "mpidec.graph.topology",
    "Topology": "mpidec.graph.topology",
    "TwoBlock": "mpidec.problems",
    "World": "mpidec.mpi.world",
    "lay_graph": "mpidec.experiment",
    "load_problem": "mpidec.experiment",
    "run": "mpidec.experiment",
}
__all__ = list(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mpidec' has no attribute {name!r}")
