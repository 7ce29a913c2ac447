"""Inverses of consecutive diagonal blocks."""

from itertools import chain

import numpy as np

from sklearn_ssse import _kernels
from sklearn_ssse._inverse.base import (
    AbstractInverse,
    PendingDowndate,
    downdate_factor,
    largest_eigenvalues,
    not_positive_definite,
    resolve,
)
from sklearn_ssse._inverse.full import remove_diagonal, starting_ridge
from sklearn_ssse._inverse.layout import block_grams, block_layout, by_output, pieces_of, split
from sklearn_ssse._kernels import each_some, invert_blocks, outer, symmetric


class BlockInverse(AbstractInverse):
    """Inverses of the diagonal blocks of A: 8 d block_size bytes.

    Blocks of equal size lie in one stack, so that every operation is one call for all of them.

    Parameters
    ----------
    stacks : list of ndarray of shape (n_blocks, size, size)
        The inverses, in the order of the parameters.
    ridge, diagonal, inversion
        See `AbstractInverse`.
    """

    options = ("inversion", "block_size")
    leverage_is_bounded = False

    def __init__(self, stacks, ridge, diagonal, inversion):
        self.stacks = stacks
        self.ridge = ridge
        self.diagonal = diagonal
        self.inversion = inversion

    @classmethod
    def build(cls, scores, ridge, *, kernels=None, inversion="auto", block_size=None):
        kernels = kernels or _kernels.load("numba")
        layout = block_layout(scores.shapes, block_size)
        inversion = "cholesky" if inversion == "auto" else inversion
        if inversion == "cholesky":
            grams = block_grams(scores, layout, kernels)
            ridge, diagonal = resolve(
                ridge, np.concatenate([_diagonals(stack, kernels).ravel() for stack in grams])
            )
            stacks = [
                _invert(stack, part, kernels)
                for stack, part in zip(grams, split(diagonal, layout), strict=True)
            ]
        else:
            ridge, diagonal = resolve(ridge, kernels.to_numpy(scores.diagonal()))
            stacks = _recurrence(scores, layout, ridge, diagonal, kernels)
        if any(stack is None for stack in stacks):
            raise not_positive_definite(ridge)
        return cls(stacks, ridge, diagonal, inversion)

    @staticmethod
    def bytes_needed(shapes, block_size=None):
        layout = block_layout(shapes, block_size)
        return 8 * sum(count * size * (size + 2) for count, size in layout)

    @property
    def layout(self):
        return [stack.shape[:2] for stack in self.stacks]

    def solve(self, v):
        parts = zip(self.stacks, split(v, self.layout), strict=True)
        if v.ndim == 1:
            return np.concatenate([(P @ part[..., np.newaxis]).ravel() for P, part in parts])
        return np.concatenate(
            [(P @ part).reshape(P.shape[0] * P.shape[1], v.shape[1]) for P, part in parts]
        )

    def solve_rows(self, scores):
        if not by_output(scores, self.layout):
            return super().solve_rows(scores)
        rows = zip(self.stacks, scores.layers, scores.by_output(), strict=True)
        parts = [
            (P @ inputs.T)[..., np.newaxis] * layer.deltas.transpose(2, 0, 1)[:, np.newaxis]
            for P, layer, (inputs, _) in rows
        ]
        return np.concatenate([part.reshape(-1, scores.n_rows) for part in parts])

    def pending_downdate(self, scores):
        return BlockPendingDowndate(self, scores)

    def leverage(self, scores):
        if not by_output(scores, self.layout):
            return super().leverage(scores)
        out = [np.zeros(0)]
        for part in chain.from_iterable(
            chunk.pieces(self.n_parameters) for chunk in scores.chunks()
        ):
            rows = zip(self.stacks, part.by_output(), strict=True)
            diagonals = [
                np.einsum("iw,jwi->ij", inputs, P @ inputs.T) * lengths**2
                for P, (inputs, lengths) in rows
            ]
            out.append(_leverage(part, diagonals))
        return np.concatenate(out)

    def with_columns(self, column_map, shapes):
        if self.layout != list(shapes):
            return super().with_columns(column_map, shapes)
        first = self.stacks[0]
        n_outputs, width = first.shape[:2]
        Z = column_map.parameters(column_map.parameters(first, axis=1), axis=2)
        E = column_map.ridge_change(self.ridge[: n_outputs * width].reshape(n_outputs, width))
        first = symmetric(np.linalg.solve(np.eye(width) + Z @ E, Z))
        diagonal = np.concatenate(
            [np.einsum("bii->bi", _inverted(first)).ravel(), self.diagonal[n_outputs * width :]]
        )
        return BlockInverse([first, *self.stacks[1:]], self.ridge, diagonal, self.inversion)

    def update(self, scores):
        stacks = []
        for P, (few, piece) in zip(self.stacks, pieces_of(scores, self.layout), strict=True):
            if few:
                K = P @ piece
                inner, other = piece.transpose(0, 2, 1) @ K, K
            else:
                L = np.linalg.cholesky(P)
                inner, other = L.transpose(0, 2, 1) @ piece @ L, L
            index = range(inner.shape[1])
            inner[:, index, index] += 1.0
            half = np.linalg.inv(np.linalg.cholesky(inner)) @ other.transpose(0, 2, 1)
            product = half.transpose(0, 2, 1) @ half
            stacks.append(symmetric(P - product if few else product))
        return BlockInverse(stacks, self.ridge, self.diagonal + scores.diagonal(), self.inversion)

    def to_dense(self):
        out, start = np.zeros((self.n_parameters,) * 2), 0
        for stack in self.stacks:
            for block in stack:
                stop = start + len(block)
                out[start:stop, start:stop] = block
                start = stop
        return out

    @property
    def condition(self):
        diagonal = np.concatenate([np.einsum("bii->bi", stack).ravel() for stack in self.stacks])
        return float(self.diagonal @ diagonal)

    @property
    def nbytes(self):
        return sum(stack.nbytes for stack in self.stacks) + self.ridge.nbytes + self.diagonal.nbytes


class BlockPendingDowndate(PendingDowndate):
    """PendingDowndate from a `BlockInverse`: the spectrum is that of all blocks, each on the smaller side of its rows."""

    def __init__(self, inverse, scores):
        self._inverse = inverse
        self._parts, own = [], []
        for P, (few, piece) in zip(inverse.stacks, pieces_of(scores, inverse.layout), strict=True):
            if few:
                other = P @ piece
                M = piece.transpose(0, 2, 1) @ other
                own.append(np.einsum("jii->ij", M).copy())
            else:
                other = np.linalg.cholesky(P)
                M = other.transpose(0, 2, 1) @ piece @ other
            m = _eigen(M, other)
            if not few:
                other *= np.sqrt(np.maximum(m, 0.0))[:, np.newaxis, :]
            self._parts.append((P, m, other))
        self.spectrum = np.concatenate([m.ravel() for _, m, _ in self._parts])
        known = len(own) == len(self._parts) and by_output(scores, inverse.layout)
        self.leverage = _leverage(scores.collect(), own) if known else inverse.leverage(scores)
        self._leaving = scores.diagonal()

    def solve(self, v, *, damped=False):
        out = []
        for (P, m, U), part in zip(self._parts, split(v, self._inverse.layout), strict=True):
            column = part[..., np.newaxis]
            scaled = downdate_factor(m, damped=damped)[..., np.newaxis] * (
                U.transpose(0, 2, 1) @ column
            )
            out.append((P @ column + U @ scaled).ravel())
        return np.concatenate(out)

    def inverse(self):
        old = self._inverse
        stacks = [_plus(P, U, np.sqrt(downdate_factor(m))) for P, m, U in self._parts]
        return BlockInverse(stacks, old.ridge, old.diagonal - self._leaving, old.inversion)


def _leverage(scores, diagonals):
    """Leverage on the blocks of the outputs, (n_samples,), from ``r^T P_j r``, (n_samples, n_outputs) for each layer.

    r is the row that stands for those of a sample.
    """
    own = 0.0
    for layer, diagonal in zip(scores.layers, diagonals, strict=True):
        lengths = layer.lengths[:, np.newaxis]
        shares = np.divide(
            layer.deltas, lengths, out=np.zeros_like(layer.deltas), where=lengths > 0
        )
        own = own + (shares * diagonal[:, np.newaxis]) @ shares.transpose(0, 2, 1)
    return largest_eigenvalues(own)


def _eigen(M, basis):
    """Eigenvalues of each of many symmetric blocks; ``basis``, (n_blocks, size, m), goes over to the eigenvectors in place."""
    m = np.empty(M.shape[:2])

    def turn(some):
        m[some], V = np.linalg.eigh(M[some])
        basis[some] = basis[some] @ V

    each_some(turn, len(M), M.shape[1] ** 3)
    return m


def _plus(P, U, scale):
    """``P + U diag(scale^2) U^T`` for each block; a product of a matrix and its own transpose is exactly symmetric."""
    out = np.empty_like(P)

    def add(some):
        half = U[some] * scale[some, np.newaxis]
        np.add(P[some], outer(half), out=out[some])

    each_some(add, len(P), P.shape[1] ** 2 * U.shape[2])
    return out


def _inverted(stack):
    """Inverses of positive definite blocks."""
    scale = np.einsum("bii->bi", stack) ** -0.5
    out = invert_blocks(stack * scale[:, np.newaxis, :] * scale[:, :, np.newaxis], scale)
    if out is None:
        raise not_positive_definite(np.einsum("bii->bi", stack))
    return out


def _diagonals(stack, kernels):
    index = range(stack.shape[1])
    return np.array(kernels.to_numpy(stack[:, index, index]))


def _invert(stack, diagonal, kernels):
    """Inverse of each block with this diagonal, on the block scaled to unit diagonal; None if one is not positive definite."""
    index = range(stack.shape[1])
    stack[:, index, index] = kernels.asarray(diagonal)
    scale = kernels.asarray(1.0 / np.sqrt(diagonal))
    stack *= scale[:, :, None]
    stack *= scale[:, None, :]
    P = kernels.invert_blocks(stack, scale)
    return None if P is None else kernels.to_numpy(P)


def _recurrence(scores, layout, ridge, diagonal, kernels):
    """The rank-one recurrence on every block, blocks in parallel."""
    start = starting_ridge(ridge, diagonal)
    stacks = [
        kernels.asarray(np.eye(part.shape[1]) / part[:, np.newaxis, :])
        for part in split(start, layout)
    ]
    for chunk in scores.chunks():
        for stack, rows in zip(
            stacks, split(kernels.to_numpy(chunk.to_dense()).T, layout), strict=True
        ):
            kernels.rank1_update_blocks(
                stack, kernels.asarray(np.ascontiguousarray(rows.transpose(0, 2, 1)))
            )
    stacks = [kernels.to_numpy(stack) for stack in stacks]
    for stack, surplus in zip(stacks, split(start - ridge, layout), strict=True):
        for block, amount in zip(stack, surplus, strict=True):
            block[:] = remove_diagonal(block, amount, ridge)
    return stacks
