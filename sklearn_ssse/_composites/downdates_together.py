"""The downdates of the inverses of all outputs by the same rows.

For an output with inverse P, rows x (k, d), with a last column of ones for an intercept, have
derivatives ``a`` (k,) of the loss and curvature rows ``r x``, r (k,). Everything follows from
``Z = x P`` and ``G = x P x^T``: ``M = r G r^T``; with its eigenvectors V and ``B = r V`` the basis
of the downdate is ``Z^T B``; a step is ``Z^T c``. `_erasure.steps` has the twin for one output.
"""

from functools import cached_property

import numpy as np

from sklearn_ssse._erasure import kept_share, least_margin
from sklearn_ssse._inverse import downdate_factor
from sklearn_ssse._kernels import each

# Time to read and write one number of an inverse, in multiplications.
COPY_COST = 40


class PendingDowndates:
    """The downdates of the inverses of all outputs by the same rows, see `PendingDowndate`.

    Parameters
    ----------
    models : list of ErasableLogisticRegression
    x : ndarray of shape (k, d)
    r : ndarray of shape (n_outputs, k)
        Factors of the curvature rows ``r x``.

    Attributes
    ----------
    kept_shares : ndarray of shape (n_outputs, k)
        Share of each row's curvature that stays in the curvature, see `kept_share`.
    kept : ndarray of shape (n_outputs,)
        Its mean over the rows.
    """

    def __init__(self, models, x, r):
        inverses = [model.curvature_ for model in models]
        residuals = [model._erasure_state.residual for model in models]
        lengths = np.array([model._erasure_state.path.length for model in models])
        has_residuals = residuals[0] is not None
        self._inverses = inverses
        self._residuals = np.array(residuals) if has_residuals else None
        self.x = x
        self.r = r
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
        M = r[:, :, np.newaxis] * self.G * r[:, np.newaxis]
        self.spectrum, V = np.linalg.eigh(M)
        self._B = r[:, :, np.newaxis] * V
        self.margin = 1.0 - np.maximum(self.spectrum[:, -1], 0.0)
        self.leverage = np.einsum("jii->ji", M).max(axis=1)
        self.kept_shares = np.zeros((m, k))
        own = np.maximum(np.einsum("jii->ji", self.G), 0.0)
        self.unweighted_leverage = own
        if lengths.any():
            self.kept_shares = kept_share(np.where(r != 0, own, 0.0), lengths[:, np.newaxis])
        self.kept = self.kept_shares.mean(axis=1)

    @property
    def least_margin(self):
        """The smallest margin that `check_margin` accepts, (n_outputs,)."""
        variance = stacked(inverse.matrix.diagonal() for inverse in self._inverses)
        information = stacked(inverse.diagonal for inverse in self._inverses)
        return least_margin(np.einsum("ij,ij->i", variance, information))

    def solve(self, a, damped):
        """Coefficients c, (n_outputs, k), of the `step` that the downdated inverse gives."""
        factor = downdate_factor(self.spectrum)
        if damped.any():
            damped_factor = downdate_factor(self.spectrum, damped=True)
            factor = np.where(damped[:, np.newaxis], damped_factor, factor)
        along = times(a, self.G) + self._offset @ self.x.T
        return a + times(times(along, self._B) * factor, self._B.transpose(0, 2, 1))

    def step(self, c):
        """``Z^T c - P g_0`` of each output, (n_outputs, d)."""
        return times(c, self.Z) + self._offset

    def square(self, a, solution):
        """``g^T s`` of each output for the gradient ``g = x^T a - g_0``, (n_outputs,)."""
        product = np.einsum("jk,jk->j", a, solution @ self.x.T)
        if self._residuals is None:
            return product
        return product - np.einsum("jd,jd->j", self._residuals, solution)

    @cached_property
    def inverses(self):
        """The inverses without the rows, all computed at the first access."""
        spectrum = self.spectrum
        B = self._B
        rows = self.r
        if self.kept_shares.any():
            rows = rows * np.sqrt(1.0 - self.kept_shares)
            spectrum, V = np.linalg.eigh(rows[:, :, np.newaxis] * self.G * rows[:, np.newaxis])
            B = rows[:, :, np.newaxis] * V
        basis = self.Z.transpose(0, 2, 1) @ (B * np.sqrt(downdate_factor(spectrum))[:, np.newaxis])
        leaving = np.square(rows) @ np.square(self.x)
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
