"""The communication claim, measured and judged: what runs (`plan`, a module a statement), what follows, and the page."""

from mpidec.claim import accuracy, bytes, graphs, off_path, traffic
from mpidec.claim.plan import Part

PARTS: dict[str, Part] = {
    "bytes": bytes.PART,
    "accuracy": accuracy.PART,
    "graphs": graphs.PART,
    "traffic": traffic.PART,
    "off_path": off_path.PART,
}
"""The statements by the names that `mpidec claim --only` takes, in the order they run."""

__all__ = ["PARTS", "Part"]
