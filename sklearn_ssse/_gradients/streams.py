"""Curvature rows of a whole data set, computed chunk by chunk each time they are read."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._kernels import Array, Kernels, grams
from sklearn_ssse._utils.chunks import add_up, slices


class ScoreStream:
    """Curvature rows of a whole data set, computed chunk by chunk each time they are read.

    Parameters
    ----------
    batch : Batch
        The data set and the model's forward pass on it.
    curvature : str
        Key of ``CURVATURES``.

    Attributes
    ----------
    n_samples, rows_per_sample, n_rows, shapes, n_parameters
        See `Scores`.
    """

    def __init__(self, batch: Any, curvature: str) -> None:
        self.batch = batch
        self.curvature = curvature
        self.shapes = batch.shapes
        self.n_samples = batch.n_samples
        self.n_parameters = sum(n_outputs * width for n_outputs, width in self.shapes)
        self.rows_per_sample = batch.rows_per_sample(curvature)
        self.n_rows = self.n_samples * self.rows_per_sample

    def chunks(self) -> Iterator[Scores]:
        """Yield the rows in chunks of samples."""
        for rows in self.batch.progress.each(slices(self.n_samples, self.batch.chunk_size), "rows"):
            yield Scores(self.batch.layers(rows, self.curvature))

    def collect(self) -> Scores:
        """Return the rows as one `Scores` in memory."""
        return Scores(self.batch.layers(slice(None), self.curvature))

    def to_dense(self) -> Array:
        """See `Scores.to_dense`."""
        return self.collect().to_dense()

    def diagonal(self) -> Array:
        """See `Scores.diagonal`."""
        return add_up(chunk.diagonal() for chunk in self.chunks())

    def gram(self, kernels: Kernels = grams) -> Array:
        """See `Scores.gram`."""
        return add_up(chunk.gram(kernels) for chunk in self.chunks())

    def keeping_gram(self) -> "GramStream":
        """The same rows, whose Gram matrix is kept once it is computed."""
        return GramStream(self.batch, self.curvature)


class GramStream(ScoreStream):
    """Curvature rows of a whole data set; the Gram matrix is computed once."""

    _kept: NDArray | None = None

    def gram(self, kernels: Kernels = grams) -> Array:
        """See `Scores.gram`; a new array at each call."""
        if self._kept is not None:
            return kernels.asarray(np.array(self._kept))
        out = super().gram(kernels)
        self._kept = np.array(kernels.to_numpy(out))
        return out

    def kept_gram(self) -> NDArray:
        """The Gram matrix as a NumPy array, not to be changed."""
        return super().gram() if self._kept is None else self._kept


class SignedStream(ScoreStream):
    """Curvature rows summed over mini-batches, with random signs.

    Each random mini-batch of b samples gives one row ``sum_i sigma_i r_i`` (c rows if a sample has
    c), with signs sigma_i = 1 or -1. Because of the signs, the expectation of ``sum r r^T`` over
    the mini-batches is the sum over the samples, even if the rows have a nonzero mean. The rows of
    one sample cannot be recovered from the row of its mini-batch, so they cannot be downdated.

    Parameters
    ----------
    batch, curvature
        See `ScoreStream`.
    batch_size : int
        b, the number of samples in a mini-batch.
    seed : int, default=0
        Seed of the mini-batches and the signs.
    """

    def __init__(self, batch: Any, curvature: str, batch_size: int, seed: int = 0) -> None:
        super().__init__(batch, curvature)
        self.batch_size = batch_size
        self.seed = seed
        self.n_samples = -(-batch.n_samples // batch_size)
        self.n_rows = self.n_samples * self.rows_per_sample

    def chunks(self) -> Iterator[Scores]:
        """Yield the rows of the mini-batches in chunks, each row as one explicit vector."""
        rng = np.random.default_rng(self.seed)
        n = self.batch.n_samples
        b = self.batch_size
        order = rng.permutation(n)
        whole = n - n % b  # samples in full mini-batches; the rest is one smaller mini-batch
        step = max(1, self.batch.chunk_size // b) * b
        chunks = [*slices(whole, step), *([slice(whole, n)] if n > whole else [])]
        for rows in self.batch.progress.each(chunks, "rows"):
            index = order[rows]
            layers = self.batch.take(index).layers(slice(None), self.curvature)
            signs = rng.choice([-1.0, 1.0], (index.size, self.rows_per_sample, 1))
            sums = np.hstack([_signed_sums(layer, signs, min(b, index.size)) for layer in layers])
            yield Scores.explicit(sums)


# Curvature rows in memory or as a stream.
CurvatureRows: TypeAlias = Scores | ScoreStream


def _signed_sums(layer: Layer, signs: NDArray, size: int) -> NDArray:
    """Signed sums of a layer's rows over consecutive mini-batches of ``size`` samples.

    Shape (n_batches * c, parameters of the layer).
    """
    a, delta, bias, _ = layer
    n_outputs, width = layer.shape
    a = a.toarray() if sparse.issparse(a) else a
    a = np.hstack([a, np.ones((len(a), 1))]) if bias else a
    delta = (delta * signs).reshape(-1, size, delta.shape[1], n_outputs).transpose(0, 2, 3, 1)
    return (delta @ a.reshape(-1, 1, size, width)).reshape(-1, n_outputs * width)
