"""Kernels for the CPU. Products of matrices are NumPy's; numba is loaded when the recurrence row by row needs it."""

from sklearn_ssse._kernels._blas import invert, invert_blocks, rank_b_update
from sklearn_ssse._kernels._grams import add_unit_grams, layer_gram, product

__all__ = [
    "add_unit_grams",
    "asarray",
    "invert",
    "invert_blocks",
    "layer_gram",
    "product",
    "rank1_update",
    "rank1_update_blocks",
    "rank_b_update",
    "to_numpy",
]


def asarray(array):
    return array


def to_numpy(array):
    return array


def rank1_update(P, R):
    """See `_jit.rank1_update`."""
    from sklearn_ssse._kernels import _jit

    _jit.rank1_update(P, R)


def rank1_update_blocks(P, R):
    """See `_jit.rank1_update_blocks`."""
    from sklearn_ssse._kernels import _jit

    _jit.rank1_update_blocks(P, R)
