"""Displays, in scikit-learn's pattern.

`__init__` stores arrays; ``plot`` draws them and returns the display, with ``ax_`` and ``figure_``.
"""

from sklearn_ssse.display._epsilon_curves import AccuracyGapDisplay, GammaCurveDisplay
from sklearn_ssse.display._leverage import LeverageDisplay
from sklearn_ssse.display._report import ErasureReportDisplay

__all__ = ["AccuracyGapDisplay", "ErasureReportDisplay", "GammaCurveDisplay", "LeverageDisplay"]
