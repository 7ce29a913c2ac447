"""Structures of the inverse curvature: one file each, one line in ``INVERSES``."""

from sklearn_ssse._inverse._block import BlockInverse
from sklearn_ssse._inverse._choice import choose_structure, sizes
from sklearn_ssse._inverse._diagonal import DiagonalInverse
from sklearn_ssse._inverse._full import INVERSIONS, FullInverse

INVERSES = {"full": FullInverse, "block": BlockInverse, "diagonal": DiagonalInverse}

__all__ = ["INVERSES", "INVERSIONS", "choose_structure", "sizes"]
