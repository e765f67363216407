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
    "AnytimeMinibatchSGD": "mpidec.algorithms",
    "ClosedForm": "mpidec.problems",
    "Constants": "mpidec.problems",
    "D2": "mpidec.algorithms",
    "DAMSGrad": "mpidec.algorithms",
    "DGD": "mpidec.algorithms",
    "DSGD": "mpidec.algorithms",
    "DSGDMomentum": "mpidec.algorithms",
    "DatSGD": "mpidec.algorithms",
    "DatSGDAtIterate": "mpidec.algorithms",
    "DatSGDMomentum": "mpidec.algorithms",
    "DecAltGDmin": "mpidec.algorithms",
    "DifAltGDmin": "mpidec.algorithms",
    "Drawn": "mpidec.graph.topology",
    "FallingDecAltGDmin": "mpidec.algorithms",
    "FusionAltGDmin": "mpidec.algorithms",
    "GradientTracking": "mpidec.algorithms",
    "InputError": "mpidec.errors",
    "LocalSGD": "mpidec.algorithms",
    "Meta": "mpidec.options",
    "MinibatchSGD": "mpidec.algorithms",
    "Network": "mpidec.network",
    "ProblemSpec": "mpidec.problems",
    "RunError": "mpidec.errors",
    "Smooth": "mpidec.problems",
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
