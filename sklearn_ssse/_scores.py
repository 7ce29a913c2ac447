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

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sklearn_ssse._chunks import chunk_sum, slices


class Layer(NamedTuple):
    """Factors of the curvature rows on one layer."""

    inputs: np.ndarray  # (n_samples, n_inputs), float64, dense or CSR
    deltas: np.ndarray  # (n_samples, c, n_outputs), float64
    bias: bool

    @property
    def n_inputs(self):
        return self.inputs.shape[1]

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
        self.n_parameters = sum(np.prod(layer.shape) for layer in self.layers)

    def chunks(self):
        yield self

    def collect(self):
        return self

    def to_dense(self):
        """The rows themselves, (n_rows, d). For few rows only."""
        blocks = []
        for layer in self.layers:
            a, delta, bias = layer
            a = a.toarray() if sparse.issparse(a) else a
            block = np.empty((*delta.shape, a.shape[1] + bias))
            np.multiply(
                delta[..., np.newaxis],
                a[:, np.newaxis, np.newaxis, :],
                out=block[..., : a.shape[1]],
            )
            if bias:
                block[..., -1] = delta
            blocks.append(block.reshape(self.n_rows, np.prod(layer.shape)))
        return blocks[0] if len(blocks) == 1 else np.hstack(blocks)

    def matvec(self, V):
        """``R @ V`` for V of shape (d, m): (n_rows, m)."""
        m = V.shape[1]
        out = np.zeros((self.n_samples, self.rows_per_sample, m))
        start = 0
        for layer in self.layers:
            a, delta, bias = layer
            n_outputs, width = layer.shape
            W = V[start : start + n_outputs * width].reshape(n_outputs, width, m)
            start += n_outputs * width
            Z = a @ W[:, : a.shape[1]].transpose(1, 0, 2).reshape(a.shape[1], n_outputs * m)
            Z = np.asarray(Z).reshape(self.n_samples, n_outputs, m)
            out += delta @ (Z + W[:, -1] if bias else Z)
        return out.reshape(self.n_rows, m)

    def rmatvec(self, U):
        """``R.T @ U`` for U of shape (n_rows, m): (d, m)."""
        m = U.shape[1]
        U = U.reshape(self.n_samples, self.rows_per_sample, m)
        out = []
        for layer in self.layers:
            a, delta, bias = layer
            n_outputs, width = layer.shape
            T = delta.transpose(0, 2, 1) @ U
            block = np.empty((n_outputs, width, m))
            flat = np.asarray(a.T @ T.reshape(self.n_samples, n_outputs * m))
            block[:, : a.shape[1]] = flat.reshape(a.shape[1], n_outputs, m).transpose(1, 0, 2)
            if bias:
                block[:, -1] = T.sum(axis=0)
            out.append(block.reshape(n_outputs * width, m))
        return out[0] if len(out) == 1 else np.vstack(out)

    def sum(self):
        """Sum of all rows, (d,)."""
        return self.rmatvec(np.ones((self.n_rows, 1)))[:, 0]

    def diagonal(self):
        """Diagonal of ``R^T R``, (d,)."""
        out = []
        for layer in self.layers:
            a, delta, bias = layer
            squares = np.einsum("icj,icj->ij", delta, delta)
            block = np.empty(layer.shape)
            a2 = a.multiply(a).tocsr() if sparse.issparse(a) else np.square(a)
            block[:, : a.shape[1]] = np.asarray(a2.T @ squares).T
            if bias:
                block[:, -1] = squares.sum(axis=0)
            out.append(block.ravel())
        return np.concatenate(out)

    def gram(self):
        """``R^T R``, (d, d)."""
        if len(self.layers) == 1:
            return _layer_gram(self.layers[0])
        R = self.to_dense()
        return R.T @ R


class ScoreStream:
    """Curvature rows of a whole data set, made anew chunk by chunk each time they are read.

    Parameters
    ----------
    batch : object with ``layers(rows, curvature)``, ``n_samples``, ``n_parameters``, ``chunk_size``
        The data set and the model's forward pass on it.

    curvature : str
        Key of ``CURVATURES``.
    """

    def __init__(self, batch, curvature):
        self.batch = batch
        self.curvature = curvature
        self.n_samples = batch.n_samples
        self.n_parameters = batch.n_parameters
        self.rows_per_sample = batch.rows_per_sample(curvature)
        self.n_rows = self.n_samples * self.rows_per_sample

    def chunks(self):
        for rows in slices(self.n_samples, self.batch.chunk_size):
            yield Scores(self.batch.layers(rows, self.curvature))

    def collect(self):
        """The same rows as one `Scores` in memory."""
        return Scores(self.batch.layers(slice(None), self.curvature))

    def to_dense(self):
        return self.collect().to_dense()

    def matvec(self, V):
        return np.concatenate([chunk.matvec(V) for chunk in self.chunks()])

    def sum(self):
        return self._reduce(Scores.sum)

    def diagonal(self):
        return self._reduce(Scores.diagonal)

    def gram(self):
        return self._reduce(Scores.gram)

    def _reduce(self, method):
        def function(rows):
            return method(Scores(self.batch.layers(rows, self.curvature)))

        return chunk_sum(function, self.n_samples, self.batch.chunk_size)


def _layer_gram(layer):
    """``R^T R`` on one layer from weighted Gram matrices of its inputs, one for each pair of outputs."""
    a, delta, bias = layer
    n_outputs, width = layer.shape
    if n_outputs == 1:
        rows = delta[:, 0] if delta.shape[1] == 1 else np.linalg.norm(delta, axis=1)
        return _scaled_gram(a, rows, bias)
    weights = delta.transpose(0, 2, 1) @ delta
    out = np.empty((n_outputs, width, n_outputs, width))
    for j in range(n_outputs):
        for k in range(j + 1):
            block = _weighted_gram(a, weights[:, j, k, np.newaxis], bias)
            out[j, :, k] = block
            out[k, :, j] = block
    return out.reshape(n_outputs * width, -1)


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
    """``[a, 1]^T diag(weight) [a, 1]`` for weights of either sign, shape (n_samples, 1)."""
    p = a.shape[1]
    out = np.empty((p + bias, p + bias))
    if sparse.issparse(a):
        weighted = a.multiply(weight).tocsr()
        out[:p, :p] = (a.T @ weighted).toarray()
    else:
        weighted = a * weight
        out[:p, :p] = a.T @ weighted
    if bias:
        out[p, :p] = out[:p, p] = np.asarray(weighted.sum(axis=0)).ravel()
        out[p, p] = weight.sum()
    return out
