"""Ways to erase training rows from a logistic regression, behind one interface, `base.Comparator`.

The scripts of `examples/benchmarks` import this folder: ``from comparators import Retraining``.
"""

from comparators.base import Comparator
from comparators.objective import Objective, Rows
from comparators.retraining import Retraining, WarmStart

__all__ = [
    "Comparator",
    "Objective",
    "Retraining",
    "Rows",
    "WarmStart",
]
