"""The low-rank sketch: its random directions, its rows, and the sketch of curvature rows."""

import copy
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows, Scores
from sklearn_ssse._inverse.limits import not_positive_definite
from sklearn_ssse._inverse.low_rank_rows import row_slices
from sklearn_ssse._kernels import Kernels
from sklearn_ssse._utils.chunks import slices

# Bytes of one block of `RowBlocks`.
BLOCK_BYTES = 2**17
# Blocks of `RowBlocks` that `RowBlocks.slabs` joins.
SLAB_BLOCKS = 256
# Columns of Omega that are formed at a time.
COLUMN_GROUP = 64

ALL = slice(None)


class Omega:
    """Orthonormal directions (d, l): unit vectors on E, and random directions on N.

    E is a set of coordinates, N has the others. The random directions are columns of the cosine
    transform on N, chosen at random, with random signs of the rows. They are formed on demand, row
    by row.

    Parameters
    ----------
    d : int
        Number of coordinates.
    unit : ndarray of int of shape (e,)
        The coordinates E, sorted.
    n_random : int
        Number of random directions, the columns after the unit vectors. The first ones do not
        depend on this number.
    seed : int, default=0
        Seed of the signs and of the columns of the cosine transform.
    """

    def __init__(self, d: int, unit: NDArray, n_random: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.unit = unit
        n_rest = d - unit.size
        self.signs = rng.choice(np.array([-1, 1], dtype=np.int8), n_rest)
        self.frequencies = rng.permutation(n_rest)[:n_random].copy()
        period = max(4 * n_rest, 1)
        cosines = np.cos(np.arange(period) * (2 * np.pi / period))
        self._cosines = np.sqrt(2 / max(n_rest, 1)) * cosines

    @property
    def n_columns(self) -> int:
        """Number of directions l."""
        return self.unit.size + self.frequencies.size

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.unit.nbytes + self.signs.nbytes + self.frequencies.nbytes + self._cosines.nbytes

    def random_rows(self, positions: NDArray, columns: slice = ALL) -> NDArray:
        """Rows of the random directions, given by their positions in N."""
        k = self.frequencies[columns]
        out = self._cosines[(2 * positions[:, np.newaxis] + 1) * k % self._cosines.size]
        out[:, k == 0] *= np.sqrt(0.5)
        out *= self.signs[positions, np.newaxis]
        return out

    def column_groups(self, weight: NDArray) -> list[NDArray]:
        """Form ``diag(weight) Omega`` as a list of (d, at most COLUMN_GROUP)."""
        e = self.unit.size
        rest = np.delete(np.arange(weight.size), self.unit)
        groups = []
        for columns in slices(self.n_columns, COLUMN_GROUP):
            group = np.zeros((weight.size, columns.stop - columns.start))
            units = self.unit[columns]
            group[units, np.arange(units.size)] = 1.0
            random_columns = slice(max(columns.start - e, 0), max(columns.stop - e, 0))
            group[rest, units.size :] = self.random_rows(np.arange(rest.size), random_columns)
            groups.append(group * weight[:, np.newaxis])
        return groups

    def split(self, v: NDArray) -> tuple[NDArray, NDArray]:
        """Split v, whose first axis is the coordinates, into its rows on E and on N."""
        return v[self.unit], np.delete(v, self.unit, axis=0) if self.unit.size else v

    def first(self, n_random: int) -> "Omega":
        """Return the directions with fewer random ones: the first ``n_random``."""
        out = copy.copy(self)
        out.frequencies = self.frequencies[:n_random].copy()
        return out


class RowBlocks:
    """Rows of a matrix (m, l) in small blocks; a version with changed rows shares the others.

    Parameters
    ----------
    array : ndarray of shape (m, l)
        The matrix; copied.
    """

    def __init__(self, array: NDArray) -> None:
        self.shape = array.shape
        self.size = max(1, BLOCK_BYTES // (8 * max(array.shape[1], 1)))
        self.blocks = [array[rows].copy() for rows in slices(len(array), self.size)]

    def __reduce__(self) -> tuple[type, tuple[NDArray]]:
        return RowBlocks, (self.array(),)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix."""
        return 8 * self.shape[0] * self.shape[1]

    def array(self) -> NDArray:
        """Return the matrix as one array, (m, l)."""
        return np.concatenate([np.zeros((0, self.shape[1])), *self.blocks])

    def slabs(self) -> Iterator[NDArray]:
        """Yield consecutive rows, ``SLAB_BLOCKS`` blocks at a time."""
        for some in slices(len(self.blocks), SLAB_BLOCKS):
            yield np.concatenate(self.blocks[some])

    def take(self, positions: NDArray) -> NDArray:
        """Return rows at sorted positions, (len(positions), l), as a new array."""
        out = np.empty((positions.size, self.shape[1]))
        for block, inner, outer in self._by_block(positions):
            out[outer] = self.blocks[block][inner]
        return out

    def replace(self, positions: NDArray, values: NDArray) -> "RowBlocks":
        """Return a version with other values in the rows at sorted positions."""
        out = RowBlocks.__new__(RowBlocks)
        out.shape = self.shape
        out.size = self.size
        out.blocks = list(self.blocks)
        for block, inner, outer in self._by_block(positions):
            out.blocks[block] = self.blocks[block].copy()
            out.blocks[block][inner] = values[outer]
        return out

    def _by_block(self, positions: NDArray) -> Iterator[tuple[int, NDArray, slice]]:
        """Yield each block with sorted positions in it, the rows within it, and their place."""
        number, inner = np.divmod(positions, self.size)
        bounds = np.flatnonzero(np.diff(number, prepend=-1, append=-1))
        for start, stop in pairwise(bounds):
            yield number[start], inner[start:stop], slice(start, stop)

    def dot(self, s: NDArray) -> NDArray:
        """Multiply the matrix by s, (l, k)."""
        out = np.empty((self.shape[0], s.shape[1]))
        start = 0
        for block in self.blocks:
            stop = start + len(block)
            np.matmul(block, s, out=out[start:stop])
            start = stop
        return out

    def tdot(self, v: NDArray) -> NDArray:
        """Multiply the transposed matrix by v, (m, k)."""
        positions = np.flatnonzero(v.any(axis=1))
        if positions.size < self.shape[0] // 4:  # the gradient of a few sparse rows
            return self.take(positions).T @ v[positions]
        out = np.zeros((self.shape[1], v.shape[1]))
        for block, rows in zip(self.blocks, slices(self.shape[0], self.size), strict=True):
            out += block.T @ v[rows]
        return out


def _moved(scores: Scores, kernels: Kernels) -> Scores:
    """Move rows to the device of the kernels, and convert dense ones to float64."""
    layers = []
    for layer in scores.layers:
        inputs = kernels.inputs(layer.inputs)
        if isinstance(inputs, np.ndarray):
            inputs = inputs.astype(np.float64, copy=False)
        layers.append(layer._replace(inputs=inputs, deltas=kernels.asarray(layer.deltas)))
    return Scores(layers)


def compute_sketch(
    scores: CurvatureRows, omega: Omega, ridge: NDArray, kernels: Kernels
) -> tuple[NDArray, NDArray]:
    """Sketch curvature rows in one pass: return Y over the rows N, and C."""
    weight = 1.0 / np.sqrt(ridge)
    groups = omega.column_groups(weight)
    Y = np.zeros((ridge.size, omega.n_columns))
    C = np.zeros((omega.n_columns, omega.n_columns))
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in row_slices(scores):
            some = _moved(rows, kernels)
            groups = [some.like(group) for group in groups]
            Y = some.like(Y)
            C = some.like(C)
            products = [some.matvec(group) for group in groups]
            Z = some.xp.concat(products, axis=1)
            C += Z.T @ Z
            parts = zip(slices(omega.n_columns, COLUMN_GROUP), products, strict=True)
            for columns, product in parts:
                Y[:, columns] += some.rmatvec(product)
        del groups
        Y = kernels.to_numpy(Y)
        Y *= weight[:, np.newaxis]
    C = kernels.to_numpy(C)
    if not (np.isfinite(Y).all() and np.isfinite(C).all()):
        raise not_positive_definite(ridge)
    return omega.split(Y)[1], C
