"""The algorithms that experiment files can name: one file an algorithm, one line here."""

from mpidec.algorithms.altgdmin import AllReduceAltGDmin, FusionAltGDmin
from mpidec.algorithms.base import Algorithm
from mpidec.algorithms.dif_altgdmin import DifAltGDmin

ALGORITHMS: dict[str, type[Algorithm]] = {
    "dif_altgdmin": DifAltGDmin,
    "altgdmin_fusion": FusionAltGDmin,
    "altgdmin_allreduce": AllReduceAltGDmin,
}

__all__ = ["ALGORITHMS", "Algorithm", "AllReduceAltGDmin", "DifAltGDmin", "FusionAltGDmin"]
