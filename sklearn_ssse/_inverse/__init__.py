"""Structures of the inverse curvature: one file each, one entry in ``INVERSES``.

A structure builds the inverse from curvature rows, solves with it, and takes rows in and out. The
folder must not know a model, nor how long a step is.
"""

from sklearn_ssse._inverse.base import AbstractInverse, PendingDowndate, downdate_factor
from sklearn_ssse._inverse.block import BlockInverse
from sklearn_ssse._inverse.choice import choose_structure, sizes
from sklearn_ssse._inverse.diagonal import DiagonalInverse
from sklearn_ssse._inverse.full import INVERSIONS, FullInverse
from sklearn_ssse._inverse.low_rank import LowRankInverse

INVERSES: dict[str, type[AbstractInverse]] = {
    "full": FullInverse,
    "block": BlockInverse,
    "low_rank": LowRankInverse,
    "diagonal": DiagonalInverse,
}
