"""Gram matrices of factored rows, by NumPy; one layer has inputs a, deltas and a bias as in `_scores.Layer`."""

import numpy as np
from scipy import sparse

from sklearn_ssse._kernels.threads import each
from sklearn_ssse._utils.chunks import slices

# Up to this width the Gram matrices of many outputs are one product of their weights with the products of pairs of inputs,
# so many rows at a time.
PAIRS_WIDTH = 64
PAIRS_OUTPUTS = 8
PAIRS_ROWS = 2048
# Up to this width, or so few outputs, one product of explicit rows beats one product for each pair of outputs; so many numbers
# at a time.
EXPLICIT_WIDTH = 256
EXPLICIT_OUTPUTS = 5
EXPLICIT_SIZE = 2**21


def add_unit_grams(out, a, delta, bias):
    """Add to ``out``, (n_outputs, width, width), the blocks of ``R^T R`` on one layer that belong to one output each."""
    n_outputs, width = delta.shape[2], a.shape[1] + bias
    weight = (
        np.square(delta[:, 0]) if delta.shape[1] == 1 else np.einsum("icj,icj->ij", delta, delta)
    )
    if width <= PAIRS_WIDTH and n_outputs >= PAIRS_OUTPUTS and not sparse.issparse(a):
        _add_by_pairs_of_inputs(out, _with_ones(a, bias), weight)
        return
    scale = np.sqrt(weight)

    def add(j):
        out[j] += _scaled_gram(a, scale[:, j : j + 1], bias)

    each(add, range(n_outputs), a.shape[0] * width**2)


def layer_gram(a, delta, bias, simplex=False):
    """``R^T R`` on one layer.

    From weighted Gram matrices of the inputs, one for each pair of outputs; but where a sample has a single row, on few inputs or
    outputs, from explicit rows, some at a time: one wide product runs at more than twice the speed of narrow ones. With
    ``simplex`` the deltas of every row sum to zero over the outputs, and so do the blocks of a block row: an output is left out
    and follows from the others.
    """
    n_outputs, width = delta.shape[2], a.shape[1] + bias
    if n_outputs == 1:
        rows = delta[:, 0] if delta.shape[1] == 1 else np.linalg.norm(delta, axis=1)
        return _scaled_gram(a, rows, bias)
    out = np.zeros((n_outputs, width, n_outputs, width))
    narrow = width <= EXPLICIT_WIDTH or n_outputs <= EXPLICIT_OUTPUTS
    if delta.shape[1] == 1 and narrow and not sparse.issparse(a):
        _explicit_blocks(out, _with_ones(a, bias), delta[:, 0], simplex)
    else:
        _blocks_by_pairs_of_outputs(out, a, delta, bias)
    return out.reshape(n_outputs * width, -1)


def product(R):
    """``R^T R``."""
    return R.T @ R


def _add_by_pairs_of_inputs(out, x, weight):
    width = x.shape[1]
    u, v = np.triu_indices(width)
    pairs, flat = np.empty((min(PAIRS_ROWS, len(x)), u.size)), np.zeros((len(out), u.size))
    for rows in slices(len(x), PAIRS_ROWS):
        part, start = x[rows], 0
        for i in range(width):
            np.multiply(
                part[:, i : i + 1], part[:, i:], out=pairs[: len(part), start : start + width - i]
            )
            start += width - i
        flat += weight[rows].T @ pairs[: len(part)]
    flat += out[:, u, v]
    out[:, u, v] = out[:, v, u] = flat


def _explicit_blocks(out, x, delta, simplex):
    n_outputs, width = out.shape[:2]
    kept = np.arange(n_outputs)
    if simplex:  # the heaviest output follows from the others: the least cancels there
        last = int(np.argmax(np.einsum("ij,ij->j", delta, delta)))
        kept = np.delete(kept, last)
    delta, d = np.ascontiguousarray(delta[:, kept, np.newaxis]), kept.size * width
    step = max(1, min(len(x), max(64, EXPLICIT_SIZE // d)))
    total, R = np.zeros((d, d)), np.empty((step, kept.size, width))
    for rows in slices(len(x), step):
        part = x[rows, np.newaxis]
        explicit = np.multiply(delta[rows], part, out=R[: len(part)]).reshape(-1, d)
        total += explicit.T @ explicit
    out[np.ix_(kept, range(width), kept)] = total.reshape(kept.size, width, kept.size, width)
    if simplex:
        strip = -out.sum(axis=0)  # (width, n_outputs, width), zero on the output left out
        out[last] = strip
        out[:, :, last] = strip.transpose(1, 2, 0)
        corner = -strip.sum(axis=1)
        out[last, :, last] = (corner + corner.T) / 2


def _blocks_by_pairs_of_outputs(out, a, delta, bias):
    n_outputs, width = out.shape[:2]
    weights = delta.transpose(0, 2, 1) @ delta

    def fill(pair):
        j, k = pair
        out[j, :, k] = out[k, :, j] = _weighted_gram(a, weights[:, j, k, np.newaxis], bias)

    pairs = [(j, k) for j in range(n_outputs) for k in range(j + 1)]
    each(fill, pairs, a.shape[0] * width**2)


def _scaled_gram(a, scale, bias):
    """``[a, 1]^T diag(scale^2) [a, 1]``; exactly symmetric, at half the cost of a general product."""
    if sparse.issparse(a):
        return _weighted_gram(a, np.square(scale), bias)
    rows = np.empty((a.shape[0], a.shape[1] + bias))
    np.multiply(a, scale, out=rows[:, : a.shape[1]])
    if bias:
        rows[:, -1:] = scale
    return rows.T @ rows


def _weighted_gram(a, weight, bias):
    """``[a, 1]^T diag(weight) [a, 1]`` for weights of either sign, shape (n_samples, 1); exactly symmetric where a is dense."""
    p = a.shape[1]
    if not sparse.issparse(a):
        scale = np.sqrt(np.abs(weight))
        added, taken = np.flatnonzero(weight > 0), np.flatnonzero(weight < 0)
        if taken.size == 0:
            return _scaled_gram(a, scale, bias)
        if added.size == 0:
            return -_scaled_gram(a, scale, bias)
        return _scaled_gram(a[added], scale[added], bias) - _scaled_gram(
            a[taken], scale[taken], bias
        )
    out = np.empty((p + bias, p + bias))
    weighted = a.multiply(weight).tocsr()
    out[:p, :p] = (a.T @ weighted).toarray()
    if bias:
        out[p, :p] = out[:p, p] = np.asarray(weighted.sum(axis=0)).ravel()
        out[p, p] = weight.sum()
    return out


def _with_ones(a, bias):
    return np.hstack([a, np.ones((len(a), 1))]) if bias else a
