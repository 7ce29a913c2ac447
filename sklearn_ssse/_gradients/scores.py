"""Per-sample curvature rows in factored form.

Conventions
-----------
The parameters of a layer are a matrix (n_outputs, n_inputs + 1), intercept last, in C order;
without an intercept the matrix has n_inputs columns. Layers follow each other. ``d`` is the number
of all parameters.

A sample has ``c`` curvature rows (1 for the empirical Fisher information). On a layer with inputs
``a_i`` and deltas ``delta_ij``, row j of sample i is ``outer(delta_ij, [a_i, 1]).ravel()``. Only
``a`` and ``delta`` are stored, never the matrix R of shape (n_samples * c, d). The rows of R are
ordered by sample, then by j.

The curvature is a sum, not a mean: ``gram`` is ``R^T R``. A sample weight w multiplies the rows of
the sample by ``sqrt(w)``, so a weight of 2 is the same as the sample twice.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._kernels import Array, Inputs, Kernels, grams
from sklearn_ssse._utils.chunks import add_up, slices
from sklearn_ssse._utils.compat import device, namespace

# Elements of the explicit rows that are formed at a time.
DENSE_SIZE = 2**22


class Layer(NamedTuple):
    """Factors of the curvature rows on one layer, as NumPy arrays or tensors of torch.

    Attributes
    ----------
    inputs : array of shape (n_samples, n_inputs)
        float64, dense or CSR.
    deltas : array of shape (n_samples, c, n_outputs)
        float64: derivatives of the c rows by the outputs of the layer.
    bias : bool
        Whether the layer has an intercept.
    simplex : bool
        Whether the deltas of every row sum to zero over the outputs.
    """

    inputs: Inputs
    deltas: Array
    bias: bool
    simplex: bool = False

    @property
    def lengths(self) -> Array:
        """Norms of the deltas of each sample on each output, (n_samples, n_outputs)."""
        return (self.deltas**2).sum(axis=1) ** 0.5

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the layer's parameter matrix."""
        return self.deltas.shape[2], self.inputs.shape[1] + self.bias

    def take(self, samples: Any) -> "Layer":
        """Return the factors of some samples, given by indices or a slice."""
        return self._replace(inputs=self.inputs[samples], deltas=self.deltas[samples])


class Scores:
    """Curvature rows of a batch of samples, held in memory as factors.

    Parameters
    ----------
    layers : sequence of Layer
        Factors on each layer, for the same samples.

    Attributes
    ----------
    n_samples, rows_per_sample, n_rows : int
        Numbers of samples, of rows c per sample, and of all rows.
    shapes : list of (int, int)
        Shape of the parameter matrix of each layer.
    n_parameters : int
        d, the number of columns of R.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        self.n_samples, self.rows_per_sample, _ = self.layers[0].deltas.shape
        self.n_rows = self.n_samples * self.rows_per_sample
        self.shapes = [layer.shape for layer in self.layers]
        self.n_parameters = sum(n_outputs * width for n_outputs, width in self.shapes)

    @classmethod
    def explicit(cls, rows: NDArray) -> "Scores":
        """Make curvature rows from a matrix R of shape (m, d), each a sample of its own."""
        return cls([Layer(rows, np.ones((len(rows), 1, 1)), False)])

    @property
    def xp(self) -> Any:
        """Array namespace of the factors: NumPy's or torch's."""
        return namespace(self.layers[0].deltas)

    def like(self, array: Array) -> Array:
        """Move an array to the device of the factors; return it unchanged if it is there."""
        return self.xp.asarray(array, device=device(self.layers[0].deltas))

    def chunks(self) -> Iterator["Scores"]:
        """Yield the rows in chunks: these rows are in memory, so one chunk holds all of them."""
        yield self

    def collect(self) -> "Scores":
        """Return the rows as one `Scores` in memory: this object itself."""
        return self

    def scaled(self, factors: NDArray) -> "Scores":
        """Multiply the rows of each sample by its factor, (n_samples,)."""
        column = factors[:, np.newaxis, np.newaxis]
        return Scores([layer._replace(deltas=layer.deltas * column) for layer in self.layers])

    def output_squares(self) -> Array:
        """Squared norm of the rows of each sample at the outputs of the model, (n_samples,)."""
        deltas = self.layers[-1].deltas
        return (deltas * deltas).sum(axis=(1, 2))

    def to_dense(self) -> Array:
        """Form R explicitly, (n_rows, d). For few rows only."""
        blocks = []
        for a, delta, bias, _ in self.layers:
            columns = _columns(a, bias, slice(0, a.shape[1] + bias))
            rows = delta[..., np.newaxis] * columns[:, np.newaxis, np.newaxis, :]
            blocks.append(rows.reshape(self.n_rows, delta.shape[2] * columns.shape[1]))
        return blocks[0] if len(blocks) == 1 else self.xp.concat(blocks, axis=1)

    def matvec(self, V: Array) -> Array:
        """Compute ``R @ V`` for V of shape (d, m): (n_rows, m)."""
        m = V.shape[1]
        xp = self.xp
        products = []
        start = 0
        for layer in self.layers:
            a, delta, bias, _ = layer
            p = a.shape[1]
            n_outputs, width = layer.shape
            W = V[start : start + n_outputs * width].reshape(n_outputs, width, m)
            start += n_outputs * width
            Z = a @ xp.permute_dims(W[:, :p], (1, 0, 2)).reshape(p, n_outputs * m)
            Z = Z.reshape(self.n_samples, n_outputs, m)
            products.append(delta @ (Z + W[:, -1] if bias else Z))
        return add_up(products).reshape(self.n_rows, m)

    def rmatvec(self, U: Array) -> Array:
        """Compute ``R.T @ U`` for U of shape (n_rows, m): (d, m)."""
        m = U.shape[1]
        xp = self.xp
        U = U.reshape(self.n_samples, self.rows_per_sample, m)
        blocks = []
        for layer in self.layers:
            a, delta, bias, _ = layer
            n_outputs, width = layer.shape
            T = xp.permute_dims(delta, (0, 2, 1)) @ U
            flat = a.T @ T.reshape(self.n_samples, n_outputs * m)
            block = xp.permute_dims(flat.reshape(a.shape[1], n_outputs, m), (1, 0, 2))
            if bias:
                block = xp.concat([block, T.sum(axis=0)[:, np.newaxis, :]], axis=1)
            blocks.append(block.reshape(n_outputs * width, m))
        return blocks[0] if len(blocks) == 1 else xp.concat(blocks, axis=0)

    def diagonal(self) -> Array:
        """Diagonal of ``R^T R``, (d,); infinite or nan if it overflows."""
        xp = self.xp
        blocks = []
        with np.errstate(over="ignore", invalid="ignore"):
            for a, delta, bias, _ in self.layers:
                squares = (delta * delta).sum(axis=1)
                block = (a.multiply(a).tocsr() if sparse.issparse(a) else a * a).T @ squares
                if bias:
                    block = xp.concat([block, squares.sum(axis=0)[np.newaxis, :]], axis=0)
                blocks.append(block.T.reshape(-1))
        return xp.concat(blocks)

    def block_rows(self, start: int, stop: int) -> Array:
        """Form rows whose Gram matrix is a diagonal block of ``R^T R``.

        The block covers the parameters start to stop. If these belong to a single output, the c
        rows of a sample are proportional to each other, and one row replaces them.

        Returns
        -------
        rows : array of shape (n_samples or n_rows, stop - start)
        """
        factors = []
        offset = 0
        for a, delta, bias, _ in self.layers:
            n_outputs = delta.shape[2]
            width = a.shape[1] + bias
            first = max(0, (start - offset) // width)
            last = min(n_outputs, -((offset - stop) // width))
            for j in range(first, last):
                unit = offset + j * width
                columns = slice(max(start - unit, 0), min(stop - unit, width))
                factors.append((delta[:, :, j], _columns(a, bias, columns)))
            offset += n_outputs * width
        if len(factors) == 1:
            ((deltas, columns),) = factors
            if deltas.shape[1] == 1:
                return columns * deltas
            return columns * (deltas * deltas).sum(axis=1)[:, np.newaxis] ** 0.5
        rows = [deltas[:, :, np.newaxis] * columns[:, np.newaxis, :] for deltas, columns in factors]
        return self.xp.concat(rows, axis=2).reshape(self.n_rows, stop - start)

    def by_output(self) -> list[tuple[Array, Array]]:
        """Rows over the parameters of each output alone, as inputs and lengths per layer.

        On one output the c rows of a sample are proportional to each other: one row replaces them,
        the inputs times the length.

        Returns
        -------
        factors : list of (inputs, lengths)
            Dense inputs with the column of ones, (n_samples, width), and lengths
            (n_samples, n_outputs), for each layer.
        """
        return [
            (_columns(layer.inputs, layer.bias, slice(0, layer.shape[1])), layer.lengths)
            for layer in self.layers
        ]

    def add_unit_grams(self, out: Sequence[Array], kernels: Kernels = grams) -> None:
        """Add the blocks of ``R^T R`` that belong to one output each to ``out``.

        ``out`` has one array (n_outputs, width, width) for each layer.
        """
        for total, layer in zip(out, self.layers, strict=True):
            kernels.add_unit_grams(total, layer.inputs, layer.deltas, layer.bias)

    def gram(self, kernels: Kernels = grams) -> Array:
        """Compute ``R^T R``, (d, d), as an array of the kernels."""
        if len(self.layers) == 1:
            return kernels.layer_gram(*self.layers[0])
        return add_up(kernels.product(piece.to_dense()) for piece in self.pieces())

    def pieces(self, elements_per_sample: int | None = None) -> Iterator["Scores"]:
        """Yield the rows in pieces small enough to be made dense.

        Parameters
        ----------
        elements_per_sample : int, default=None
            Array elements that the caller needs for each sample; None for dense rows.
        """
        elements = elements_per_sample or self.n_parameters * self.rows_per_sample
        step = max(1, DENSE_SIZE // elements)
        if self.n_samples <= step:
            yield self
            return
        for samples in slices(self.n_samples, step):
            yield Scores([layer.take(samples) for layer in self.layers])


def _columns(a: Inputs, bias: bool, columns: slice) -> Array:
    """Columns of ``[a, 1]``, dense; of ``a`` if the layer has no bias."""
    p = a.shape[1]
    dense = a[:, columns.start : min(columns.stop, p)]
    dense = dense.toarray() if sparse.issparse(dense) else dense
    if not bias or columns.stop <= p:
        return dense
    xp = namespace(dense)
    ones = xp.ones((dense.shape[0], 1), dtype=dense.dtype, device=device(dense))
    return xp.concat([dense, ones], axis=1)
