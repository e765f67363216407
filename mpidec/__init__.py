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
    "AllReduceAltGDmin": "mpidec.algorithms.altgdmin",
    "AnytimeMinibatchSGD": "mpidec.algorithms.minibatch_sgd",
    "ClosedForm": "mpidec.problems",
    "Constants": "mpidec.problems",
    "D2": "mpidec.algorithms.d2",
    "DAMSGrad": "mpidec.algorithms.d_amsgrad",
    "DGD": "mpidec.algorithms.dgd",
    "DSGD": "mpidec.algorithms.d_sgd",
    "DSGDMomentum": "mpidec.algorithms.d_sgd_momentum",
    "DatSGD": "mpidec.algorithms.dat_sgd",
    "DatSGDAtIterate": "mpidec.algorithms.dat_sgd_at_iterate",
    "DatSGDMomentum": "mpidec.algorithms.dat_sgd_momentum",
    "DecAltGDmin": "mpidec.algorithms.dec_altgdmin",
    "DifAltGDmin": "mpidec.algorithms.dif_altgdmin",
    "Drawn": "mpidec.graph.topology",
    "FallingDecAltGDmin": "mpidec.algorithms.dec_altgdmin_falling",
    "FusionAltGDmin": "mpidec.algorithms.altgdmin",
    "GradientTracking": "mpidec.algorithms.gradient_tracking",
    "InputError": "mpidec.errors",
    "LocalSGD": "mpidec.algorithms.local_sgd",
    "Meta": "mpidec.options",
    "MinibatchSGD": "mpidec.algorithms.minibatch_sgd",
    "Network": "mpidec.network",
    "ProblemSpec": "mpidec.problems",
    "RunError": "mpidec.errors",
    "Smooth": "mpidec.problems",
    "Structured": "mpidec.graph.topology",
    "Topology": "mpidec.graph.topology",
    "TwoBlock": "mpidec.problems",
    "World": "mpidec.mpi.world",
    "lay_graph": "mpidec.laying",
    "load_problem": "mpidec.laying",
    "run": "mpidec.experiment",
}
__all__ = list(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mpidec' has no attribute {name!r}")
