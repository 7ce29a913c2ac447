"""Structures of the inverse curvature: one file each, one line in ``INVERSES``."""

from sklearn_ssse._inverse._full import INVERSIONS, FullInverse

INVERSES = {"full": FullInverse}

__all__ = ["INVERSES", "INVERSIONS", "FullInverse"]
