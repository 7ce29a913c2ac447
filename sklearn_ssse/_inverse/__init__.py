"""Structures of the inverse curvature: one file each, one line in ``INVERSES``."""

from sklearn_ssse._inverse.block import BlockInverse
from sklearn_ssse._inverse.choice import choose_structure, sizes
from sklearn_ssse._inverse.diagonal import DiagonalInverse
from sklearn_ssse._inverse.full import INVERSIONS, FullInverse
from sklearn_ssse._inverse.low_rank import LowRankInverse

INVERSES = {"full": FullInverse, "block": BlockInverse, "low_rank": LowRankInverse, "diagonal": DiagonalInverse}

__all__ = ["INVERSES", "INVERSIONS", "choose_structure", "sizes"]
