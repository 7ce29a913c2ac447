"""Kernels for the CPU. Products of matrices are NumPy's; numba is loaded when a recurrence needs it."""

from sklearn_ssse._kernels._blas import invert, invert_blocks, layer_gram, product, unit_grams

__all__ = [
    "asarray",
    "invert",
    "invert_blocks",
    "layer_gram",
    "product",
    "rank1_update",
    "rank1_update_blocks",
    "rank_b_update",
    "to_numpy",
    "unit_grams",
]

# The recurrence that is the faster one for few rows.
RECURRENCE = "rank1"


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


def rank_b_update(P, R):
    """See `_jit.rank_b_update`."""
    from sklearn_ssse._kernels import _jit

    _jit.rank_b_update(P, R)
