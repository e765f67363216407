"""The cases on real ranks."""

import cases

from mpidec.graph.mixing import MIXINGS
from mpidec.laying import Graph, make_network
from mpidec.ledger import Ledger
from mpidec.link import Clock


def on_real_ranks(label, world, mixing="metropolis"):
    graph = cases.graph_of(world.size)
    own = Graph(graph.neighbors(world.rank), MIXINGS[mixing], cases.facts_of(graph, mixing))
    ledger = Ledger(world.local_ranks)
    network = make_network(world, own, cases.algorithm_of(label, world.size), ledger, Clock())
    with ledger.charge("iterate"):
        return cases.run_node(label, network, world.rank, world.size), ledger
