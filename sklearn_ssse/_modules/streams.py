"""Curvature rows of a torch module, computed chunk by chunk."""

import numpy as np
import torch

from sklearn_ssse._gradients import CURVATURES, Scores
from sklearn_ssse._modules.rows import gradient_rows
from sklearn_ssse._utils.chunks import add_up, slices

# Elements of the gradient rows that are computed at a time: 256 MB in float32.
CHUNK_ELEMENTS = 2**26
# Largest number of samples in a chunk: a limit of the memory of the activations.
CHUNK_SAMPLES = 256


class ModuleStream:
    """Curvature rows of a data set, with the interface of `ScoreStream`.

    Each row is one explicit vector in the precision of the module. Rows that fit into one chunk are
    computed once and stay in memory; others are computed each time they are read. With
    ``batch_size`` b > 1, a row is the sum over a random mini-batch of b samples with random signs,
    see `SignedStream`; the last mini-batch may be smaller.

    Parameters
    ----------
    batch : ModuleBatch
    curvature : str
        Key of ``CURVATURES``.
    batch_size : int, default=1
    seed : int, default=0
        Seed of the mini-batches and the signs.

    Attributes
    ----------
    n_samples, n_rows : int
        The number of rows. Each row of a sample counts as a sample of its own.
    rows_per_sample : int
        1.
    shapes, n_parameters
        See `Scores`.
    """

    rows_per_sample = 1

    def __init__(self, batch, curvature, batch_size=1, seed=0):
        self.batch = batch
        self.curvature = curvature
        self.batch_size = batch_size
        self.seed = seed
        self.shapes = batch.shapes
        self.n_parameters = batch.n_parameters
        per_group = CURVATURES[curvature].rows_per_sample(batch.family.n_outputs)
        self.n_samples = -(-batch.n_samples // batch_size) * per_group
        self.n_rows = self.n_samples
        self._in_memory = None

    @property
    def members(self):
        """Positions of the samples of each mini-batch, in the order of the rows."""
        order = np.arange(self.batch.n_samples)
        if self.batch_size > 1:
            order = np.random.default_rng(self.seed).permutation(self.batch.n_samples)
        return [order[rows] for rows in slices(len(order), self.batch_size)]

    def chunks(self):
        """Yield the rows in chunks, as `Scores` of one layer with explicit rows."""
        if self._in_memory is None and self.n_rows * self.n_parameters <= CHUNK_ELEMENTS:
            self._in_memory = list(self._computed_chunks())
        yield from self._computed_chunks() if self._in_memory is None else self._in_memory

    def _computed_chunks(self):
        """Compute the rows and yield them in chunks."""
        b = self.batch_size
        n = self.batch.n_samples
        signs = np.random.default_rng((self.seed, 1))  # another stream than the mini-batches'
        order = np.concatenate([*self.members, np.zeros(0, dtype=np.int64)])
        whole = n - n % b
        per_group = max(self.n_rows // max(-(-n // b), 1), 1)
        n_groups = max(1, CHUNK_ELEMENTS // (self.n_parameters * per_group))
        step = b * max(1, min(n_groups, CHUNK_SAMPLES // b))
        chunks = [*slices(whole, step), *([slice(whole, n)] if n > whole else [])]
        for rows in self.batch.progress.each(chunks, "rows"):
            index = order[rows]
            yield Scores.explicit(self._rows(self.batch.take(index), min(b, len(index)), signs))

    def _rows(self, batch, size, rng):
        """The rows of consecutive groups of ``size`` samples, (m, d)."""
        seeds = batch.seeds(self.curvature)
        if self.batch_size > 1:
            seeds = seeds * rng.choice([-1.0, 1.0], (*seeds.shape[:2], 1))
        family = batch.family
        X = family.tensor(batch.X)
        found = gradient_rows(
            family.outputs,
            family.at(family.theta),
            family.layout,
            X,
            torch.from_numpy(seeds),
            size,
        )
        return found.cpu().numpy()

    def collect(self):
        """Return the rows as one `Scores` in memory."""
        parts = [chunk.to_dense() for chunk in self.chunks()]
        empty = np.zeros((0, self.n_parameters))
        return Scores.explicit(np.concatenate(parts) if parts else empty)

    def to_dense(self):
        """See `Scores.to_dense`."""
        return self.collect().to_dense()

    def diagonal(self):
        """See `Scores.diagonal`, in float64."""
        if not self.n_rows:
            return np.zeros(self.n_parameters)
        squares = (np.square(chunk.to_dense(), dtype=np.float64) for chunk in self.chunks())
        return add_up(part.sum(axis=0) for part in squares)

    def gram(self, *kernels):
        """See `Scores.gram`, in float64."""
        return add_up(_in_float64(chunk).gram(*kernels) for chunk in self.chunks())


def _in_float64(scores):
    """The rows in float64, for sums over many of them."""
    (layer,) = scores.layers
    return Scores([layer._replace(inputs=layer.inputs.astype(np.float64, copy=False))])
