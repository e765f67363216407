"""The public names, for type checkers."""

from mpidec.algorithms import (
    D2 as D2,
)
from mpidec.algorithms import (
    DGD as DGD,
)
from mpidec.algorithms import (
    DSGD as DSGD,
)
from mpidec.algorithms import (
    Algorithm as Algorithm,
)
from mpidec.algorithms import (
    AllReduceAltGDmin as AllReduceAltGDmin,
)
from mpidec.algorithms import (
    AnytimeMinibatchSGD as AnytimeMinibatchSGD,
)
from mpidec.algorithms import (
    DAMSGrad as DAMSGrad,
)
from mpidec.algorithms import (
    DatSGD as DatSGD,
)
from mpidec.algorithms import (
    DatSGDAtIterate as DatSGDAtIterate,
)
from mpidec.algorithms import (
    DatSGDMomentum as DatSGDMomentum,
)
from mpidec.algorithms import (
    DecAltGDmin as DecAltGDmin,
)
from mpidec.algorithms import (
    DifAltGDmin as DifAltGDmin,
)
from mpidec.algorithms import (
    DSGDMomentum as DSGDMomentum,
)
from mpidec.algorithms import (
    FallingDecAltGDmin as FallingDecAltGDmin,
)
from mpidec.algorithms import (
    FusionAltGDmin as FusionAltGDmin,
)
from mpidec.algorithms import (
    GradientTracking as GradientTracking,
)
from mpidec.algorithms import (
    LocalSGD as LocalSGD,
)
from mpidec.algorithms import (
    MinibatchSGD as MinibatchSGD,
)
from mpidec.errors import InputError as InputError
from mpidec.errors import RunError as RunError
from mpidec.experiment import lay_graph as lay_graph
from mpidec.experiment import load_problem as load_problem
from mpidec.experiment import run as run
from mpidec.graph.topology import Adjacency as Adjacency
from mpidec.graph.topology import Drawn as Drawn
from mpidec.graph.topology import Structured as Structured
from mpidec.graph.topology import Topology as Topology
from mpidec.mpi.world import World as World
from mpidec.network import Network as Network
from mpidec.options import Meta as Meta
from mpidec.problems import ClosedForm as ClosedForm
from mpidec.problems import Constants as Constants
from mpidec.problems import ProblemSpec as ProblemSpec
from mpidec.problems import Smooth as Smooth
from mpidec.problems import TwoBlock as TwoBlock

__version__: str
