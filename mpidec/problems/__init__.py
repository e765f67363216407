"""The problems that experiment files can name, by kind and source: one file a data set, one line here."""

from mpidec.problems import least_squares, logistic
from mpidec.problems.base import ClosedForm, Constants, ProblemSpec, Smooth, TwoBlock
from mpidec.problems.fashion import FashionPairs
from mpidec.problems.files import Files
from mpidec.problems.least_squares import LeastSquares
from mpidec.problems.logistic import LogisticRegression
from mpidec.problems.multitask import MultitaskRegression
from mpidec.problems.synthetic import Synthetic

PROBLEMS: dict[str, dict[str, type[ProblemSpec]]] = {
    "multitask_regression": {
        "synthetic": Synthetic,
        "files": Files,
        "fashion_mnist_pairs": FashionPairs,
    },
    "least_squares": {
        "gaussian": least_squares.Gaussian,
        "decaying": least_squares.Decaying,
    },
    "logistic": {
        "fashion": logistic.FashionLogistic,
        "digits": logistic.DigitsLogistic,
        "files": logistic.FilesLogistic,
    },
}

__all__ = [
    "PROBLEMS",
    "ClosedForm",
    "Constants",
    "FashionPairs",
    "Files",
    "LeastSquares",
    "LogisticRegression",
    "MultitaskRegression",
    "ProblemSpec",
    "Smooth",
    "Synthetic",
    "TwoBlock",
]
