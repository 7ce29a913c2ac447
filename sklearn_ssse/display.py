"""Pictures, in scikit-learn's pattern: arrays at first, ``plot`` draws them and returns the display with ``ax_`` and ``figure_``."""

from numbers import Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._composites import final_step, transformed
from sklearn_ssse._erasure import (
    NO_CURVATURE,
    TRUSTED_MARGIN,
    ErasableMixin,
    Multiple,
    check_fresh,
    check_rows,
    read_epsilon,
    row_weights,
)
from sklearn_ssse.exceptions import ErasureError

# Line style of the level of "auto" beside a curve.
AUTO = {"-": (0, (1, 3)), "--": (0, (6, 3, 1, 3))}
# Rows of which the leverage plot tells the position.
MOST_NAMED = 10


def _axes(ax):
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plotting needs matplotlib: pip install 'sklearn-ssse[plot]'") from error
    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    return ax


class _EpsilonCurve:
    """Curves over eps, from the results of a search."""

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Plot the results of a fitted search.

        Parameters
        ----------
        estimator : TunedEpsilonCV or GridSearchCV
            Fitted. What a `GridSearchCV` does not measure is left out.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display
        """
        check_is_fitted(estimator, "cv_results_")
        return cls.from_cv_results(estimator.cv_results_, ax=ax, **kwargs)

    @classmethod
    def from_cv_results(cls, cv_results, *, ax=None, **kwargs):
        """Plot ``cv_results_`` of a `TunedEpsilonCV`, or of a `GridSearchCV` over `unlearn_epsilon` alone.

        Parameters
        ----------
        cv_results : dict
        ax : matplotlib Axes, default=None
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display

        Raises
        ------
        ValueError
            If the results hold no eps, or other parameters beside it.
        """
        return cls._of(cv_results).plot(ax=ax, **kwargs)

    @staticmethod
    def _epsilons(cv_results):
        names = [name for name in cv_results if name.startswith("param_")]
        if len(names) != 1 or not names[0].endswith("unlearn_epsilon"):
            raise ValueError(
                f"The search must be over unlearn_epsilon alone, got {', '.join(name[6:] for name in names) or 'no parameter'}. Select the "
                "results of one combination of the others."
            )
        return list(cv_results[names[0]])

    @staticmethod
    def _splits(cv_results, name):
        found = {
            int(key[5 : -len(name) - 1]): key
            for key in cv_results
            if key.startswith("split") and key.endswith(f"_{name}")
        }
        return (
            np.array([cv_results[found[i]] for i in sorted(found)], dtype=float) if found else None
        )

    def _ordered(self):
        """Positions of eps in the order of the axis, its values, and the position of "auto" beside it or None.

        The axis is of numbers or, where there are none, of multiples of "auto".
        """
        read = [read_epsilon(eps) for eps in self.epsilons]
        numbers = {i: eps for i, eps in enumerate(read) if not isinstance(eps, Multiple)}
        multiples = {i: eps.factor for i, eps in enumerate(read) if isinstance(eps, Multiple)}
        auto = [i for i, factor in multiples.items() if factor == 1.0]
        if numbers and len(auto) < len(multiples):
            raise ValueError(
                f"eps must be numbers, and 'auto' beside them, or multiples of 'auto', got {len(numbers)} numbers and {len(multiples)} "
                "multiples. Plot the results of one kind."
            )
        axis = numbers or multiples
        order = sorted(axis, key=axis.get)
        return order, [axis[i] for i in order], auto[0] if numbers and auto else None

    def _draw(self, ax, values, *, label, color, linestyle, marker):
        """Mean over the forget sets with a band from the least to the largest; "auto" as a level line."""
        order, eps, auto = self._ordered()
        mean = values.mean(axis=0)
        (line,) = ax.plot(
            eps,
            mean[order],
            label=label,
            color=color,
            linestyle=linestyle,
            marker=marker,
            markersize=4,
        )
        low, high = values.min(axis=0)[order], values.max(axis=0)[order]
        ax.fill_between(eps, low, high, color=color, alpha=0.15, linewidth=0)
        lines = [line]
        if auto is not None:
            lines.append(
                ax.axhline(
                    mean[auto],
                    color=color,
                    linestyle=AUTO[linestyle],
                    linewidth=1.2,
                    label=f'{label}, "auto"',
                )
            )
        ax.set_xscale("log")
        ax.set_xlabel(
            "eps (step size)"
            if isinstance(self.epsilons[order[0]], Real)
            else 'eps as a multiple of "auto"'
        )
        return lines

    def _finish(self, ax, lines, *, ncols):
        """The legend above the axes, and what a display keeps."""
        self.ax_, self.figure_ = ax, ax.figure
        self.figure_.legend(
            handles=lines, loc="outside upper center", ncols=ncols, fontsize="small", frameon=False
        )
        return self


class GammaCurveDisplay(_EpsilonCurve):
    """gamma_S over eps, with the distance ratio on a second axis.

    Use `from_estimator` or `from_cv_results`.

    Parameters
    ----------
    epsilons : list of float or str
    gamma : ndarray of shape (n_sets, n_epsilons)
        gamma_S of each forget set.
    distance_ratio : ndarray of shape (n_sets, n_epsilons), default=None

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
    ratio_ax_ : matplotlib Axes or None
        The second axis.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, GammaCurveDisplay, TunedEpsilonCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> tuned = TunedEpsilonCV(ErasableLogisticRegression(), metric="probability").fit(scale(X), y)
    >>> GammaCurveDisplay.from_estimator(tuned).ax_.get_ylabel()
    'gamma_S (1: as retrained, 0: as before)'
    """

    def __init__(self, epsilons, gamma, distance_ratio=None):
        self.epsilons = epsilons
        self.gamma = gamma
        self.distance_ratio = distance_ratio

    @classmethod
    def _of(cls, cv_results):
        ratio = cls._splits(cv_results, "distance_ratio")
        return cls(cls._epsilons(cv_results), cls._splits(cv_results, "test_score"), ratio)

    def plot(self, ax=None):
        """Draw the curves: means over the forget sets, bands from the least to the largest.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : GammaCurveDisplay
        """
        ax = _axes(ax)
        lines = self._draw(ax, self.gamma, label="gamma_S", color="C0", linestyle="-", marker="o")
        lines.append(ax.axhline(0.5, color="0.4", linewidth=0.8, label="gamma_S = 0.5: half way"))
        ax.set(ylim=(0, 1.02), ylabel="gamma_S (1: as retrained, 0: as before)")
        self.ratio_ax_ = None
        if self.distance_ratio is not None and np.isfinite(self.distance_ratio).all():
            self.ratio_ax_ = second = ax.twinx()
            lines += self._draw(
                second,
                self.distance_ratio,
                label="distance ratio",
                color="C1",
                linestyle="--",
                marker="s",
            )
            second.set(ylim=(0, 2), ylabel="distance ratio (0: as retrained, 1: as before)")
        return self._finish(ax, lines, ncols=2)


class AccuracyGapDisplay(_EpsilonCurve):
    """Accuracy after the erasure less that after retraining, on forget and retain rows, over eps.

    Use `from_estimator` or `from_cv_results`.

    Parameters
    ----------
    epsilons : list of float or str
    forget, retain : ndarray of shape (n_sets, n_epsilons)

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(self, epsilons, forget, retain):
        self.epsilons = epsilons
        self.forget = forget
        self.retain = retain

    @classmethod
    def _of(cls, cv_results):
        forget, retain = (
            cls._splits(cv_results, f"{part}_accuracy_gap") for part in ("forget", "retain")
        )
        if forget is None or retain is None:
            raise ValueError(
                "The results must hold accuracy gaps, got none. Use those of a TunedEpsilonCV."
            )
        return cls(cls._epsilons(cv_results), forget, retain)

    def plot(self, ax=None):
        """Draw the curves: means over the forget sets, bands from the least to the largest.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : AccuracyGapDisplay
        """
        ax = _axes(ax)
        lines = self._draw(
            ax, self.forget, label="forget rows", color="C3", linestyle="-", marker="v"
        )
        lines += self._draw(
            ax, self.retain, label="retain rows", color="C0", linestyle="--", marker="^"
        )
        lines.append(ax.axhline(0.0, color="0.4", linewidth=0.8, label="as retrained"))
        ax.set_ylabel("accuracy, erased less retrained")
        return self._finish(ax, lines, ncols=3)


class LeverageDisplay:
    """Leverage of rows: which of them an erasure in one step is unreliable for.

    Use `from_estimator`.

    Parameters
    ----------
    leverage : ndarray of shape (n_samples,)
        In [0, 1); 1 is a row that the curvature rests on alone in some direction.

    Attributes
    ----------
    dangerous_ : ndarray of int
        Positions of the rows above 0.7, the largest leverage first.
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
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : LeverageDisplay
        """
        check_is_fitted(estimator)
        estimator = getattr(estimator, "estimator_", estimator)
        model = final_step(estimator)
        if not isinstance(model, ErasableMixin):
            raise TypeError(
                f"Leverage is that of an erasable classifier or a Pipeline that ends in one, got {type(model).__name__}. Pass that."
            )
        return cls(row_leverage(model, transformed(estimator, X), y, sample_weight)).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the leverage of the rows, largest first.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : LeverageDisplay
        """
        ax = _axes(ax)
        order, limit = np.argsort(-self.leverage, kind="stable"), 1.0 - TRUSTED_MARGIN
        h, ranks = self.leverage[order], np.arange(1, len(order) + 1)
        many = int((h > limit).sum())
        self.dangerous_ = order[:many]
        ax.axhspan(limit, 1.0, color="C3", alpha=0.12, linewidth=0)
        ax.plot(ranks, h, color="C0", marker=".", markersize=3, linewidth=1)
        ax.plot(ranks[:many], h[:many], linestyle="none", marker="^", color="C3")
        named = ", ".join(str(position) for position in order[: min(many, MOST_NAMED)]) + (
            ", ..." if many > MOST_NAMED else ""
        )
        text = f"One step is unreliable for {many} rows" + (
            f",\nby position: {named}" if many else ""
        )
        ax.text(0.99, 0.985, text, transform=ax.transAxes, ha="right", va="top", fontsize="small")
        ax.set(
            xscale="log",
            ylim=(0, 1),
            xlabel="rows by leverage, the largest first",
            ylabel="leverage",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self


def row_leverage(estimator, X, y, sample_weight=None):
    """Leverage of rows in the curvature of a fitted erasable classifier, (n_samples,)."""
    check_is_fitted(estimator, "curvature_", msg=NO_CURVATURE)
    X, codes, weight = check_rows(estimator, X, y, sample_weight)
    state = estimator._erasure_state
    check_fresh(state)
    if state.minibatch:
        raise ErasureError(
            "Leverage needs single rows, got a curvature of mini-batches. Use fisher_batch_size=1."
        )
    weight = row_weights(codes, weight, state.class_weight)
    leverage = estimator.curvature_.leverage(
        estimator._family().batch(X, codes, weight).scores(state.curvature)
    )
    if leverage.size and estimator.curvature_.leverage_is_bounded and leverage.max() >= 1:
        raise ErasureError(
            f"Leverage must be below 1, got {leverage.max():.2g}: the curvature holds other rows. Pass training rows with their weights, "
            "or call `fit_curvature` after erasures."
        )
    return leverage
