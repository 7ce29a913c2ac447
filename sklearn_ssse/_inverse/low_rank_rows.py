"""Curvature rows for the low-rank sketch: in slices, or whitened and restricted."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._gradients import CurvatureRows, Layer, Scores
from sklearn_ssse._kernels import Inputs
from sklearn_ssse._utils.chunks import slices
from sklearn_ssse._utils.compat import namespace

# Array elements up to which chunks of curvature rows are joined, and beyond which a chunk is
# divided. The second is larger because each slice reads the whole sketch: a net of 270,000
# parameters has 15 rows in the first, and 124 in the second.
SLICE_SIZE = 2**22
DIVIDED_SIZE = 2**25


class WhitenedRows(NamedTuple):
    """Whitened curvature rows, restricted to the coordinates on which they can be nonzero.

    Attributes
    ----------
    unit : ndarray of shape (m, e)
        The rows on E.
    rest : ndarray or csr_array of shape (m, t)
        The rows on the coordinates of N on which they can be nonzero.
    positions : ndarray of shape (t,)
        Positions of these coordinates in N.
    """

    unit: NDArray
    rest: Inputs
    positions: NDArray


def whiten_rows(scores: Scores, ridge: NDArray, unit: NDArray) -> WhitenedRows:
    """Whiten curvature rows by the ridge, (d,), and split them into E, ``unit``, and N."""
    R, columns = nonzero_columns(scores)
    scale = 1.0 / np.sqrt(ridge[columns])
    R = R * scale if isinstance(R, np.ndarray) else (R @ sparse.diags_array(scale)).tocsr()
    e = unit.size
    n_before = np.searchsorted(unit, columns)  # coordinates of E before each column
    in_unit = np.zeros(columns.size, dtype=bool)
    in_unit[n_before < e] = unit[n_before[n_before < e]] == columns[n_before < e]
    R_unit = np.zeros((R.shape[0], e))
    R_unit[:, n_before[in_unit]] = to_dense(R[:, in_unit])
    return WhitenedRows(R_unit, R[:, ~in_unit], (columns - n_before)[~in_unit])


def nonzero_columns(scores: Scores) -> tuple[Inputs, NDArray]:
    """Curvature rows restricted to the coordinates on which some row can be nonzero.

    Returns the rows, (n_rows, t), as a dense array if it has at most ``SLICE_SIZE`` elements and as
    CSR otherwise, and the sorted coordinates, (t,).
    """
    if not any(sparse.issparse(layer.inputs) for layer in scores.layers):
        return scores.to_dense(), np.arange(scores.n_parameters)
    samples = np.repeat(np.arange(scores.n_samples), scores.rows_per_sample)
    blocks = []
    for a, delta, bias, _ in scores.layers:
        inputs = [a, np.ones((scores.n_samples, 1))] if bias else [a]
        x = sparse.hstack([sparse.csr_array(block) for block in inputs], format="csr")
        repeated = x[samples]
        outputs = range(delta.shape[2])
        blocks += [repeated.multiply(delta[:, :, [j]].reshape(-1, 1)) for j in outputs]
    R = sparse.hstack(blocks, format="csr")
    columns = np.unique(R.indices).astype(np.intp)
    R = R[:, columns]
    return (R.toarray() if R.shape[0] * R.shape[1] <= SLICE_SIZE else R), columns


def row_slices(scores: CurvatureRows, n_rows: int = 4096) -> Iterator[Scores]:
    """Yield curvature rows in slices of about ``n_rows`` rows.

    Chunks of more than ``DIVIDED_SIZE`` elements are divided. Small chunks are joined, up to
    ``SLICE_SIZE`` elements.
    """
    waiting: list[list[Layer]] = []
    filled = 0.0
    for chunk in scores.chunks():
        size = sum(_size(layer.inputs) + _size(layer.deltas) for layer in chunk.layers)
        n_parts = max(chunk.n_rows / n_rows, size / DIVIDED_SIZE)
        step = max(1, int(chunk.n_samples / max(n_parts, 1.0)))
        share = max(chunk.n_rows / n_rows, size / SLICE_SIZE)
        for samples in slices(chunk.n_samples, step):
            if waiting and filled + min(share, 1.0) > 1:
                yield _join(waiting)
                waiting = []
                filled = 0.0
            waiting.append([layer.take(samples)._replace(simplex=False) for layer in chunk.layers])
            filled += min(share, 1.0)
    if waiting:
        yield _join(waiting)


def _size(factor: Inputs) -> int:
    """Number of stored elements."""
    return factor.nnz if sparse.issparse(factor) else math.prod(factor.shape)


def _join(slices_of_layers: Sequence[Sequence[Layer]]) -> Scores:
    """Join slices of consecutive samples, each a list of layers."""
    if len(slices_of_layers) == 1:
        return Scores(slices_of_layers[0])
    layers = []
    for same_layer in zip(*slices_of_layers, strict=True):
        inputs = [layer.inputs for layer in same_layer]
        xp = namespace(same_layer[0].deltas)
        if sparse.issparse(inputs[0]):
            joined = sparse.vstack(inputs, format="csr")
        else:
            joined = xp.concat(inputs)
        deltas = xp.concat([layer.deltas for layer in same_layer])
        layers.append(Layer(joined, deltas, same_layer[0].bias))
    return Scores(layers)


def to_dense(array: Inputs) -> NDArray:
    """Convert a sparse array to a dense one; return a dense array unchanged."""
    return array.toarray() if sparse.issparse(array) else array
