"""The downdates of the inverses of all outputs by the same rows, and the choice of the curvature.

For an output with inverse P, rows x (k, d), with a last column of ones for an intercept, have
derivatives ``a`` (k,) of the loss and curvature rows ``r x``, r (k,). Everything follows from
``Z = x P`` and ``G = x P x^T``: ``M = r G r^T``; with its eigenvectors V and ``B = r V`` the basis
of the downdate is ``Z^T B``; a step is ``Z^T c``. `_erasure.steps.choose` is the twin of
`choose_together` for one output.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from sklearn_ssse._erasure import SWITCHED, disagree, kept_share, least_margin
from sklearn_ssse._inverse import downdate_factor
from sklearn_ssse._kernels import each

# Time to read and write one number of an inverse, in multiplications.
COPY_COST = 40


class ChoiceTogether(NamedTuple):
    """The curvature that the step of each output uses.

    Attributes
    ----------
    pending : PendingDowndates
    conservative : PendingDowndates or None
        The conservative curvatures to store beside the others.
    paths : list of Path
        Before the step, but after a switch of the curvature.
    """

    pending: "PendingDowndates"
    conservative: "PendingDowndates | None"
    paths: list

    def inverses(self, j):
        """The inverse of output j after the change, and the fields of `Path` that are matrices."""
        beside = self.conservative is not None and not self.paths[j].switched
        return self.pending.inverses[j], {
            "conservative": self.conservative.inverses[j] if beside else None
        }


def choose_together(models, x, r, a):
    """The `ChoiceTogether` for all outputs; None if an erasure is refused.

    Parameters
    ----------
    models : list of ErasableLogisticRegression
        Either all of them or none were changed since their curvatures were computed.
    x : ndarray of shape (k, d)
    r, a : ndarray of shape (n_outputs, k)
        Factors of the curvature rows, and derivatives of the loss.
    """
    paths = [model._erasure_state.path for model in models]
    inverses = [model.curvature_ for model in models]
    residuals = [model._erasure_state.residual for model in models]
    lengths = np.array([path.length for path in paths])
    switched = np.array([path.switched for path in paths])
    plain = PendingDowndates(inverses, residuals, x, r, np.where(switched, lengths, 0.0))
    conservative = None
    pending = plain
    if lengths.any() and not switched.all():
        others = [path.conservative or inverses[j] for j, path in enumerate(paths)]
        conservative = PendingDowndates(others, residuals, x, r, lengths, plain.unweighted_leverage)
        switches = ~switched & (
            ~(plain.margin >= plain.least_margin)
            | disagree(plain.square(a, plain.step(a)), conservative.square(a, conservative.step(a)))
        )
        curvature = models[0]._erasure_state.curvature
        paths = [
            path.switch(curvature, SWITCHED) if switch else path
            for path, switch in zip(paths, switches, strict=True)
        ]
        pending = plain.where(switches, conservative) if switches.any() else plain
    if not (pending.margin >= pending.least_margin).all():
        return None
    return ChoiceTogether(pending, conservative, paths)


class PendingDowndates:
    """The downdates of the inverses of all outputs by the same rows, see `PendingDowndate`.

    Parameters
    ----------
    inverses : list of FullInverse
    residuals : list of ndarray of shape (d,) or of None
        Residual gradients of the models.
    x : ndarray of shape (k, d)
    r : ndarray of shape (n_outputs, k)
        Factors of the curvature rows ``r x``.
    lengths : ndarray of shape (n_outputs,)
        Lengths D for the share of each row that is kept, see `kept_share`; 0 keeps none.
    leverage : ndarray of shape (n_outputs, k), default=None
        Leverage of the rows without their weight, for the same share; None computes it.

    Attributes
    ----------
    rows, r : ndarray of shape (n_outputs, k)
        The factors r as they were given, and without the share that is kept.
    kept : ndarray of shape (n_outputs,)
        Mean share of the rows' curvature that is not subtracted.
    """

    def __init__(self, inverses, residuals, x, r, lengths, leverage=None):
        has_residuals = residuals[0] is not None
        self._inverses = list(inverses)
        self._residuals = np.array(residuals) if has_residuals else None
        self._x = x
        k, d = x.shape
        m = len(inverses)
        self.Z = np.empty((m, k, d))
        self._offset = np.zeros((m, d))  # -P g_0

        def product(j):
            if not has_residuals:
                np.matmul(x, inverses[j].matrix, out=self.Z[j])
                return
            both = np.vstack([x, -residuals[j]]) @ inverses[j].matrix
            self.Z[j] = both[:-1]
            self._offset[j] = both[-1]

        self._each(product)
        self.G = (self.Z.reshape(m * k, d) @ x.T).reshape(m, k, k)
        self.rows = r
        self.r = r
        self.kept = np.zeros(m)
        if lengths.any():
            h = self.unweighted_leverage if leverage is None else leverage
            kept = kept_share(h, (r != 0).astype(np.float64), lengths[:, np.newaxis])
            self.r = r * np.sqrt(1.0 - kept)
            self.kept = kept.mean(axis=1)
        M = self.r[:, :, np.newaxis] * self.G * self.r[:, np.newaxis]
        self.spectrum, V = np.linalg.eigh(M)
        self._B = self.r[:, :, np.newaxis] * V
        self.margin = 1.0 - np.maximum(self.spectrum[:, -1], 0.0)
        self.leverage = np.einsum("jii->ji", M).max(axis=1)

    @property
    def unweighted_leverage(self):
        """``x^T P x`` of each row, (n_outputs, k)."""
        return np.einsum("jii->ji", self.G)

    @property
    def least_margin(self):
        """The smallest margin that `check_margin` accepts, (n_outputs,)."""
        variance = stacked(inverse.matrix.diagonal() for inverse in self._inverses)
        information = stacked(inverse.diagonal for inverse in self._inverses)
        return least_margin(np.einsum("ij,ij->i", variance, information))

    def where(self, mask, other):
        """The downdates of another object for the outputs in a mask, and of this one elsewhere."""
        twin = object.__new__(PendingDowndates)
        pairs = zip(mask, self._inverses, other._inverses, strict=True)
        twin._inverses = [second if use else first for use, first, second in pairs]
        twin._residuals = self._residuals
        twin._x = self._x
        for name in (
            "Z",
            "_offset",
            "G",
            "rows",
            "r",
            "kept",
            "spectrum",
            "_B",
            "margin",
            "leverage",
        ):
            first = getattr(self, name)
            where = mask.reshape(-1, *[1] * (first.ndim - 1))
            setattr(twin, name, np.where(where, getattr(other, name), first))
        return twin

    def solve(self, a, damped):
        """Coefficients c, (n_outputs, k), of the `step` that the downdated inverse gives."""
        factor = downdate_factor(self.spectrum)
        if damped.any():
            damped_factor = downdate_factor(self.spectrum, damped=True)
            factor = np.where(damped[:, np.newaxis], damped_factor, factor)
        along = times(a, self.G) + self._offset @ self._x.T
        return a + times(times(along, self._B) * factor, self._B.transpose(0, 2, 1))

    def step(self, c):
        """``Z^T c - P g_0`` of each output, (n_outputs, d)."""
        return times(c, self.Z) + self._offset

    def square(self, a, solution):
        """``g^T s`` of each output for the gradient ``g = x^T a - g_0``, (n_outputs,)."""
        product = np.einsum("jk,jk->j", a, solution @ self._x.T)
        if self._residuals is None:
            return product
        return product - np.einsum("jd,jd->j", self._residuals, solution)

    @cached_property
    def inverses(self):
        """The inverses without the rows, all computed at the first access."""
        root = np.sqrt(downdate_factor(self.spectrum))
        basis = self.Z.transpose(0, 2, 1) @ (self._B * root[:, np.newaxis])
        leaving = np.square(self.r) @ np.square(self._x)
        out = list(self._inverses)

        def downdate(j):
            out[j] = out[j].without(basis[j], leaving[j])

        self._each(downdate)
        return out

    def _each(self, function):
        """Call ``function(j)`` for every output j, in threads if the inverses are large."""
        m, k, d = self.Z.shape
        each(function, range(m), (2 * k + COPY_COST) * d**2)


def stacked(vectors):
    """Vectors of one length as the rows of a matrix, faster than `np.stack` for short vectors."""
    vectors = list(vectors)
    return np.concatenate(vectors).reshape(len(vectors), -1)


def times(c, A):
    """``c_j A_j`` for each output j: (m, k) and (m, k, l) to (m, l)."""
    return (c[:, np.newaxis] @ A)[:, 0]
