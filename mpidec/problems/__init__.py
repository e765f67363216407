"""The problems that experiment files can name, by kind and source: one file a data set, one line here."""

from mpidec.problems.base import ClosedForm, Constants, ProblemSpec, Smooth, TwoBlock
from mpidec.tables import Table

_KINDS = {
    "multitask_regression": {
        "synthetic": "synthetic:Synthetic",
        "files": "files:Files",
        "fashion_mnist_pairs": "fashion:FashionPairs",
    },
    "least_squares": {
        "gaussian": "least_squares:Gaussian",
        "decaying": "least_squares:Decaying",
    },
    "logistic": {
        "fashion": "logistic:FashionLogistic",
        "digits": "logistic:DigitsLogistic",
        "files": "logistic:FilesLogistic",
    },
    "lenet": {
        "fashion": "lenet:FashionLeNet",
    },
}

PROBLEMS: dict[str, Table[type[ProblemSpec]]] = {kind: Table("mpidec.problems", own) for kind, own in _KINDS.items()}

__all__ = ["PROBLEMS", "ClosedForm", "Constants", "ProblemSpec", "Smooth", "TwoBlock"]
