"""The sums over the training rows that bound the error of an erasure, computed at fit."""

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._erasure.row_limits import norms_of_rows
from sklearn_ssse._erasure.row_sums import Rows, RowSums
from sklearn_ssse._gradients import FourthOrder, Layer, Scores
from sklearn_ssse._utils.chunks import slices

# Quantile of the norms of the rows up to which `cut_sums` counts a row with the same norm.
CUT = 0.9


def weighted_gram(batch: Any, rows: Any, weight: NDArray) -> NDArray:
    """``sum weight_i x_i x_i^T`` over rows of a linear batch."""
    deltas = np.sqrt(weight)[:, np.newaxis, np.newaxis]
    return Scores([Layer(batch.inputs(rows), deltas, batch.family.bias)]).gram()


def full_sums(
    batch: Any,
    norms: NDArray,
    inverse: NDArray,
    *,
    with_fourth: bool = False,
    with_all: bool = False,
) -> tuple[RowSums, RowSums, NDArray]:
    """The sums for both norms, and the largest of each norm, of a row of positive weight.

    Parameters
    ----------
    batch : LinearBatch
        The training rows.
    norms : ndarray of shape (n_samples,)
        Their `euclidean_norms`.
    inverse : ndarray of shape (d, d)
        P.
    with_fourth : bool
        Whether to keep the fourth derivatives.
    with_all : bool
        Whether to keep the third derivatives, and `by_norm` for both norms.

    Returns
    -------
    euclidean, metric : RowSums
    largest : ndarray of shape (2,)
    """
    totals: dict = {}
    largest = np.zeros(2)
    for chunk in slices(batch.n_samples, batch.chunk_size):
        rows = Rows.of(batch, chunk)
        x = rows.x
        h = np.sqrt(np.maximum(np.einsum("ij,ij->i", x @ inverse, x), 0.0))
        some = rows.weight > 0
        own_norms = norms[chunk]
        largest = np.maximum(largest, [own_norms[some].max(initial=0.0), h[some].max(initial=0.0)])
        mass = rows.weight * own_norms
        weights = {
            "by_second": mass * rows.second,
            "by_norm": mass,
            "own_by_second": rows.weight * h * rows.second,
        }
        if with_all:
            weights["own_by_norm"] = rows.weight * h
            weights["by_third"] = mass * np.abs(rows.third)
        if with_fourth:
            weights["by_fourth"] = mass * h * np.abs(rows.fourth)
        for name, weight in weights.items():
            root = x * np.sqrt(weight)[:, np.newaxis]
            gram = root.T @ root
            totals[name] = totals[name] + gram if name in totals else gram
    own = RowSums(totals.pop("own_by_second"), totals.pop("own_by_norm", None))
    return RowSums(**totals), own, largest


def euclidean_norms(batch: Any) -> NDArray:
    """Euclidean norms of the rows of a linear batch, intercept included, (n_samples,)."""
    return np.sqrt(np.square(norms_of_rows(batch.X)) + batch.family.bias)


def fourth_order(batch: Any) -> FourthOrder:
    """The `FourthOrder` of the training rows of a binary logistic regression."""
    chunks = slices(batch.n_samples, batch.chunk_size)
    rows = (Rows.of(batch, chunk) for chunk in chunks)
    return reduce(FourthOrder.plus, (FourthOrder.of_rows(r.x, r.weight * r.fourth) for r in rows))


def cut_sums(
    batch: Any, norms: NDArray, data_gram: NDArray, largest_inverse: float
) -> tuple[RowSums, RowSums, NDArray]:
    """Sums that cost less than `full_sums`: one matrix, which only a share of the rows adds to.

    The other rows count with the norm at the quantile `CUT`, so that their sum is that norm times
    their part of the curvature. The result is the same as for `full_sums`.

    Parameters
    ----------
    batch : LinearBatch
        The training rows.
    norms : ndarray of shape (n_samples,)
        Their `euclidean_norms`.
    data_gram : ndarray of shape (d, d)
        ``sum w v x x^T``.
    largest_inverse : float
        At least the largest eigenvalue of the inverse curvature P.
    """
    positive = batch.weight > 0
    position = int(CUT * (norms.size - 1))
    cut = float(np.partition(norms, position)[position])
    top = np.flatnonzero((norms > cut) & positive)
    total = cut * data_gram
    for chunk in slices(top.size, batch.chunk_size):
        some = top[chunk]
        p = batch.proba[some, 0]
        mass = batch.weight[some] * p * (1.0 - p)
        total += weighted_gram(batch, some, mass * (norms[some] - cut))
    root = largest_inverse**0.5
    largest = norms[positive].max(initial=0.0) * np.array([1.0, root])
    sums = RowSums(total, least_norm=cut)
    return sums, replace(sums, factor=root), largest
