"""Structures of the inverse curvature: one file each, one entry each in ``INVERSES``.

A structure builds the inverse from curvature rows, solves with it, and computes the inverse without
some rows or with added rows. The folder must not import a model, nor set the length of a step.
"""

from sklearn_ssse._inverse.base import AbstractInverse, PendingDowndate, downdate_factor
from sklearn_ssse._inverse.block import BlockInverse
from sklearn_ssse._inverse.choice import DENSE_PARAMETERS, choose_structure, sizes
from sklearn_ssse._inverse.diagonal import DiagonalInverse
from sklearn_ssse._inverse.full import INVERSIONS, FullInverse
from sklearn_ssse._inverse.gradients import GradientsInverse
from sklearn_ssse._inverse.last_layers import LastLayersInverse
from sklearn_ssse._inverse.low_rank import LowRankInverse

INVERSES: dict[str, type[AbstractInverse]] = {
    "full": FullInverse,
    "block": BlockInverse,
    "low_rank": LowRankInverse,
    "diagonal": DiagonalInverse,
}
# The structures for torch modules.
MODULE_INVERSES: dict[str, type[AbstractInverse]] = {
    **INVERSES,
    "gradients": GradientsInverse,
    "last_layers": LastLayersInverse,
}
