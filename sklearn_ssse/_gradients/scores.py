"""Per-sample curvature rows in factored form.

Conventions
-----------
Parameters of a layer form a matrix (n_outputs, n_inputs + 1), intercept last (n_inputs columns where there is no
intercept), in C order; layers follow each other. ``d`` is their number.

A sample has ``c`` curvature rows (1 for the empirical Fisher information). On a layer with inputs ``a_i`` and deltas
``delta_ij``, row j of sample i is ``outer(delta_ij, [a_i, 1]).ravel()``. Only ``a`` and ``delta`` are held, never the matrix
R of shape (n_samples * c, d), whose rows are ordered by sample, then by j.

Sums, not means: ``gram`` is ``R^T R``. A sample weight w enters a row as ``sqrt(w)``, so weight 2 is the row twice.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sklearn_ssse._kernels import grams
from sklearn_ssse._utils.chunks import add_up, slices
from sklearn_ssse._utils.compat import device, namespace

# Numbers in rows of several layers that are made explicit at a time.
DENSE_SIZE = 2**22


class Layer(NamedTuple):
    """Factors of the curvature rows on one layer, in NumPy or on a device of torch."""

    inputs: np.ndarray  # (n_samples, n_inputs), float64, dense or CSR
    deltas: np.ndarray  # (n_samples, c, n_outputs), float64
    bias: bool
    simplex: bool = False  # whether the deltas of every row sum to zero over the outputs

    @property
    def n_inputs(self):
        return self.inputs.shape[1]

    @property
    def lengths(self):
        """Norms of the deltas of each sample on each output, (n_samples, n_outputs)."""
        return (self.deltas**2).sum(axis=1) ** 0.5

    @property
    def shape(self):
        """Shape of the layer's parameter matrix."""
        return self.deltas.shape[2], self.n_inputs + self.bias


class Scores:
    """Curvature rows of a batch of samples, held in memory as factors.

    Parameters
    ----------
    layers : sequence of Layer
    """

    def __init__(self, layers):
        self.layers = tuple(layers)
        self.n_samples, self.rows_per_sample, _ = self.layers[0].deltas.shape
        self.n_rows = self.n_samples * self.rows_per_sample
        self.shapes = [layer.shape for layer in self.layers]
        self.n_parameters = sum(n_outputs * width for n_outputs, width in self.shapes)

    @property
    def xp(self):
        """Where the factors are: the array API of NumPy, or of torch."""
        return namespace(self.layers[0].deltas)

    def like(self, array):
        """An array where the factors are; itself if it is there."""
        deltas = self.layers[0].deltas
        return self.xp.asarray(array, device=device(deltas))

    def chunks(self):
        yield self

    def collect(self):
        return self

    def scaled(self, factors):
        """The rows of each sample times a number, (n_samples,)."""
        layers = self.layers
        return Scores(
            [
                layer._replace(deltas=layer.deltas * factors[:, np.newaxis, np.newaxis])
                for layer in layers
            ]
        )

    def to_dense(self):
        """The rows themselves, (n_rows, d). For few rows only."""
        blocks = []
        for layer in self.layers:
            a, delta, bias, _ = layer
            rows = (
                delta[..., np.newaxis]
                * _columns(a, bias, slice(0, layer.shape[1]))[:, np.newaxis, np.newaxis, :]
            )
            blocks.append(rows.reshape(self.n_rows, math.prod(layer.shape)))
        return blocks[0] if len(blocks) == 1 else self.xp.concat(blocks, axis=1)

    def matvec(self, V):
        """``R @ V`` for V of shape (d, m): (n_rows, m)."""
        m, xp = V.shape[1], self.xp
        out, start = [], 0
        for layer in self.layers:
            a, delta, bias, _ = layer
            n_outputs, width = layer.shape
            W = V[start : start + n_outputs * width].reshape(n_outputs, width, m)
            start += n_outputs * width
            Z = a @ xp.permute_dims(W[:, : a.shape[1]], (1, 0, 2)).reshape(
                a.shape[1], n_outputs * m
            )
            Z = Z.reshape(self.n_samples, n_outputs, m)
            out.append(delta @ (Z + W[:, -1] if bias else Z))
        return add_up(out).reshape(self.n_rows, m)

    def rmatvec(self, U):
        """``R.T @ U`` for U of shape (n_rows, m): (d, m)."""
        m, xp = U.shape[1], self.xp
        U = U.reshape(self.n_samples, self.rows_per_sample, m)
        out = []
        for layer in self.layers:
            a, delta, bias, _ = layer
            n_outputs, width = layer.shape
            T = xp.permute_dims(delta, (0, 2, 1)) @ U
            flat = a.T @ T.reshape(self.n_samples, n_outputs * m)
            block = xp.permute_dims(flat.reshape(a.shape[1], n_outputs, m), (1, 0, 2))
            if bias:
                block = xp.concat([block, T.sum(axis=0)[:, np.newaxis, :]], axis=1)
            out.append(block.reshape(n_outputs * width, m))
        return out[0] if len(out) == 1 else xp.concat(out, axis=0)

    def sum(self):
        """Sum of all rows, (d,)."""
        return self.rmatvec(self.xp.ones_like(self.layers[0].deltas[:, :, :1]).reshape(-1, 1))[:, 0]

    def diagonal(self):
        """Diagonal of ``R^T R``, (d,)."""
        out, xp = [], self.xp
        for a, delta, bias, _ in self.layers:
            squares = (delta * delta).sum(axis=1)
            block = (a.multiply(a).tocsr() if sparse.issparse(a) else a * a).T @ squares
            if bias:
                block = xp.concat([block, squares.sum(axis=0)[np.newaxis, :]], axis=0)
            out.append(block.T.reshape(-1))
        return xp.concat(out)

    def block_rows(self, start, stop):
        """Rows over the parameters start to stop whose Gram matrix is that block of ``R^T R``, (m, stop - start).

        On the parameters of a single output the c rows of a sample are proportional: one row stands for them.
        """
        parts, offset = [], 0
        for layer in self.layers:
            a, delta, bias, _ = layer
            n_outputs, width = layer.shape
            for j in range(
                max(0, (start - offset) // width), min(n_outputs, -((offset - stop) // width))
            ):
                unit = offset + j * width
                columns = slice(max(start - unit, 0), min(stop - unit, width))
                parts.append((delta[:, :, j], _columns(a, bias, columns)))
            offset += n_outputs * width
        if len(parts) == 1:
            ((deltas, columns),) = parts
            return columns * (
                deltas
                if deltas.shape[1] == 1
                else (deltas * deltas).sum(axis=1)[:, np.newaxis] ** 0.5
            )
        rows = [deltas[:, :, np.newaxis] * columns[:, np.newaxis, :] for deltas, columns in parts]
        return self.xp.concat(rows, axis=2).reshape(self.n_rows, stop - start)

    def by_output(self):
        """Rows over the parameters of each output by itself, where one stands for the c of a sample: inputs times a length.

        Inputs (n_samples, width), with ones, and lengths (n_samples, n_outputs) for each layer.
        """
        return [
            (_columns(layer.inputs, layer.bias, slice(0, layer.shape[1])), layer.lengths)
            for layer in self.layers
        ]

    def add_unit_grams(self, out, kernels=grams):
        """Add to ``out`` the blocks of ``R^T R`` that belong to one output each, (n_outputs, width, width) for each layer."""
        for total, layer in zip(out, self.layers, strict=True):
            kernels.add_unit_grams(total, layer.inputs, layer.deltas, layer.bias)

    def gram(self, kernels=grams):
        """``R^T R``, (d, d), as an array of the kernels."""
        if len(self.layers) == 1:
            return kernels.layer_gram(*self.layers[0])
        return add_up(kernels.product(piece.to_dense()) for piece in self.pieces())

    def pieces(self, numbers=None):
        """The same rows in parts that can be made dense, or that need so many numbers for a sample."""
        step = max(1, DENSE_SIZE // (numbers or self.n_parameters * self.rows_per_sample))
        if self.n_samples <= step:
            yield self
            return
        for rows in slices(self.n_samples, step):
            yield Scores(
                [
                    layer._replace(inputs=layer.inputs[rows], deltas=layer.deltas[rows])
                    for layer in self.layers
                ]
            )


def _columns(a, bias, columns):
    """Some columns of ``[a, 1]``, dense."""
    p = a.shape[1]
    part = a[:, columns.start : min(columns.stop, p)]
    part = part.toarray() if sparse.issparse(part) else part
    if not bias or columns.stop <= p:
        return part
    xp = namespace(part)
    return xp.concat(
        [part, xp.ones((part.shape[0], 1), dtype=part.dtype, device=device(part))], axis=1
    )
