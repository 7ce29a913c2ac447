"""Kernels for any device of torch, in float64: the twin of `cpu`, function by function.

Arrays cross to the device in ``asarray`` and nowhere else, and come back in ``to_numpy``. A CSR chunk is made dense on its way.
"""

import numpy as np
from scipy import sparse

from sklearn_ssse._utils.chunks import slices
from sklearn_ssse.exceptions import ErasureError, MissingPackageError

try:
    import torch
except ImportError as error:
    raise MissingPackageError(
        "backend='torch' needs torch, which could not be imported: pip install 'sklearn-ssse[torch]'"
    ) from error

# Rows that `rank_b_update` takes at once.
WIDTH = 256
# Gram matrices that one product of matrices makes: so many weighted copies of a chunk exist at a time.
GROUP = 8
# Up to this size many blocks are inverted by one batched call; larger ones fill a device each.
SMALL = 512

ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


class TorchKernels:
    """The functions of `cpu` as methods, because the device is state.

    Parameters
    ----------
    device : str, int, torch.device or None
        As torch names it; None is CUDA where there is a device, else the CPU.
    """

    def __init__(self, device=None):
        self.device = usable_device(device)
        self.chunk_bytes = 2**28 if self.device.type == "cuda" else 2**22

    def asarray(self, array):
        """A tensor on the device; on the CPU it shares the memory of a writable C-contiguous array."""
        if isinstance(array, torch.Tensor):
            return array.to(device=self.device, dtype=torch.float64)
        return torch.as_tensor(np.require(array, np.float64, ["C", "W"]), device=self.device)

    def to_numpy(self, array):
        """A copy in memory of NumPy's own, C-contiguous."""
        out = np.empty(tuple(array.shape))
        torch.from_numpy(out).copy_(torch.as_tensor(array))
        return out

    def activate(self, name, z):
        """See `cpu.activate`."""
        return ACTIVATIONS[name](z)

    def inputs(self, a):
        """See `cpu.inputs`; dense on the device."""
        return self.asarray(a.toarray() if sparse.issparse(a) else a)

    def add_unit_grams(self, out, a, delta, bias):
        """See `grams.add_unit_grams`."""
        x, delta = self._columns(a, bias), self.asarray(delta)
        for part, grams in weighted_grams(x, delta.square().sum(dim=1)):
            out[part] += grams

    def layer_gram(self, a, delta, bias, simplex=False):
        """See `grams.layer_gram`; ``simplex`` saves nothing here."""
        x, delta = self._columns(a, bias), self.asarray(delta)
        n_outputs, width = delta.shape[2], x.shape[1]
        if n_outputs == 1:
            rows = x * torch.linalg.vector_norm(delta, dim=1)
            return rows.mT @ rows
        j, k = torch.tril_indices(n_outputs, n_outputs, device=self.device)
        weights = (delta.mT @ delta)[:, j, k]
        out = x.new_empty(n_outputs, width, n_outputs, width)
        by_outputs = out.transpose(1, 2)
        for part, grams in weighted_grams(x, weights):
            by_outputs[j[part], k[part]] = grams
            by_outputs[k[part], j[part]] = grams.mT
        return out.view(n_outputs * width, -1)

    def product(self, R):
        """See `grams.product`."""
        R = self.asarray(R)
        return R.mT @ R

    def invert(self, A, scale):
        """See `blas.invert`. The factor and the inverse take the place of A, so that a device need not hold another."""
        factor, info = A.mT, torch.empty((), dtype=torch.int32, device=self.device)
        torch.linalg.cholesky_ex(factor, out=(factor, info))
        if info.item() != 0:
            return None
        P = torch.cholesky_inverse(factor, out=factor).mT
        P *= scale
        P *= scale[:, None]
        mirror_lower(P)
        return P

    def invert_blocks(self, A, scale):
        """See `blas.invert_blocks`. Large blocks take the place of those of A."""
        if A.shape[1] > SMALL:
            inverted = all(
                self.invert(block, factor) is not None
                for block, factor in zip(A, scale, strict=True)
            )
            return A if inverted else None
        factor, info = torch.linalg.cholesky_ex(A)
        if info.any():
            return None
        half = torch.linalg.solve_triangular(factor, torch.diag_embed(scale), upper=False)
        P = half.mT @ half
        mirror_lower(P)
        return P

    def rank1_update(self, P, R):
        """See `rank1.rank1_update`; the upper triangle is written too."""
        self.rank1_update_blocks(P[None], R[None])

    def rank1_update_blocks(self, P, R):
        """See `rank1.rank1_update_blocks`; the upper triangles are written too."""
        mirror_lower(P)
        for row in range(R.shape[1]):
            g = R[:, row, :, None]
            v = P @ g
            P.baddbmm_(v / (1.0 + g.mT @ v), v.mT, alpha=-1.0)

    def rank_b_update(self, P, R):
        """See `blas.rank_b_update`."""
        for start in range(0, len(R), WIDTH):
            rows = R[start : start + WIDTH]
            K = rows @ P
            M = K @ rows.mT
            M.diagonal().add_(1.0)
            P.addmm_(K.mT, torch.linalg.solve(M, K), alpha=-1.0)

    def _columns(self, a, bias):
        """The inputs of a chunk on the device, with the column of ones where there is an intercept."""
        a = self.inputs(a)
        return torch.hstack([a, a.new_ones(len(a), 1)]) if bias else a


def usable_device(device):
    """The torch device that ``device`` stands for, if it is there and computes in float64."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.ones(1, device=found).item()
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        raise ErasureError(
            f"`device` must name a device that torch finds on this machine, got {device!r}. Pass 'cpu', or None for CUDA where "
            "there is one."
        ) from error
    try:
        torch.ones(1, dtype=torch.float64, device=found).item()
    except (RuntimeError, TypeError) as error:
        raise ErasureError(
            f"The curvature needs a device that computes in float64, got {device!r}, which does not. Pass 'cpu' or a CUDA device."
        ) from error
    return found


def weighted_grams(x, weights):
    """Yield ``x^T diag(w) x`` for the columns w of ``weights``, of either sign: the columns and (their number, width, width)."""
    n, width = x.shape
    for part in slices(weights.shape[1], GROUP):
        weight = weights[:, part, None]
        weighted = (x[:, None, :] * weight).view(n, weight.shape[1] * width)
        yield part, (x.mT @ weighted).view(width, weight.shape[1], width).transpose(0, 1)


def mirror_lower(P):
    """Copy the lower triangles of (..., d, d) onto the upper ones, in place, block by block."""
    d, step = P.shape[-1], 1024
    for rows in slices(d, step):
        block = P[..., rows, rows]
        P[..., rows, rows] = block.tril() + block.tril(-1).mT
        P[..., : rows.start, rows] = P[..., rows, : rows.start].mT
