"""Curvature rows of a whole data set, made anew chunk by chunk each time they are read."""

import numpy as np
from scipy import sparse

from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._kernels import grams
from sklearn_ssse._utils.chunks import add_up, slices


class ScoreStream:
    """Curvature rows of a whole data set, made anew chunk by chunk each time they are read.

    Parameters
    ----------
    batch : Batch
        The data set and the model's forward pass on it.
    curvature : str
        Key of ``CURVATURES``.
    """

    def __init__(self, batch, curvature):
        self.batch = batch
        self.curvature = curvature
        self.shapes = batch.shapes
        self.n_samples = batch.n_samples
        self.n_parameters = sum(n_outputs * width for n_outputs, width in self.shapes)
        self.rows_per_sample = batch.rows_per_sample(curvature)
        self.n_rows = self.n_samples * self.rows_per_sample

    def chunks(self):
        for rows in self.batch.progress.each(slices(self.n_samples, self.batch.chunk_size), "rows"):
            yield Scores(self.batch.layers(rows, self.curvature))

    def collect(self):
        """The same rows as one `Scores` in memory."""
        return Scores(self.batch.layers(slice(None), self.curvature))

    def to_dense(self):
        return self.collect().to_dense()

    def matvec(self, V):
        return np.concatenate([chunk.matvec(V) for chunk in self.chunks()])

    def sum(self):
        return add_up(chunk.sum() for chunk in self.chunks())

    def diagonal(self):
        return add_up(chunk.diagonal() for chunk in self.chunks())

    def gram(self, kernels=grams):
        return add_up(chunk.gram(kernels) for chunk in self.chunks())


class SignedStream(ScoreStream):
    """Mini-batch curvature: one row for each random batch of b samples, ``sum_i sigma_i r_i`` with random signs.

    The signs make ``sum r r^T`` unbiased for that of the single rows, whatever mean these share. A batch cannot be un-mixed: its
    samples do not leave it again.

    Parameters
    ----------
    batch, curvature
        See `ScoreStream`.
    batch_size : int
        b.
    seed : int
        Of the batches and the signs.
    """

    def __init__(self, batch, curvature, batch_size, seed=0):
        super().__init__(batch, curvature)
        self.batch_size = batch_size
        self.seed = seed
        self.n_samples = -(-batch.n_samples // batch_size)
        self.n_rows = self.n_samples * self.rows_per_sample

    def chunks(self):
        rng = np.random.default_rng(self.seed)
        n, b, c = self.batch.n_samples, self.batch_size, self.rows_per_sample
        order = rng.permutation(n)
        whole = n - n % b
        step = max(1, self.batch.chunk_size // b) * b
        parts = [*slices(whole, step), *([slice(whole, n)] if n > whole else [])]
        for rows in self.batch.progress.each(parts, "rows"):
            index = order[rows]
            size = min(b, index.size)
            layers = self.batch.take(index).layers(slice(None), self.curvature)
            signs = rng.choice([-1.0, 1.0], (index.size, c, 1))
            mixed = np.hstack([_mix(layer, signs, size) for layer in layers])
            yield Scores([Layer(mixed, np.ones((len(mixed), 1, 1)), False)])


def _mix(layer, signs, size):
    """Signed sums over consecutive batches of the rows of a layer, (n_batches * c, parameters of the layer)."""
    a, delta, bias, _ = layer
    n_outputs, width = layer.shape
    a = a.toarray() if sparse.issparse(a) else a
    a = np.hstack([a, np.ones((len(a), 1))]) if bias else a
    delta = (delta * signs).reshape(-1, size, delta.shape[1], n_outputs).transpose(0, 2, 3, 1)
    return (delta @ a.reshape(-1, 1, size, width)).reshape(-1, n_outputs * width)
