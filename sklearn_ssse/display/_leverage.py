"""The leverage of training rows."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._composites import final_step, transformed
from sklearn_ssse._erasure import (
    NO_CURVATURE,
    TRUSTED_MARGIN,
    ErasableMixin,
    check_fresh,
    validated_batch,
)
from sklearn_ssse.display._axes import make_axes
from sklearn_ssse.exceptions import ErasureError

# Largest number of rows whose positions the plot shows.
MAX_POSITIONS = 10


class LeverageDisplay:
    """Leverage of training rows, which shows the rows that one step cannot erase reliably.

    Use `from_estimator`.

    Parameters
    ----------
    leverage : ndarray of shape (n_samples,)
        In [0, 1), without unit. A row of leverage near 1 is nearly the only one that determines the
        curvature in some direction.

    Attributes
    ----------
    dangerous_ : ndarray of int
        Positions of the rows with a leverage above 0.7, the largest leverage first.
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression
    >>> from sklearn_ssse.display import LeverageDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    >>> LeverageDisplay.from_estimator(clf, X, y).dangerous_.size
    2
    """

    def __init__(self, leverage):
        self.leverage = leverage

    @classmethod
    def from_estimator(cls, estimator, X, y, sample_weight=None, *, ax=None):
        """Plot the leverage of training rows.

        Parameters
        ----------
        estimator : estimator object
            An erasable classifier, or a `Pipeline` that ends in one; fitted on the rows.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows, as they were given to ``fit``.
        y : array-like of shape (n_samples,)
            The labels of the rows.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights that the rows had at fit.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : LeverageDisplay

        Raises
        ------
        TypeError
            If the estimator does not end in an erasable classifier.
        ErasureError
            If the curvature is stale or made of mini-batches, or does not hold the rows.
        """
        check_is_fitted(estimator)
        estimator = getattr(estimator, "estimator_", estimator)
        model = final_step(estimator)
        if not isinstance(model, ErasableMixin):
            raise TypeError(
                "Leverage needs an erasable classifier or a Pipeline that ends in one, got "
                f"{type(model).__name__}. Make the model erasable with from_estimator."
            )
        return cls(row_leverage(model, transformed(estimator, X), y, sample_weight)).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the leverage of the rows, the largest first.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        self : LeverageDisplay
        """
        ax = make_axes(ax)
        limit = 1.0 - TRUSTED_MARGIN
        order = np.argsort(-self.leverage, kind="stable")
        leverage = self.leverage[order]
        ranks = np.arange(1, len(order) + 1)
        count = int((leverage > limit).sum())
        self.dangerous_ = order[:count]
        ax.axhspan(limit, 1.0, color="C3", alpha=0.12, linewidth=0)
        ax.plot(ranks, leverage, color="C0", marker=".", markersize=3, linewidth=1)
        ax.plot(ranks[:count], leverage[:count], linestyle="none", marker="^", color="C3")
        text = f"One step is unreliable for {count} rows"
        if count:
            text += f",\nby position: {', '.join(map(str, self.dangerous_[:MAX_POSITIONS]))}"
        if count > MAX_POSITIONS:
            text += ", ..."
        ax.text(0.99, 0.985, text, transform=ax.transAxes, ha="right", va="top", fontsize="small")
        ax.set(xscale="log", ylim=(0, 1), ylabel="leverage")
        ax.set_xlabel("rows by leverage, the largest first")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def row_leverage(model, X, y, sample_weight=None):
    """Leverage of rows in the curvature of a fitted erasable classifier, (n_samples,)."""
    check_is_fitted(model, "curvature_", msg=NO_CURVATURE)
    batch = validated_batch(model, X, y, sample_weight)
    state = model._erasure_state
    check_fresh(state)
    if state.minibatch:
        raise ErasureError(
            "Leverage needs a curvature of single rows, got a curvature of mini-batches. Use "
            "fisher_batch_size=1."
        )
    leverage = model.curvature_.leverage(batch.scores(state.curvature))
    if leverage.size and model.curvature_.leverage_is_bounded and leverage.max() >= 1:
        raise ErasureError(
            f"Leverage must be below 1, got {leverage.max():.2g}: the curvature holds other rows. "
            "Pass training rows with their weights, or call `fit_curvature` after erasures."
        )
    return leverage
