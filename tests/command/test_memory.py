"""What a rank holds beside its own data."""

from commands import by_hand, finish, start

RANKS = 8
LIMIT = 60e6
SCRIPT = """
import re
import mpidec
from mpidec.graph.mixing import MIXINGS
from mpidec.graph.topology import ErdosRenyi
from mpidec.problems.synthetic import Synthetic

with mpidec.World() as world:
    graph = mpidec.lay_graph(world, ErdosRenyi(p=0.5), MIXINGS["metropolis"], seed=0)
    problem = mpidec.load_problem(world, Synthetic(d=600, tasks=600, rank=4, samples=30), seed=0)
    mpidec.run(world, graph, problem, mpidec.DifAltGDmin(rounds=3), iterations=3)
    world.barrier()
    rollup = open("/proc/self/smaps_rollup").read()
    pss = 1024 * int(re.search(r"^Pss: *([0-9]+)", rollup, re.MULTILINE).group(1))
    # a file a rank: launchers mix up the lines of several ranks
    open(f"rank{world.rank}", "w").write(f"{pss - problem.nbytes} {problem.nbytes}")
    world.barrier()
"""


def test_every_rank_but_0_holds_its_data_and_60_mb(tmp_path):
    """Proportional set size: a page shared by k processes counts as 1/k."""
    (tmp_path / "measure.py").write_text(SCRIPT)
    command, settings = by_hand(tmp_path, RANKS, "measure.py")
    done = finish(start(command, tmp_path, **settings))
    assert done.returncode == 0, done.stderr
    found = [tuple(map(int, (tmp_path / f"rank{rank}").read_text().split())) for rank in range(RANKS)]
    assert {own for _, own in found} == {75 * 30 * 601 * 8}
    assert max(beside for beside, _ in found[1:]) <= LIMIT, found
