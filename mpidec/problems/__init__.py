"""The problems that experiment files can name, by kind and source: one file a data set, one line here."""

from mpidec.problems.base import ProblemSpec, TwoBlock
from mpidec.problems.fashion import FashionPairs
from mpidec.problems.files import Files
from mpidec.problems.multitask import MultitaskRegression
from mpidec.problems.synthetic import Synthetic

PROBLEMS: dict[str, dict[str, type[ProblemSpec]]] = {
    "multitask_regression": {
        "synthetic": Synthetic,
        "files": Files,
        "fashion_mnist_pairs": FashionPairs,
    },
}

__all__ = ["PROBLEMS", "FashionPairs", "Files", "MultitaskRegression", "ProblemSpec", "Synthetic", "TwoBlock"]
