"""Pieces of the low-rank sketch: its random directions, its rows, and the ways that curvature rows are read for it."""

import copy
import math

import numpy as np
from scipy import sparse

from sklearn_ssse._gradients import Layer, Scores
from sklearn_ssse._utils.chunks import slices
from sklearn_ssse._utils.compat import namespace

# Rows of Y lie in blocks of so many bytes, rows of R are read in slices of so many numbers, Omega in groups of so many columns.
BLOCK_BYTES = 2**17
SLICE_SIZE = 2**22
GROUP = 64


class Omega:
    """Unit vectors on E, a random subset of the cosine transform with random signs on N; made on demand, row by row.

    Parameters
    ----------
    d : int
    unit : ndarray of int
        The coordinates E, sorted.
    n_random : int
        Number of columns after those of E; the first ones do not depend on it.
    """

    def __init__(self, d, unit, n_random, seed=0):
        rng = np.random.default_rng(seed)
        self.unit = unit
        self.n_free = d - unit.size
        self.signs = rng.choice(np.array([-1, 1], dtype=np.int8), self.n_free)
        self.frequencies = rng.permutation(self.n_free)[:n_random].copy()
        period = max(4 * self.n_free, 1)
        self._cosines = np.sqrt(2 / max(self.n_free, 1)) * np.cos(
            np.arange(period) * (2 * np.pi / period)
        )

    @property
    def n_columns(self):
        return self.unit.size + self.frequencies.size

    @property
    def nbytes(self):
        return self.unit.nbytes + self.signs.nbytes + self.frequencies.nbytes + self._cosines.nbytes

    def free(self, at, columns=slice(None)):
        """Some rows, by their position in N, of some of the random columns."""
        k = self.frequencies[columns]
        out = self._cosines[(2 * at[:, np.newaxis] + 1) * k % self._cosines.size]
        out[:, k == 0] *= np.sqrt(0.5)
        out *= self.signs[at, np.newaxis]
        return out

    def groups(self, weight):
        """``diag(weight) Omega``, a list of (d, at most GROUP)."""
        e, out = self.unit.size, []
        others = np.delete(np.arange(weight.size), self.unit)
        for columns in slices(self.n_columns, GROUP):
            block = np.zeros((weight.size, columns.stop - columns.start))
            units = self.unit[columns]
            block[units, np.arange(units.size)] = 1.0
            block[others, units.size :] = self.free(
                np.arange(self.n_free), slice(max(columns.start - e, 0), max(columns.stop - e, 0))
            )
            out.append(block * weight[:, np.newaxis])
        return out

    def split(self, v):
        """v, whose first axis is the coordinates, on E and on N."""
        return v[self.unit], np.delete(v, self.unit, axis=0) if self.unit.size else v

    def first(self, n_random):
        """With fewer random columns."""
        out = copy.copy(self)
        out.frequencies = self.frequencies[:n_random].copy()
        return out


class RowBlocks:
    """Rows of a matrix (m, l) in small blocks: a version with some rows changed shares the blocks that have none of them."""

    def __init__(self, array):
        self.shape = array.shape
        self.size = max(1, BLOCK_BYTES // (8 * max(array.shape[1], 1)))
        self.blocks = [array[rows].copy() for rows in slices(len(array), self.size)]

    def __reduce__(self):
        return RowBlocks, (self.array(),)

    @property
    def nbytes(self):
        return 8 * self.shape[0] * self.shape[1]

    def array(self):
        return np.concatenate([np.zeros((0, self.shape[1])), *self.blocks])

    def slabs(self):
        """The rows in larger parts."""
        for part in slices(len(self.blocks), 256):
            yield np.concatenate(self.blocks[part])

    def take(self, at):
        out = np.empty((at.size, self.shape[1]))
        number, inner = np.divmod(at, self.size)
        for i, (block, row) in enumerate(zip(number.tolist(), inner.tolist(), strict=True)):
            out[i] = self.blocks[block][row]
        return out

    def replace(self, at, values):
        """A version with other values in the rows ``at``."""
        out = RowBlocks.__new__(RowBlocks)
        out.shape, out.size, out.blocks = self.shape, self.size, list(self.blocks)
        number, inner = np.divmod(at, self.size)
        for block in np.unique(number).tolist():
            out.blocks[block] = self.blocks[block].copy()
        for block, row, value in zip(number.tolist(), inner.tolist(), values, strict=True):
            out.blocks[block][row] = value
        return out

    def dot(self, s):
        out = np.empty((self.shape[0], s.shape[1]))
        start = 0
        for block in self.blocks:
            stop = start + len(block)
            np.matmul(block, s, out=out[start:stop])
            start = stop
        return out

    def tdot(self, v):
        at = np.flatnonzero(v.any(axis=1))
        if at.size < self.shape[0] // 4:  # the gradient of a few sparse rows
            return self.take(at).T @ v[at]
        out = np.zeros((self.shape[1], v.shape[1]))
        for block, rows in zip(self.blocks, slices(self.shape[0], self.size), strict=True):
            out += block.T @ v[rows]
        return out


def touched(scores):
    """Curvature rows on the coordinates that they touch, dense where that is small and CSR else; these coordinates, sorted."""
    if not any(sparse.issparse(layer.inputs) for layer in scores.layers):
        return scores.to_dense(), np.arange(scores.n_parameters)
    samples = np.repeat(np.arange(scores.n_samples), scores.rows_per_sample)
    parts = []
    for a, delta, bias, _ in scores.layers:
        inputs = [a, np.ones((scores.n_samples, 1))] if bias else [a]
        repeated = sparse.hstack([sparse.csr_array(block) for block in inputs], format="csr")[
            samples
        ]
        parts += [repeated.multiply(delta[:, :, [j]].reshape(-1, 1)) for j in range(delta.shape[2])]
    R = sparse.hstack(parts, format="csr")
    columns = np.unique(R.indices).astype(np.intp)
    R = R[:, columns]
    return (R.toarray() if R.shape[0] * R.shape[1] <= SLICE_SIZE else R), columns


def parts(scores, n_rows=4096):
    """Curvature rows in slices of about ``n_rows`` rows or ``SLICE_SIZE`` numbers: chunks are cut, or put together."""
    waiting, filled = [], 0.0
    for chunk in scores.chunks():
        size = sum(
            _size(factor) for layer in chunk.layers for factor in (layer.inputs, layer.deltas)
        )
        share = max(chunk.n_rows / n_rows, size / SLICE_SIZE)
        step = max(1, int(chunk.n_samples / share)) if share > 1 else max(1, chunk.n_samples)
        for rows in slices(chunk.n_samples, step):
            if waiting and filled + min(share, 1.0) > 1:
                yield _join(waiting)
                waiting, filled = [], 0.0
            waiting.append(
                [Layer(a[rows], delta[rows], bias) for a, delta, bias, _ in chunk.layers]
            )
            filled += min(share, 1.0)
    if waiting:
        yield _join(waiting)


def _size(factor):
    return factor.nnz if sparse.issparse(factor) else math.prod(factor.shape)


def _join(batches):
    if len(batches) == 1:
        return Scores(batches[0])
    layers = []
    for parts in zip(*batches, strict=True):
        inputs = [part.inputs for part in parts]
        xp = namespace(parts[0].deltas)
        stacked = (
            sparse.vstack(inputs, format="csr") if sparse.issparse(inputs[0]) else xp.concat(inputs)
        )
        layers.append(Layer(stacked, xp.concat([part.deltas for part in parts]), parts[0].bias))
    return Scores(layers)
