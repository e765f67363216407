"""The algorithms that experiment files can name: one file an algorithm, one line here."""

from mpidec.algorithms.altgdmin import AllReduceAltGDmin, FusionAltGDmin
from mpidec.algorithms.base import Algorithm
from mpidec.algorithms.dec_altgdmin import DecAltGDmin
from mpidec.algorithms.dec_altgdmin_falling import FallingDecAltGDmin
from mpidec.algorithms.dgd import DGD
from mpidec.algorithms.dif_altgdmin import DifAltGDmin

ALGORITHMS: dict[str, type[Algorithm]] = {
    "dif_altgdmin": DifAltGDmin,
    "dec_altgdmin": DecAltGDmin,
    "dec_altgdmin_falling": FallingDecAltGDmin,
    "dgd": DGD,
    "altgdmin_fusion": FusionAltGDmin,
    "altgdmin_allreduce": AllReduceAltGDmin,
}

__all__ = [
    "ALGORITHMS",
    "DGD",
    "Algorithm",
    "AllReduceAltGDmin",
    "DecAltGDmin",
    "DifAltGDmin",
    "FallingDecAltGDmin",
    "FusionAltGDmin",
]
