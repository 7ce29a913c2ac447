"""Linear algebra: the same function names and signatures for every backend.

"numba": NumPy's matrix products, and compiled recurrences. "torch": the same on any device of torch,
in float64. Arrays enter as NumPy, cross over in ``asarray``, and are stored as NumPy after
``to_numpy``. The folder knows arrays; it must not know a curvature, a model or an estimator.
"""

from sklearn_ssse._kernels import cpu, grams
from sklearn_ssse._kernels.backends import BACKENDS, choose_backend, load
from sklearn_ssse._kernels.blas import (
    invert,
    invert_blocks,
    invert_lower,
    mirror_lower,
    outer,
    rank_b_update,
    symmetric,
)
from sklearn_ssse._kernels.threads import each, each_some, one_thread
