"""The algorithms that experiment files can name: one file an algorithm, one line here."""

from mpidec.algorithms.base import Algorithm
from mpidec.tables import Table

ALGORITHMS: Table[type[Algorithm]] = Table(
    "mpidec.algorithms",
    {
        "dif_altgdmin": "dif_altgdmin:DifAltGDmin",
        "dec_altgdmin": "dec_altgdmin:DecAltGDmin",
        "dec_altgdmin_falling": "dec_altgdmin_falling:FallingDecAltGDmin",
        "dgd": "dgd:DGD",
        "altgdmin_fusion": "altgdmin:FusionAltGDmin",
        "altgdmin_allreduce": "altgdmin:AllReduceAltGDmin",
        "dat_sgd": "dat_sgd:DatSGD",
        "dat_sgd_momentum": "dat_sgd_momentum:DatSGDMomentum",
        "dat_sgd_at_iterate": "dat_sgd_at_iterate:DatSGDAtIterate",
        "d_sgd": "d_sgd:DSGD",
        "d_sgd_momentum": "d_sgd_momentum:DSGDMomentum",
        "d2": "d2:D2",
        "gradient_tracking": "gradient_tracking:GradientTracking",
        "local_sgd": "local_sgd:LocalSGD",
        "d_amsgrad": "d_amsgrad:DAMSGrad",
        "minibatch_sgd": "minibatch_sgd:MinibatchSGD",
        "anytime_minibatch_sgd": "minibatch_sgd:AnytimeMinibatchSGD",
    },
)

__all__ = ["ALGORITHMS", "Algorithm"]
