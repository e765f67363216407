"""The algorithms that experiment files can name: one file an algorithm, one line here."""

from mpidec.algorithms.altgdmin import AllReduceAltGDmin, FusionAltGDmin
from mpidec.algorithms.base import Algorithm
from mpidec.algorithms.d2 import D2
from mpidec.algorithms.d_amsgrad import DAMSGrad
from mpidec.algorithms.d_sgd import DSGD
from mpidec.algorithms.d_sgd_momentum import DSGDMomentum
from mpidec.algorithms.dat_sgd import DatSGD
from mpidec.algorithms.dat_sgd_at_iterate import DatSGDAtIterate
from mpidec.algorithms.dat_sgd_momentum import DatSGDMomentum
from mpidec.algorithms.dec_altgdmin import DecAltGDmin
from mpidec.algorithms.dec_altgdmin_falling import FallingDecAltGDmin
from mpidec.algorithms.dgd import DGD
from mpidec.algorithms.dif_altgdmin import DifAltGDmin
from mpidec.algorithms.gradient_tracking import GradientTracking
from mpidec.algorithms.local_sgd import LocalSGD
from mpidec.algorithms.minibatch_sgd import AnytimeMinibatchSGD, MinibatchSGD

ALGORITHMS: dict[str, type[Algorithm]] = {
    "dif_altgdmin": DifAltGDmin,
    "dec_altgdmin": DecAltGDmin,
    "dec_altgdmin_falling": FallingDecAltGDmin,
    "dgd": DGD,
    "altgdmin_fusion": FusionAltGDmin,
    "altgdmin_allreduce": AllReduceAltGDmin,
    "dat_sgd": DatSGD,
    "dat_sgd_momentum": DatSGDMomentum,
    "dat_sgd_at_iterate": DatSGDAtIterate,
    "d_sgd": DSGD,
    "d_sgd_momentum": DSGDMomentum,
    "d2": D2,
    "gradient_tracking": GradientTracking,
    "local_sgd": LocalSGD,
    "d_amsgrad": DAMSGrad,
    "minibatch_sgd": MinibatchSGD,
    "anytime_minibatch_sgd": AnytimeMinibatchSGD,
}

__all__ = [
    "ALGORITHMS",
    "D2",
    "DAMSGrad",
    "DGD",
    "DSGD",
    "Algorithm",
    "AllReduceAltGDmin",
    "AnytimeMinibatchSGD",
    "DSGDMomentum",
    "DatSGD",
    "DatSGDAtIterate",
    "DatSGDMomentum",
    "DecAltGDmin",
    "DifAltGDmin",
    "FallingDecAltGDmin",
    "FusionAltGDmin",
    "GradientTracking",
    "LocalSGD",
    "MinibatchSGD",
]
