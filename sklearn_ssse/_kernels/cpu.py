"""Kernels for the CPU. Products of matrices are NumPy's; numba is loaded when the recurrence row by row needs it."""

import numpy as np
from scipy.special import expit

from sklearn_ssse._kernels.blas import invert, invert_blocks, rank_b_update
from sklearn_ssse._kernels.grams import add_unit_grams, layer_gram, product

__all__ = [
    "activate",
    "add_unit_grams",
    "asarray",
    "inputs",
    "invert",
    "invert_blocks",
    "layer_gram",
    "product",
    "rank1_update",
    "rank1_update_blocks",
    "rank_b_update",
    "to_numpy",
]

# Bytes of the factors of one chunk of rows.
chunk_bytes = 2**22
ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
}


def activate(name, z):
    """The activation of scikit-learn's ``name``, a new array or z itself."""
    return ACTIVATIONS[name](z)


def asarray(array):
    return array


def inputs(a):
    """Rows of data, (n_samples, n_inputs), dense or CSR."""
    return a


def to_numpy(array):
    return array


def rank1_update(P, R):
    """See `rank1.rank1_update`."""
    from sklearn_ssse._kernels import rank1

    rank1.rank1_update(P, R)


def rank1_update_blocks(P, R):
    """See `rank1.rank1_update_blocks`."""
    from sklearn_ssse._kernels import rank1

    rank1.rank1_update_blocks(P, R)
