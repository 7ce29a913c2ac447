"""Sums over the retained rows that bound the change of their gradient along a step.

For a row x (with a last entry of 1 for an intercept) of weight w, write ``u = x^T s`` for a step s,
v, kappa and tau for the second, third and fourth derivative of its loss by the output, and
``|x|`` for a norm of x: the Euclidean norm, or ``sqrt(x^T P x)`` with the inverse curvature P. By
the triangle inequality, a sum of gradients ``sum r_i x_i`` has at most the norm
``sum |r_i| |x_i|``. `docs/bounds.md` has the derivation.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._gradients import third_derivatives

# Largest absolute third derivative of the logistic loss by its output, 1 / (6 sqrt(3)).
LARGEST_THIRD = 0.0962250448649376
# Largest absolute fourth derivative, at probability 1/2.
LARGEST_FOURTH = 0.125


class Rows(NamedTuple):
    """The forget rows of a call, or a chunk of the training rows.

    Attributes
    ----------
    x : ndarray of shape (k, d)
        Dense rows, with a last column of ones for an intercept.
    weight : ndarray of shape (k,)
        Their weights, class weights included.
    second, third, fourth : ndarray of shape (k,)
        Derivatives of the loss by the output, without the weight: v, kappa and tau.
    """

    x: NDArray
    weight: NDArray
    second: NDArray
    third: NDArray
    fourth: NDArray

    @classmethod
    def of(cls, batch: Any, rows: Any = slice(None)) -> "Rows":
        """Rows of a linear batch; the derivatives are for two classes only."""
        x = batch.inputs(rows)
        x = x.toarray() if sparse.issparse(x) else x
        x = np.hstack([x, np.ones((len(x), 1))]) if batch.family.bias else x
        return cls.at(x, batch.weight[rows], batch.proba[rows, 0])

    @classmethod
    def at(cls, x: NDArray, weight: NDArray, p: NDArray) -> "Rows":
        """Rows x (k, d) with the probabilities p of the second class, (k,)."""
        v = p * (1.0 - p)
        return cls(x, weight, v, third_derivatives(p, "logistic"), v * (1.0 - 6.0 * v))


class Length(NamedTuple):
    """The length of a step, and of the path of the parameters before it.

    Attributes
    ----------
    square : float
        ``s^T by_second s``.
    square_by_norm : float
        ``s^T by_norm s``; infinity if that is not kept.
    size : float
        Norm of the step s, dual to the norm of the rows: ``|x^T s| <= |x| size``.
    output : float
        d, at least ``|x^T s|`` for every retained row x.
    path : float
        D, the sum of the outputs d of the earlier steps since the curvature was computed.
    """

    square: float
    square_by_norm: float
    size: float
    output: float
    path: float


@dataclass(frozen=True)
class RowSums:
    """Sums over the retained rows, with the derivatives at the parameters of the curvature.

    Each matrix is at least the sum over the retained rows, in the order of symmetric matrices.

    Attributes
    ----------
    by_second : ndarray of shape (d, d)
        ``sum w v |x| x x^T``.
    by_norm, by_third, by_fourth : ndarray of shape (d, d) or None
        ``sum w |x| x x^T``, ``sum w |kappa| |x| x x^T`` and ``sum w |tau| |x| h x x^T``, with
        ``h = sqrt(x^T P x)``. None if they are not kept.
    least_norm : float
        A row of a smaller norm enters `by_second` with this norm.
    factor : float
        The factor by which the norms of the rows may have grown since the curvature was computed:
        all matrices count with it.
    curvature_error, hessian_error, third_error : float
        Bounds of the error of the conservative curvature, of the Hessian and of the third
        derivatives, from earlier forget rows whose derivatives at the parameters of the curvature
        were not known.
    path, path_by_norm : float
        Sums over the earlier steps s of ``sqrt(s^T by_second s)`` and ``sqrt(s^T by_norm s)``.
    """

    by_second: NDArray
    by_norm: NDArray | None = None
    by_third: NDArray | None = None
    by_fourth: NDArray | None = None
    least_norm: float = 0.0
    factor: float = 1.0
    curvature_error: float = 0.0
    hessian_error: float = 0.0
    third_error: float = 0.0
    path: float = 0.0
    path_by_norm: float = 0.0

    def squares(self, step: NDArray) -> tuple[float, float]:
        """``s^T by_second s`` and ``s^T by_norm s`` without the factor; infinity for None."""
        by_norm = np.inf if self.by_norm is None else _square(self.by_norm, step)
        return _square(self.by_second, step), by_norm

    def remainder(self, step: NDArray, length: Length) -> float:
        """Bound of the part of the retained gradient that is not linear in the step.

        The gradient of a row changes by ``(v u + r) x``. ``|r|`` is at most ``v phi(|u|)``, at
        most ``LARGEST_THIRD u^2 / 2``, and at most ``|kappa| u^2 / 2`` plus the fourth order.
        """
        square = length.square
        d = length.output
        grown = np.exp(length.path)
        by_norm = length.square_by_norm
        out = [grown * exponential(d, 2) * square, LARGEST_THIRD / 2 * by_norm]
        if self.by_third is not None:
            fourth = min(grown * exponential(d, 3) * square, LARGEST_FOURTH / 6 * by_norm)
            third = self.factor * _square(self.by_third, step)
            third += np.expm1(length.path) * square
            out.append(third / 2 + d * fourth)
        return min(out)

    def remainder_after_third(self, step: NDArray, length: Length, h: float) -> float:
        """Bound of the part of the retained gradient beyond the third derivatives that are kept.

        Parameters
        ----------
        step : ndarray of shape (d,)
        length : Length
        h : float
            Factor of ``sqrt(x^T P x)`` since the curvature was computed, times the norm of the step
            in the metric of the curvature.
        """
        square = length.square
        d = length.output
        grown = np.exp(length.path)
        out = [d * grown * exponential(d, 3) * square]
        moved = np.expm1(length.path) * square / 2
        if self.by_norm is not None:
            by_norm = length.square_by_norm
            out.append(d * LARGEST_FOURTH / 6 * by_norm)
            differs = min(LARGEST_FOURTH * length.path, 2 * LARGEST_THIRD)
            moved = min(moved, differs * by_norm / 2)
        if self.by_fourth is not None:
            fourth = h * self.factor * _square(self.by_fourth, step) / 6
            fourth += np.expm1(length.path) * d * square / 6
            out.append(fourth + grown * exponential(d, 4) * d**2 * square)
        return min(out) + moved + self.third_error * length.size**2 / 2

    def staleness(self, length: Length) -> float:
        """Bound of the error of the conservative curvature along the step."""
        D = length.path
        moved = np.expm1(D) / D * self.path * np.sqrt(length.square) if D else 0.0
        if self.by_norm is not None:
            by_norm = self.path_by_norm * np.sqrt(length.square_by_norm)
            moved = min(moved, LARGEST_THIRD * by_norm)
        return moved + self.curvature_error * length.size

    def staleness_of_hessian(self, length: Length) -> float:
        """Bound of the error of the Hessian that followed the parameters, along the step."""
        D = length.path
        moved = 0.0
        if D:
            across = D * self.path * np.sqrt(length.square)
            moved = exponential(D, 2) * min(length.output * self.path**2, across)
            if self.by_norm is not None:
                across = D * self.path_by_norm * np.sqrt(length.square_by_norm)
                least = min(length.output * self.path_by_norm**2, across)
                moved = min(moved, LARGEST_FOURTH / 2 * least)
        return moved + self.hessian_error * length.size

    def staleness_of_rows(
        self, rows: Rows, norms: NDArray, step: NDArray, D: float, has_third: bool
    ) -> float:
        """Bound of the error of the forget rows' derivatives along the step; 0 for the first step.

        The sums hold their derivatives at the parameters of the curvature; the derivatives at the
        present parameters were subtracted.
        """
        if not D:
            return 0.0
        u = np.abs(rows.x @ step)
        weighted = rows.weight * rows.second * norms
        if not has_third:
            differs = np.minimum(np.expm1(D) * rows.second, LARGEST_THIRD * D)
            return float((rows.weight * norms * differs) @ u)
        grown = weighted * np.exp(D)
        second = exponential(D, 2) * D**2 * (grown @ u)
        return float(second + np.expm1(D) * (grown @ u**2) / 2)

    def without(
        self, rows: Rows, norms: NDArray, kept: NDArray | float, change: "Change"
    ) -> "RowSums":
        """The sums after a step, without its forget rows.

        Parameters
        ----------
        rows : Rows
        norms : ndarray of shape (k,)
            Norms of the rows.
        kept : ndarray of shape (k,) or float
            Share of each row's curvature that stays in the conservative curvature.
        change : Change
        """
        D = change.length.path
        mass = rows.weight * norms
        errors = self._errors(rows, norms, kept, D)
        third_error = self.third_error + errors[2]
        hessian_error = self.hessian_error + errors[1] + third_error * change.length.size
        growth = change.growth
        at_fit = mass / self.factor if change.has_own_norm else mass
        floored = rows.weight * np.maximum(norms, self.least_norm)
        floored = at_fit if change.has_own_norm else floored
        lost = np.expm1(D) * rows.second
        by_second = self.by_second
        if change.by_second is None:
            by_second = minus(by_second, rows.x, floored * rows.second * np.exp(-D))
        else:
            by_second = change.by_second
        fields = {
            "by_second": by_second,
            "factor": self.factor * growth,
            "curvature_error": (self.curvature_error + errors[0]) * growth**2,
            "hessian_error": hessian_error * growth**2,
            "third_error": third_error * growth**3,
            "path": (self.path + np.sqrt(change.length.square)) * np.sqrt(growth),
        }
        if self.by_norm is not None:
            length = self.path_by_norm + np.sqrt(change.length.square_by_norm)
            fields["path_by_norm"] = length * np.sqrt(growth)
            fields["by_norm"] = minus(self.by_norm, rows.x, at_fit)
        if self.by_third is not None:
            third = np.maximum(np.abs(rows.third) - lost, 0.0)
            fields["by_third"] = minus(self.by_third, rows.x, at_fit * third)
        if self.by_fourth is not None:
            fourth = np.maximum(np.abs(rows.fourth) - lost, 0.0) * change.h
            fields["by_fourth"] = minus(self.by_fourth, rows.x, at_fit * fourth)
        return replace(self, **fields)

    def _errors(self, rows, norms, kept, D):
        """Terms of the forget rows in the errors of the curvature, Hessian, third derivatives."""
        second = rows.second
        left = 1.0 - kept
        differs = second * np.maximum(np.exp(D) - left, left - np.exp(-D))
        differs = np.minimum(differs, LARGEST_THIRD * D + kept * second)
        grown = rows.weight * second * np.exp(D)
        return (
            float((rows.weight * differs) @ norms**2),
            float(grown @ norms**2 * exponential(D, 2) * D**2),
            float(grown @ norms**3 * np.expm1(D)),
        )


class Change(NamedTuple):
    """A step and its downdate, for `RowSums.without`.

    Attributes
    ----------
    length : Length
    growth : float
        Largest factor by which the downdate makes the norm of a row grow.
    has_own_norm : bool
        Whether the norm is ``sqrt(x^T P x)``, which grows, and not the Euclidean norm.
    h : ndarray of shape (k,)
        At most ``sqrt(x^T P x)`` of the forget rows for the P of the fit.
    by_second : ndarray of shape (d, d) or None
        `RowSums.by_second` after the change, if the other norm has the same sum.
    """

    length: Length
    growth: float
    has_own_norm: bool
    h: NDArray
    by_second: NDArray | None = None


def exponential(d: float, order: int) -> float:
    """``(e^d - sum_{j < order} d^j / j!) / d^order``, increasing in d; ``1 / order!`` at 0."""
    if d > 1.0:
        value = np.expm1(d)
        term = 1.0
        for j in range(1, order):
            term *= d / j
            value -= term
        return float(value / d**order)
    # The series, without cancellation: its terms fall faster than 1 / j!.
    term = 1.0
    for j in range(1, order + 1):
        term /= j
    total = 0.0
    for j in range(order + 1, order + 20):
        total += term
        term *= d / j
    return total


def _square(matrix: NDArray, step: NDArray) -> float:
    """``s^T M s`` for a sum of squares, which rounding can make negative."""
    return max(float(step @ matrix @ step), 0.0)


def minus(matrix: NDArray, x: NDArray, weight: NDArray) -> NDArray:
    """A matrix without ``sum weight_i x_i x_i^T``."""
    root = x * np.sqrt(weight)[:, np.newaxis]
    out = root.T @ root
    return np.subtract(matrix, out, out=out)
