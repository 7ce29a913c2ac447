"""Kernels for the CPU.

NumPy computes the matrix products; numba is imported only by the recurrence row by row.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from sklearn_ssse._kernels.blas import invert, invert_blocks, rank_b_update
from sklearn_ssse._kernels.grams import add_unit_grams, layer_gram, product
from sklearn_ssse._kernels.threads import each_some
from sklearn_ssse._kernels.types import Inputs

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


def activate(name: str, z: NDArray) -> NDArray:
    """Apply scikit-learn's activation ``name``: a new array, or z itself for "identity"."""
    return ACTIVATIONS[name](z)


def asarray(array: NDArray) -> NDArray:
    """Return the array itself: NumPy arrays need no transfer."""
    return array


def inputs(a: Inputs) -> Inputs:
    """Return rows of data, (n_samples, n_inputs), dense or CSR, as they are."""
    return a


def to_numpy(array: NDArray) -> NDArray:
    """Return the array itself: it is a NumPy array."""
    return array


def rank1_update(P: NDArray, R: NDArray) -> None:
    """See `rank1.rank1_update`."""
    from sklearn_ssse._kernels import rank1

    rank1.rank1_update(P, R)


def rank1_update_blocks(P: NDArray, R: NDArray) -> None:
    """See `rank1.rank1_update_blocks`; large blocks are updated in threads."""
    from sklearn_ssse._kernels import rank1

    def update(some: slice) -> None:
        rank1.rank1_update_blocks(P[some], R[some])

    each_some(update, len(P), R.shape[1] * P.shape[1] ** 2)
