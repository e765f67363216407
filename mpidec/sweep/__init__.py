"""Sweeps: one experiment run for many settings and seeds, each run in a folder of its own.

`read_sweep` expands a sweep file into checked runs (`plan`), `states` says how each stands (`folders`), `run` makes those
that are not done (`running`), and `write_table` gathers their last rows into runs.csv (`table`).
"""

from mpidec.sweep.folders import State, states
from mpidec.sweep.plan import Run, Sweep, read_sweep
from mpidec.sweep.running import run
from mpidec.sweep.table import write_table

__all__ = ["Run", "State", "Sweep", "read_sweep", "run", "states", "write_table"]
