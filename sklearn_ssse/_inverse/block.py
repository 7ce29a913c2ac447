"""Inverses of consecutive diagonal blocks."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows, Scores
from sklearn_ssse._inverse.base import (
    AbstractInverse,
    PendingDowndate,
    Shapes,
    downdate_factor,
    largest_eigenvalues,
)
from sklearn_ssse._inverse.full import remove_diagonal, starting_ridge
from sklearn_ssse._inverse.layout import (
    Layout,
    block_grams,
    block_layout,
    is_by_output,
    rows_or_grams,
    split,
)
from sklearn_ssse._inverse.limits import (
    LARGEST_DIFFERENCE,
    LARGEST_UPDATE,
    Ridge,
    cholesky,
    not_positive_definite,
    resolve_ridge,
    too_large_update,
)
from sklearn_ssse._kernels import Array, Kernels, cpu, each_some, invert_blocks, outer, symmetric


class BlockInverse(AbstractInverse):
    """Inverses of the diagonal blocks of A: 8 d block_size bytes.

    Consecutive blocks of equal size are one stack, so that every operation is one call for all of
    them.

    Parameters
    ----------
    stacks : list of ndarray of shape (n_blocks, size, size)
        The inverses, in the order of the parameters.
    ridge, diagonal, inversion
        See `AbstractInverse`.
    """

    options = ("inversion", "block_size")
    leverage_is_bounded = False

    def __init__(
        self, stacks: list[NDArray], ridge: NDArray, diagonal: NDArray, inversion: str
    ) -> None:
        self.stacks = stacks
        self.ridge = ridge
        self.diagonal = diagonal
        self.inversion = inversion

    @classmethod
    def build(
        cls,
        scores: CurvatureRows,
        ridge: Ridge,
        *,
        kernels: Kernels = cpu,
        inversion: str = "auto",
        block_size: int | None = None,
    ) -> "BlockInverse":
        layout = block_layout(scores.shapes, block_size)
        inversion = "cholesky" if inversion == "auto" else inversion
        if inversion == "cholesky":
            with np.errstate(over="ignore", invalid="ignore"):  # `resolve_ridge` refuses infinity
                grams = block_grams(scores, layout, kernels)
            sums = np.concatenate([_diagonals(stack, kernels).ravel() for stack in grams])
            ridge, diagonal = resolve_ridge(ridge, sums)
            diagonals = split(diagonal, layout)
            stacks = [_invert(*pair, kernels) for pair in zip(grams, diagonals, strict=True)]
        else:
            ridge, diagonal = resolve_ridge(ridge, kernels.to_numpy(scores.diagonal()))
            stacks = _recurrence(scores, layout, ridge, diagonal, kernels)
        if any(stack is None for stack in stacks):
            raise not_positive_definite(ridge)
        return cls(stacks, ridge, diagonal, inversion)

    @staticmethod
    def bytes_needed(shapes: Shapes, block_size: int | None = None) -> int:
        layout = block_layout(shapes, block_size)
        return 8 * sum(n_blocks * size * (size + 2) for n_blocks, size in layout)

    @property
    def layout(self) -> Layout:
        """Number and size of the blocks of each stack."""
        return [stack.shape[:2] for stack in self.stacks]

    def solve(self, v: NDArray) -> NDArray:
        columns = v.reshape(len(v), -1)
        pairs = zip(self.stacks, split(columns, self.layout), strict=True)
        products = [(P @ B).reshape(P.shape[0] * P.shape[1], -1) for P, B in pairs]
        return np.concatenate(products).reshape(v.shape)

    def solve_rows(self, scores: CurvatureRows) -> NDArray:
        if not is_by_output(scores, self.layout):
            return super().solve_rows(scores)
        scores = scores.collect()
        factors = zip(self.stacks, scores.layers, scores.by_output(), strict=True)
        solutions = [
            (P @ inputs.T)[..., np.newaxis] * layer.deltas.transpose(2, 0, 1)[:, np.newaxis]
            for P, layer, (inputs, _) in factors
        ]
        return np.concatenate([solution.reshape(-1, scores.n_rows) for solution in solutions])

    def pending_downdate(self, scores: CurvatureRows) -> "BlockDowndate":
        return BlockDowndate(self, scores)

    def leverage(self, scores: CurvatureRows) -> NDArray:
        if not is_by_output(scores, self.layout):
            return super().leverage(scores)
        leverages = [np.zeros(0)]
        chunks = scores.chunks()
        for piece in chain.from_iterable(chunk.pieces(self.n_parameters) for chunk in chunks):
            leverages.append(_leverage(piece, self._forms_by_output(piece)))
        return np.concatenate(leverages)

    def largest_block_leverage(self, scores: CurvatureRows) -> float:
        """Largest leverage of a sample within one block; below 1 for samples of the curvature."""
        c = scores.rows_per_sample
        by_output = is_by_output(scores, self.layout)
        largest = 0.0
        chunks = scores.chunks()
        for piece in chain.from_iterable(chunk.pieces(self.n_parameters * c) for chunk in chunks):
            if by_output:
                forms = self._forms_by_output(piece)
            else:
                columns = split(piece.to_dense().T, self.layout)
                forms = [_forms(P, B, c) for P, B in zip(self.stacks, columns, strict=True)]
            largest = max(largest, *(float(form.max(initial=0.0)) for form in forms))
        return largest

    def _forms_by_output(self, scores: Scores) -> list[NDArray]:
        """Leverage of each sample on each output, (n_samples, n_outputs), for each layer."""
        forms = []
        for P, (inputs, lengths) in zip(self.stacks, scores.by_output(), strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # of inputs without a delta
                form = np.einsum("iw,jwi->ij", inputs, P @ inputs.T) * lengths**2
            forms.append(np.where(lengths > 0, form, 0.0))
        return forms

    def with_columns(self, column_map: Any, shapes: Shapes) -> AbstractInverse:
        if self.layout != list(shapes):
            return super().with_columns(column_map, shapes)
        first = self.stacks[0]
        n_outputs, width = first.shape[:2]
        n_first = n_outputs * width
        Z = column_map.parameters(column_map.parameters(first, axis=1), axis=2)
        E = column_map.ridge_change(self.ridge[:n_first].reshape(n_outputs, width))
        first = symmetric(np.linalg.solve(np.eye(width) + Z @ E, Z))
        first_diagonal = np.einsum("bii->bi", _inverted(first)).ravel()
        diagonal = np.concatenate([first_diagonal, self.diagonal[n_first:]])
        return BlockInverse([first, *self.stacks[1:]], self.ridge, diagonal, self.inversion)

    def update(self, scores: CurvatureRows) -> "BlockInverse":
        stacks = []
        for P, (are_rows, B) in zip(self.stacks, rows_or_grams(scores, self.layout), strict=True):
            if are_rows:  # P - K (I + R K)^{-1} K^T with K = P R^T
                basis = P @ B
                inner = B.transpose(0, 2, 1) @ basis
                if not _largest_trace(inner) <= LARGEST_DIFFERENCE:
                    are_rows = False
                    B = B @ B.transpose(0, 2, 1)
            if not are_rows:  # L (I + L^T G L)^{-1} L^T with P = L L^T
                basis = cholesky(P, self.ridge)
                inner = basis.transpose(0, 2, 1) @ B @ basis
                if not _largest_trace(inner) <= LARGEST_UPDATE:
                    raise too_large_update(_largest_trace(inner))
            index = range(inner.shape[1])
            inner[:, index, index] += 1.0
            half = np.linalg.inv(cholesky(inner, self.ridge)) @ basis.transpose(0, 2, 1)
            product = half.transpose(0, 2, 1) @ half
            stacks.append(symmetric(P - product if are_rows else product))
        return BlockInverse(stacks, self.ridge, self.diagonal + scores.diagonal(), self.inversion)

    def to_dense(self) -> NDArray:
        out = np.zeros((self.n_parameters, self.n_parameters))
        start = 0
        for block in chain.from_iterable(self.stacks):
            stop = start + len(block)
            out[start:stop, start:stop] = block
            start = stop
        return out

    @property
    def condition(self) -> float:
        diagonal = np.concatenate([np.einsum("bii->bi", stack).ravel() for stack in self.stacks])
        return float(self.diagonal @ diagonal)

    @property
    def nbytes(self) -> int:
        return sum(stack.nbytes for stack in self.stacks) + self.ridge.nbytes + self.diagonal.nbytes


class BlockDowndate(PendingDowndate):
    """Pending downdate of a `BlockInverse`.

    The spectrum joins the eigenvalues of all blocks. Each eigenvalue problem has the smaller size:
    (n_rows, n_rows) or (size, size).
    """

    def __init__(self, inverse: BlockInverse, scores: CurvatureRows) -> None:
        self._inverse = inverse
        self._scores = scores
        self._downdates = []  # inverses, eigenvalues m and scaled eigenvectors U of each stack
        quadratic_forms = []
        layout = inverse.layout
        for P, (are_rows, B) in zip(inverse.stacks, rows_or_grams(scores, layout), strict=True):
            if are_rows:
                basis = P @ B
                M = B.transpose(0, 2, 1) @ basis
                quadratic_forms.append(np.einsum("jii->ij", M).copy())
            else:
                basis = cholesky(P, inverse.ridge)
                M = basis.transpose(0, 2, 1) @ B @ basis
            m = _rotate_to_eigenvectors(M, basis)
            if not are_rows:
                basis *= np.sqrt(np.maximum(m, 0.0))[:, np.newaxis, :]
            self._downdates.append((P, m, basis))
        self.spectrum = np.concatenate([m.ravel() for _, m, _ in self._downdates])
        if len(quadratic_forms) == len(layout) and is_by_output(scores, layout):
            self.leverage = _leverage(scores.collect(), quadratic_forms)
        else:
            self.leverage = inverse.leverage(scores)
        self._forget_diagonal = scores.diagonal()

    @property
    def max_leverage(self) -> float:
        """Largest leverage of a sample within one block."""
        return self._inverse.largest_block_leverage(self._scores)

    def solve(self, v: NDArray, *, damped: bool = False) -> NDArray:
        products = []
        vectors = split(v, self._inverse.layout)
        for (P, m, U), vector in zip(self._downdates, vectors, strict=True):
            column = vector[..., np.newaxis]
            factor = downdate_factor(m, damped=damped)[..., np.newaxis]
            products.append((P @ column + U @ (factor * (U.transpose(0, 2, 1) @ column))).ravel())
        return np.concatenate(products)

    def inverse(self) -> BlockInverse:
        old = self._inverse
        stacks = [_add_outer(P, U, np.sqrt(downdate_factor(m))) for P, m, U in self._downdates]
        return BlockInverse(stacks, old.ridge, old.diagonal - self._forget_diagonal, old.inversion)


def _leverage(scores: Scores, quadratic_forms: Sequence[NDArray]) -> NDArray:
    """Leverage of each sample, (n_samples,), if each block has the parameters of one output j.

    ``quadratic_forms`` has ``r^T P_j r``, (n_samples, n_outputs), for each layer, with the row r
    that replaces the c rows of a sample, see `Scores.by_output`.
    """
    blocks: Any = 0.0
    for layer, quadratic_form in zip(scores.layers, quadratic_forms, strict=True):
        lengths = layer.lengths[:, np.newaxis]
        zeros = np.zeros_like(layer.deltas)
        shares = np.divide(layer.deltas, lengths, out=zeros, where=lengths > 0)
        blocks = blocks + (shares * quadratic_form[:, np.newaxis]) @ shares.transpose(0, 2, 1)
    return largest_eigenvalues(blocks)


def _forms(P: NDArray, B: NDArray, c: int) -> NDArray:
    """Leverage of each sample within each block, for c rows a sample.

    Shapes: P (n_blocks, size, size), B (n_blocks, size, n_samples * c).
    """
    n_blocks, size, n_rows = B.shape
    shape = (n_blocks, size, n_rows // c, c)
    blocks = np.einsum("bsic,bsid->bicd", (P @ B).reshape(shape), B.reshape(shape))
    return largest_eigenvalues(blocks.reshape(-1, c, c))


def _largest_trace(blocks: NDArray) -> float:
    """Largest trace of blocks (n_blocks, m, m)."""
    return float(np.einsum("bii->b", blocks).max(initial=0.0))


def _rotate_to_eigenvectors(M: NDArray, basis: NDArray) -> NDArray:
    """Multiply ``basis`` by the eigenvectors of M in place, and return the eigenvalues.

    Shapes: basis (n_blocks, size, m), M (n_blocks, m, m), eigenvalues (n_blocks, m).
    """
    m = np.empty(M.shape[:2])

    def rotate(some: slice) -> None:
        m[some], V = np.linalg.eigh(M[some])
        basis[some] = basis[some] @ V

    each_some(rotate, len(M), M.shape[1] ** 3)
    return m


def _add_outer(P: NDArray, U: NDArray, scale: NDArray) -> NDArray:
    """Compute ``P + U diag(scale^2) U^T`` for each block, exactly symmetric."""
    out = np.empty_like(P)

    def add(some: slice) -> None:
        half = U[some] * scale[some, np.newaxis]
        np.add(P[some], outer(half), out=out[some])

    each_some(add, len(P), P.shape[1] ** 2 * U.shape[2])
    return out


def _inverted(stack: NDArray) -> NDArray:
    """Invert positive definite blocks, (n_blocks, size, size), scaled to unit diagonal."""
    scale = np.einsum("bii->bi", stack) ** -0.5
    out = invert_blocks(stack * scale[:, np.newaxis, :] * scale[:, :, np.newaxis], scale)
    if out is None:
        raise not_positive_definite(np.einsum("bii->bi", stack))
    return out


def _diagonals(stack: Array, kernels: Kernels) -> NDArray:
    """Diagonals of blocks (n_blocks, size, size), as a NumPy array (n_blocks, size)."""
    index = range(stack.shape[1])
    return np.array(kernels.to_numpy(stack[:, index, index]))


def _invert(stack: Array, diagonal: NDArray, kernels: Kernels) -> Any:
    """Invert blocks after ``diagonal``, (n_blocks, size), replaces their diagonals.

    The blocks are scaled to unit diagonal for the inversion. None if one of them is not positive
    definite.
    """
    index = range(stack.shape[1])
    stack[:, index, index] = kernels.asarray(diagonal)
    scale = kernels.asarray(1.0 / np.sqrt(diagonal))
    stack *= scale[:, :, None]
    stack *= scale[:, None, :]
    P = kernels.invert_blocks(stack, scale)
    return None if P is None else kernels.to_numpy(P)


def _recurrence(
    scores: CurvatureRows, layout: Layout, ridge: NDArray, diagonal: NDArray, kernels: Kernels
) -> list[NDArray]:
    """Invert each block by the recurrence row by row, all blocks in parallel."""
    start = starting_ridge(ridge, diagonal)
    stacks = [
        kernels.asarray(np.eye(ridges.shape[1]) / ridges[:, np.newaxis, :])
        for ridges in split(start, layout)
    ]
    for chunk in scores.chunks():
        columns = split(kernels.to_numpy(chunk.to_dense()).T, layout)
        for stack, B in zip(stacks, columns, strict=True):
            rows = kernels.asarray(np.ascontiguousarray(B.transpose(0, 2, 1)))
            kernels.rank1_update_blocks(stack, rows)
    stacks = [kernels.to_numpy(stack) for stack in stacks]
    for stack, surplus in zip(stacks, split(start - ridge, layout), strict=True):
        for block, amount in zip(stack, surplus, strict=True):
            block[:] = remove_diagonal(block, amount, ridge)
    return stacks
