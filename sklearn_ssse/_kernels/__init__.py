"""Linear algebra: the same function names and signatures for every backend.

Backend "numba" uses NumPy's matrix products and compiled recurrences. Backend "torch" runs the same
algorithms in float64 on any device of torch. Arrays enter as NumPy arrays, are moved to the device
by ``asarray``, and are stored as NumPy arrays after ``to_numpy``. The folder handles arrays; it
must not import a curvature, a model or an estimator.
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
from sklearn_ssse._kernels.types import Array, Inputs, Kernels
