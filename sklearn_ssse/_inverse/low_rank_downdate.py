"""The downdate of the low-rank inverse: its sketch is downdated before the margin is known."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import Scores
from sklearn_ssse._inverse.base import PendingDowndate, largest_eigenvalues_by_sample
from sklearn_ssse._inverse.low_rank_rows import whiten_rows
from sklearn_ssse._inverse.nystrom import eliminate, is_positive_semidefinite


class LowRankDowndate(PendingDowndate):
    """Pending downdate of a `LowRankInverse`: the sketch is downdated first.

    A sketch with fewer columns than the rank approximates A from below, so A minus the exact
    ``R_S^T R_S`` may not be positive definite. The downdate therefore defines P as the
    inverse of ``A' + R_S^T R_S``, with A' the downdated sketch. This P equals the stored inverse if
    the sketch has the full rank, and is more accurate if not. With the eigenvalues m' of
    ``R_S A'^{-1} R_S^T``, the eigenvalues of ``R_S P R_S^T`` are ``m' / (1 + m')``. Rows that were
    never part of the curvature are detected by the stored inverse and by C; the margin is then 0.
    """

    def __init__(self, inverse: Any, scores: Scores) -> None:
        self._inverse = inverse
        d = scores.n_parameters
        many_rows = scores.n_rows > d
        equivalent = scores
        if many_rows:  # d rows with the same Gram matrix
            values, V = np.linalg.eigh(scores.gram())
            R = (V * np.sqrt(values.clip(min=0.0))).T
            equivalent = Scores.explicit(R)
        self._rows = rows = whiten_rows(equivalent, inverse.ridge, inverse.omega.unit)
        Y = inverse.Y.take(rows.positions)
        z = (rows.rest @ Y).T
        M = inverse.quadratic_form(rows, z)
        if many_rows:
            self.leverage = inverse.leverage(scores)
        else:
            self.leverage = largest_eigenvalues_by_sample(M, scores)
        suspect = np.linalg.eigvalsh((M + M.T) / 2).max(initial=0.0) >= 1.0
        diagonal = inverse.diagonal - scores.diagonal()
        self._new = new = inverse.with_rows(rows, -1, Y, z, diagonal)
        self._z = (rows.rest @ Y).T
        M_new = new.quadratic_form(rows, self._z)
        self._growth, self._V = np.linalg.eigh((M_new + M_new.T) / 2)
        self.spectrum = self._growth / (1.0 + self._growth)
        if suspect:
            C_rest = eliminate(new.C, new.unit_inverse)[1]
            if not is_positive_semidefinite(C_rest, inverse.C):
                self.spectrum = np.maximum(self.spectrum, 1.0)

    def solve(self, v: NDArray, *, damped: bool = False) -> NDArray:
        new = self._new
        rows = self._rows
        v_unit, v_rest, z = new.whiten(np.reshape(v, (-1, 1)))
        if damped:
            share = 1.0 / (1.0 + self._growth)
            factor = share * (share * self.factor(damped=True) - 1.0)
            w = self._V.T @ new.product(rows, self._z, v_unit, v_rest[rows.positions], z)
            w = self._V @ (factor[:, np.newaxis] * w)
            v_rest[rows.positions] += rows.rest.T @ w
            v_unit = v_unit + rows.unit.T @ w
            z = z + self._z @ w
        return new.solve_whitened(v_unit, v_rest, z)[:, 0]

    def inverse(self) -> Any:
        return self._new
