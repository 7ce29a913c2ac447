"""Kernels for any device of torch, in float64: the same functions as `cpu`, as methods.

Arrays are moved to the device in ``asarray`` only, and back in ``to_numpy`` only. A CSR chunk is
made dense before it is moved.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._kernels.blas import UPDATE_ROWS
from sklearn_ssse._kernels.types import Array, Inputs
from sklearn_ssse._utils.chunks import slices
from sklearn_ssse.exceptions import ErasureError, MissingPackageError

try:
    import torch
except ImportError as error:
    raise MissingPackageError(
        "backend='torch' needs torch, which could not be imported. Install it: "
        "pip install 'sklearn-ssse[torch]'"
    ) from error

# Gram matrices that one matrix product computes. It needs one weighted copy of the chunk for each.
GRAMS_AT_ONCE = 8
# Largest block size for which one batched call inverts all blocks. Larger blocks are inverted one
# by one: each of them occupies the whole device.
BATCHED_SIZE = 512
# Rows of a block that `mirror_lower` copies at once.
MIRROR_ROWS = 1024

ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


class TorchKernels:
    """The functions of `cpu` as methods, bound to one device.

    Parameters
    ----------
    device : str, int, torch.device or None, default=None
        Device of torch; None for CUDA if there is a CUDA device, otherwise the CPU.

    Raises
    ------
    ErasureError
        If torch does not find the device, or the device does not compute in float64.
    """

    def __init__(self, device: Any = None) -> None:
        self.device = usable_device(device)
        self.chunk_bytes = 2**28 if self.device.type == "cuda" else 2**22

    def asarray(self, array: Array) -> Array:
        """Move an array to the device, as float64.

        On the CPU the tensor shares the memory of a writable C-contiguous array.
        """
        if isinstance(array, torch.Tensor):
            return array.to(device=self.device, dtype=torch.float64)
        return torch.as_tensor(np.require(array, np.float64, ["C", "W"]), device=self.device)

    def to_numpy(self, array: Array) -> NDArray:
        """Copy a tensor into a new C-contiguous NumPy array."""
        out = np.empty(tuple(array.shape))
        torch.from_numpy(out).copy_(torch.as_tensor(array))
        return out

    def activate(self, name: str, z: Array) -> Array:
        """See `cpu.activate`."""
        return ACTIVATIONS[name](z)

    def inputs(self, a: Inputs) -> Array:
        """See `cpu.inputs`; dense on the device."""
        return self.asarray(a.toarray() if sparse.issparse(a) else a)

    def add_unit_grams(self, out: Array, a: Inputs, delta: Array, bias: bool) -> None:
        """See `grams.add_unit_grams`."""
        x = self._columns(a, bias)
        squares = self.asarray(delta).square().sum(dim=1)
        for outputs, grams in weighted_grams(x, squares):
            out[outputs] += grams

    def layer_gram(self, a: Inputs, delta: Array, bias: bool, simplex: bool = False) -> Array:
        """See `grams.layer_gram`; ``simplex`` is ignored."""
        x = self._columns(a, bias)
        delta = self.asarray(delta)
        n_outputs = delta.shape[2]
        width = x.shape[1]
        if n_outputs == 1:
            rows = x * torch.linalg.vector_norm(delta, dim=1)
            return rows.mT @ rows
        j, k = torch.tril_indices(n_outputs, n_outputs, device=self.device)
        weights = (delta.mT @ delta)[:, j, k]
        out = x.new_empty(n_outputs, width, n_outputs, width)
        by_outputs = out.transpose(1, 2)
        for pairs, grams in weighted_grams(x, weights):
            by_outputs[j[pairs], k[pairs]] = grams
            by_outputs[k[pairs], j[pairs]] = grams.mT
        return out.view(n_outputs * width, -1)

    def product(self, R: Array) -> Array:
        """See `grams.product`."""
        R = self.asarray(R)
        return R.mT @ R

    def invert(self, A: Array, scale: Array) -> Array | None:
        """See `blas.invert`. The factor and the inverse overwrite A, to save device memory."""
        factor = A.mT
        info = torch.empty((), dtype=torch.int32, device=self.device)
        torch.linalg.cholesky_ex(factor, out=(factor, info))
        if info.item() != 0:
            return None
        P = torch.cholesky_inverse(factor, out=factor).mT
        P *= scale
        P *= scale[:, None]
        mirror_lower(P)
        return P

    def invert_blocks(self, A: Array, scale: Array) -> Array | None:
        """See `blas.invert_blocks`. The inverses of large blocks overwrite the blocks of A."""
        if A.shape[1] > BATCHED_SIZE:
            blocks = zip(A, scale, strict=True)
            return A if all(self.invert(*block) is not None for block in blocks) else None
        factor, info = torch.linalg.cholesky_ex(A)
        if info.any():
            return None
        half = torch.linalg.solve_triangular(factor, torch.diag_embed(scale), upper=False)
        P = half.mT @ half
        mirror_lower(P)
        return P

    def rank1_update(self, P: Array, R: Array) -> None:
        """See `rank1.rank1_update`; the upper triangle is overwritten too."""
        self.rank1_update_blocks(P[None], R[None])

    def rank1_update_blocks(self, P: Array, R: Array) -> None:
        """See `rank1.rank1_update_blocks`; the upper triangles are overwritten too."""
        mirror_lower(P)
        for row in range(R.shape[1]):
            g = R[:, row, :, None]
            v = P @ g
            P.baddbmm_(v / (1.0 + g.mT @ v), v.mT, alpha=-1.0)

    def rank_b_update(self, P: Array, R: Array) -> None:
        """See `blas.rank_b_update`."""
        for some in slices(len(R), UPDATE_ROWS):
            rows = R[some]
            K = rows @ P
            M = K @ rows.mT
            M.diagonal().add_(1.0)
            P.addmm_(K.mT, torch.linalg.solve(M, K), alpha=-1.0)

    def _columns(self, a: Inputs, bias: bool) -> Array:
        """Inputs of a chunk on the device, with a column of ones if the layer has a bias."""
        a = self.inputs(a)
        return torch.hstack([a, a.new_ones(len(a), 1)]) if bias else a


def usable_device(device: Any) -> torch.device:
    """Resolve a device of torch, and check that it exists and computes in float64.

    Raises
    ------
    ErasureError
        If torch does not find the device, or the device does not compute in float64.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.ones(1, device=found).item()
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        raise ErasureError(
            f"`device` must name a device that torch finds on this machine, got {device!r}. "
            "Pass 'cpu', or None for CUDA if there is a CUDA device."
        ) from error
    try:
        torch.ones(1, dtype=torch.float64, device=found).item()
    except (RuntimeError, TypeError) as error:
        raise ErasureError(
            "`device` must name a device that computes in float64, "
            f"got {device!r}, which does not. Pass 'cpu' or a CUDA device."
        ) from error
    return found


def weighted_grams(x: Array, weights: Array) -> Iterator[tuple[slice, Array]]:
    """Yield ``x^T diag(w) x`` for the columns w of ``weights``, of either sign, in groups.

    Each item is the slice of the columns, and their Gram matrices (group, width, width).
    """
    n, width = x.shape
    for columns in slices(weights.shape[1], GRAMS_AT_ONCE):
        weight = weights[:, columns, None]
        weighted = (x[:, None, :] * weight).view(n, weight.shape[1] * width)
        yield columns, (x.mT @ weighted).view(width, weight.shape[1], width).transpose(0, 1)


def mirror_lower(P: Array) -> None:
    """Copy the lower triangles of (..., d, d) onto the upper ones, in place, block by block."""
    for rows in slices(P.shape[-1], MIRROR_ROWS):
        block = P[..., rows, rows]
        P[..., rows, rows] = block.tril() + block.tril(-1).mT
        P[..., : rows.start, rows] = P[..., rows, : rows.start].mT
