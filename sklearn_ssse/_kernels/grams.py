"""Gram matrices of factored rows, by NumPy.

A layer has inputs ``a``, ``deltas`` and ``bias`` as in `_gradients.Layer`. The symbols below: x is
``[a, 1]`` with a bias and ``a`` without, and width is the number of its columns.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._kernels.threads import each
from sklearn_ssse._kernels.types import Inputs
from sklearn_ssse._utils.chunks import slices

# Up to this width, and from this number of outputs on, the Gram matrices of all outputs are one
# product of their weights and the products of pairs of inputs, for this number of rows at a time.
PAIRS_WIDTH = 64
PAIRS_OUTPUTS = 8
PAIRS_ROWS = 2048
# Up to this width or this number of outputs, one product of explicit rows is faster than one
# product for each pair of outputs. At most this number of elements is formed at a time.
EXPLICIT_WIDTH = 256
EXPLICIT_OUTPUTS = 5
EXPLICIT_SIZE = 2**21


def add_unit_grams(out: NDArray, a: Inputs, delta: NDArray, bias: bool) -> None:
    """Add the blocks of ``R^T R`` that belong to one output each to ``out``.

    Parameters
    ----------
    out : ndarray of shape (n_outputs, width, width)
        Overwritten.
    a : ndarray or csr_array of shape (n_samples, n_inputs)
    delta : ndarray of shape (n_samples, c, n_outputs)
    bias : bool
    """
    n_outputs = delta.shape[2]
    width = a.shape[1] + bias
    if delta.shape[1] == 1:
        weight = np.square(delta[:, 0])
    else:
        weight = np.einsum("icj,icj->ij", delta, delta)
    if width <= PAIRS_WIDTH and n_outputs >= PAIRS_OUTPUTS and not sparse.issparse(a):
        _add_by_pairs_of_inputs(out, _with_ones(a, bias), weight)
        return
    scale = np.sqrt(weight)

    def add(j: int) -> None:
        out[j] += _scaled_gram(a, scale[:, j : j + 1], bias)

    each(add, range(n_outputs), a.shape[0] * width**2)


def layer_gram(a: Inputs, delta: NDArray, bias: bool, simplex: bool = False) -> NDArray:
    """Compute ``R^T R`` on one layer.

    The general method computes one weighted Gram matrix of the inputs for each pair of outputs. If
    each sample has a single row, and the inputs or outputs are few, one wide product of explicit
    rows is used instead, which takes less than half the time.

    Parameters
    ----------
    a : ndarray or csr_array of shape (n_samples, n_inputs)
    delta : ndarray of shape (n_samples, c, n_outputs)
    bias : bool
    simplex : bool, default=False
        Whether the deltas of every row sum to zero over the outputs. The blocks of a block row then
        sum to zero too, so the blocks of one output follow from the others.

    Returns
    -------
    gram : ndarray of shape (n_outputs * width, n_outputs * width)
    """
    n_outputs = delta.shape[2]
    width = a.shape[1] + bias
    if n_outputs == 1:
        rows = delta[:, 0] if delta.shape[1] == 1 else np.linalg.norm(delta, axis=1)
        return _scaled_gram(a, rows, bias)
    out = np.zeros((n_outputs, width, n_outputs, width))
    narrow = width <= EXPLICIT_WIDTH or n_outputs <= EXPLICIT_OUTPUTS
    if delta.shape[1] == 1 and narrow and not sparse.issparse(a):
        _fill_by_explicit_rows(out, _with_ones(a, bias), delta[:, 0], simplex)
    else:
        _fill_by_pairs_of_outputs(out, a, delta, bias)
    return out.reshape(n_outputs * width, -1)


def product(R: NDArray) -> NDArray:
    """Compute ``R^T R``."""
    return R.T @ R


def _add_by_pairs_of_inputs(out: NDArray, x: NDArray, weight: NDArray) -> None:
    """`add_unit_grams` from the products of all pairs of inputs, weight (n_samples, n_outputs)."""
    width = x.shape[1]
    u, v = np.triu_indices(width)
    pairs = np.empty((min(PAIRS_ROWS, len(x)), u.size))
    totals = np.zeros((len(out), u.size))
    for rows in slices(len(x), PAIRS_ROWS):
        chunk = x[rows]
        products = pairs[: len(chunk)]
        start = 0
        for i in range(width):
            stop = start + width - i
            np.multiply(chunk[:, i : i + 1], chunk[:, i:], out=products[:, start:stop])
            start = stop
        totals += weight[rows].T @ products
    totals += out[:, u, v]
    out[:, u, v] = out[:, v, u] = totals


def _fill_by_explicit_rows(out: NDArray, x: NDArray, delta: NDArray, simplex: bool) -> None:
    """`layer_gram` from explicit rows; out has shape (n_outputs, width, n_outputs, width)."""
    n_outputs, width = out.shape[:2]
    kept = np.arange(n_outputs)
    if simplex:  # derive the output with the largest deltas: this cancels fewest digits
        derived = int(np.argmax(np.einsum("ij,ij->j", delta, delta)))
        kept = np.delete(kept, derived)
    delta = np.ascontiguousarray(delta[:, kept, np.newaxis])
    d = kept.size * width
    step = max(1, min(len(x), max(64, EXPLICIT_SIZE // d)))
    total = np.zeros((d, d))
    R = np.empty((step, kept.size, width))
    for rows in slices(len(x), step):
        chunk = x[rows, np.newaxis]
        explicit = np.multiply(delta[rows], chunk, out=R[: len(chunk)]).reshape(-1, d)
        total += explicit.T @ explicit
    out[np.ix_(kept, np.arange(width), kept)] = total.reshape(kept.size, width, kept.size, width)
    if simplex:
        strip = -out.sum(axis=0)  # (width, n_outputs, width), zero on the derived output
        out[derived] = strip
        out[:, :, derived] = strip.transpose(1, 2, 0)
        corner = -strip.sum(axis=1)
        out[derived, :, derived] = (corner + corner.T) / 2


def _fill_by_pairs_of_outputs(out: NDArray, a: Inputs, delta: NDArray, bias: bool) -> None:
    """`layer_gram` by pairs of outputs; out has shape (n_outputs, width, n_outputs, width)."""
    n_outputs, width = out.shape[:2]
    weights = delta.transpose(0, 2, 1) @ delta

    def fill(pair: tuple[int, int]) -> None:
        j, k = pair
        out[j, :, k] = out[k, :, j] = _weighted_gram(a, weights[:, j, k, np.newaxis], bias)

    pairs = [(j, k) for j in range(n_outputs) for k in range(j + 1)]
    each(fill, pairs, a.shape[0] * width**2)


def _scaled_gram(a: Inputs, scale: NDArray, bias: bool) -> NDArray:
    """Compute ``x^T diag(scale^2) x``, exactly symmetric, in half the time of a general product."""
    if sparse.issparse(a):
        return _weighted_gram(a, np.square(scale), bias)
    rows = np.empty((a.shape[0], a.shape[1] + bias))
    np.multiply(a, scale, out=rows[:, : a.shape[1]])
    if bias:
        rows[:, -1:] = scale
    return rows.T @ rows


def _weighted_gram(a: Inputs, weight: NDArray, bias: bool) -> NDArray:
    """Compute ``x^T diag(weight) x`` for weights (n_samples, 1) of either sign.

    The result is exactly symmetric if ``a`` is dense.
    """
    p = a.shape[1]
    if not sparse.issparse(a):
        scale = np.sqrt(np.abs(weight))
        positive = np.flatnonzero(weight > 0)
        negative = np.flatnonzero(weight < 0)
        if negative.size == 0:
            return _scaled_gram(a, scale, bias)
        if positive.size == 0:
            return -_scaled_gram(a, scale, bias)
        gram = _scaled_gram(a[positive], scale[positive], bias)
        return gram - _scaled_gram(a[negative], scale[negative], bias)
    out = np.empty((p + bias, p + bias))
    weighted = a.multiply(weight).tocsr()
    out[:p, :p] = (a.T @ weighted).toarray()
    if bias:
        out[p, :p] = out[:p, p] = np.asarray(weighted.sum(axis=0)).ravel()
        out[p, p] = weight.sum()
    return out


def _with_ones(a: NDArray, bias: bool) -> NDArray:
    """Append a column of ones to dense inputs if the layer has a bias."""
    return np.hstack([a, np.ones((len(a), 1))]) if bias else a
