"""Packages from the registry behind the interface of `comparators.base`.

They install with the extra ``benchmarks``. pyDVL 0.10.0 requires a NumPy older than 2 but works
with NumPy 2; it has a command of its own: ``pip install --no-deps pyDVL==0.10.0``. Each file
imports its package when a model is prepared, so that a missing package stops only its own method.
"""

from comparators.peers.curvlinops import Curvlinops
from comparators.peers.erasus import Erasus
from comparators.peers.pydvl import PyDVL
from comparators.peers.pyinfluence import PyInfluence
from comparators.peers.statsmodels import Statsmodels

__all__ = ["Curvlinops", "Erasus", "PyDVL", "PyInfluence", "Statsmodels"]
