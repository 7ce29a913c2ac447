"""Packages from the registry behind the interface of `comparators.base`.

They install with the extra ``benchmarks``. pyDVL 0.10.0 asks for NumPy before 2 and works with NumPy
2, so that it needs a line of its own: ``pip install --no-deps pyDVL==0.10.0``. Each file imports its
package when a model is prepared, so that a package that is missing stops only its own method.
"""

from comparators.peers.curvlinops import Curvlinops
from comparators.peers.pydvl import PyDVL
from comparators.peers.pyinfluence import PyInfluence
from comparators.peers.statsmodels import Statsmodels

__all__ = ["Curvlinops", "PyDVL", "PyInfluence", "Statsmodels"]
